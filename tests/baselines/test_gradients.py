"""Baselines by gradients of the initial network: SNIP, the norm of the gradient, and SynFlow."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Convolution, Op
from smash_lightning.baselines import BaselineContext, GradientNorm, Snip, SynFlow, initial_weights
from tests.baselines.small_context import counted, random_context, slow_network
from tests.cases import BARE_CASES, CASES, IMAGES, Case, every_bare_case, mean_joins
from tests.reference.slow import SlowNetwork


def flow(architecture: Architecture, context: BaselineContext, weights: dict[str, Tensor]) -> Tensor:
    """Sum of the logits of an image of ones."""
    network = WithoutNorms(architecture, context.image_spec, weights, op_norm=True)
    return network(torch.ones(1, context.image_spec.channels, *context.image_spec.size, dtype=torch.float64)).sum()


class WithoutNorms(SlowNetwork):
    """The plain network without norms."""

    def norm(self, name: str, x: Tensor) -> Tensor:
        return x


def positive(architecture: Architecture, context: BaselineContext) -> dict[str, Tensor]:
    return {name: tensor.abs() for name, tensor in initial_weights(architecture, context).items()}


@every_bare_case
@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_the_plain_network(case: Case, seed: int, tmp_path: Path) -> None:
    architecture, context = case.draw(seed), random_context(tmp_path, case.space.image_spec)
    weights = {name: tensor.requires_grad_() for name, tensor in initial_weights(architecture, context).items()}
    F.cross_entropy(slow_network(architecture, context, weights)(context.images), context.labels).backward()
    tensors = [weights[name] for name in counted(architecture, context.image_spec)]
    norm = sum(w.grad.square().sum().sqrt().item() for w in tensors)  # type: ignore[union-attr]
    snip = sum((w * w.grad).abs().sum().item() for w in tensors)
    assert GradientNorm().predict(architecture, context) == pytest.approx(-math.log(norm), abs=1e-9)
    assert Snip().predict(architecture, context) == pytest.approx(-math.log(snip), abs=1e-9)
    other = random_context(tmp_path, case.space.image_spec, labels=(context.labels + 1) % 3)
    assert Snip().predict(architecture, other) != pytest.approx(Snip().predict(architecture, context), abs=1e-6)


@pytest.mark.parametrize("space", [name for name in BARE_CASES if name != "options"])  # tanh is not linear in its input
@pytest.mark.parametrize("seed", range(3))
def test_the_flow_through_a_layer_is_lost_without_its_weights(space: str, seed: int, tmp_path: Path) -> None:
    case = BARE_CASES[space]
    architecture, context = case.draw(seed), random_context(tmp_path, case.space.image_spec)
    weights = positive(architecture, context)
    total = torch.zeros((), dtype=torch.float64)
    for name in counted(architecture, context.image_spec):
        # Each path has a layer at most once, so that the flow is linear in each layer's weights.
        total += flow(architecture, context, weights) - flow(architecture, context, weights | {name: 0 * weights[name]})
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(total), rel=1e-9)
    images = random_context(tmp_path, case.space.image_spec, images=context.images.neg(), labels=context.labels.flip(0))
    assert SynFlow().predict(architecture, images) == SynFlow().predict(architecture, context)


def test_means_are_part_of_the_flow(tmp_path: Path) -> None:
    architecture, context = mean_joins(CASES["v2-2d"].draw(0)), random_context(tmp_path, IMAGES)
    weights = {name: tensor.requires_grad_() for name, tensor in positive(architecture, context).items()}
    flow(architecture, context, weights).backward()
    names = counted(architecture, context.image_spec)
    expected = sum((weights[name] * weights[name].grad).sum().item() for name in names)
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(expected), rel=1e-12)


def test_an_infinite_flow_is_undefined(tmp_path: Path) -> None:
    convolution = Convolution((3, 3), (1, 1))
    op = Op((0,), (0,), 1, None, ((convolution, convolution),))
    architecture = Architecture((Block(8, 1, (op,) * 300),))
    assert SynFlow().predict(architecture, random_context(tmp_path, IMAGES)) == math.inf
