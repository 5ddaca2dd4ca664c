"""Weights against the slow ones, and what a network computes with them."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smash_lightning.hypernet import ConditionalHyperNet, GridDenseNet, SharedWeights, WeightSource, densenet
from smash_lightning.network import Weights
from smash_lightning.random_streams import generator
from tests.cases import Case, every_bare_case
from tests.hypernet.kinds import of_case
from tests.reference.slow import slow_sharing, slow_weights

# Width, depths and growth; the second compresses to as many channels as a layer adds.
SHAPES = {"paper": (None, (3, 2, 1), 5), "narrow": (6, (2, 2), 6), "one": (None, (1,), 4)}


def generated(case: Case, shape: str, noise: bool) -> ConditionalHyperNet:
    width, depths, growth = SHAPES[shape]
    options = {"width": width, "depths": depths, "growth": growth, "noise": noise}
    source: ConditionalHyperNet = of_case(ConditionalHyperNet, case, "hypernet", shape, **options)
    return source.double()


def require_same(source: WeightSource, ours: Weights, theirs: Weights, seed: int) -> None:
    """Both are the same function of the parameters of a source: values, and gradients of a weighted sum."""
    stream, sums = generator("direction", seed), [torch.zeros((), dtype=torch.float64) for _ in range(2)]
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-7, atol=1e-9)
        direction = torch.randn(weight.shape, generator=stream)
        sums = [total + (each[name] * direction).sum() for total, each in zip(sums, (ours, theirs), strict=True)]
    parameters = list(source.parameters())
    gradients = [torch.autograd.grad(total, parameters, allow_unused=True) for total in sums]
    for parameter, one, other in zip(parameters, *gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == parameter.shape
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8 * (1 + other.abs().max().item()))


@pytest.mark.parametrize("shape", SHAPES)
@every_bare_case
@given(seed=st.integers(0, 2**32), noise=st.booleans(), large=st.booleans())
def test_weights_and_gradients_are_the_slow_ones(case: Case, shape: str, noise: bool, large: bool, seed: int) -> None:
    source, architecture = generated(case, shape, noise), case.draw(seed)
    z = source.noise(architecture, generator("z", seed))
    width, depths, _ = SHAPES[shape]
    with patch.object(densenet, "LARGE", 0 if large else densenet.LARGE):
        ours, theirs = source(architecture, z), slow_weights(source, architecture, z, width, depths)
    require_same(source, ours, theirs, seed)


@every_bare_case
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32))
def test_shared_weights_and_gradients_are_the_slow_ones(case: Case, seed: int) -> None:
    source, architecture = of_case(SharedWeights, case).double(), case.draw(seed)
    require_same(source, source(architecture, None), slow_sharing(source, architecture), seed)


def test_the_papers_hypernet_has_its_layers() -> None:
    # Dense blocks of 8, 10 and 4 layers with growth 10, half the channels after the first two.
    hypernet = GridDenseNet(60, 864, None, (8, 10, 4), 10, True, generator(0))
    shapes = [tuple(f.shape) for f in hypernet.filters]
    assert shapes[:2] == [(10, 61, 3, 3), (10, 71, 3, 3)]
    assert shapes[8] == (70, 141, 3, 3)
    assert shapes[19] == (85, 170, 3, 3)
    assert shapes[-1] == (864, 125, 1, 1)
    assert len(shapes) == 8 + 10 + 4 + 2 + 1
