"""Generated weights against the slow ones, and what a network computes with them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from smash_lightning.architecture import Architecture, layers
from smash_lightning.hypernet import ConditionalHyperNet, GridDenseNet
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.random_streams import generator
from tests.cases import BARE_CASES, Case, every_bare_case, every_seed
from tests.hypernet.kinds import of_case
from tests.reference.slow import slow_weights

# Width, depths and growth; the second compresses to as many channels as a layer adds.
SHAPES = {"paper": (None, (3, 2, 1), 5), "narrow": (6, (2, 2), 6), "one": (None, (1,), 4)}


def generated(case: Case, shape: str, noise: bool) -> ConditionalHyperNet:
    width, depths, growth = SHAPES[shape]
    options = {"width": width, "depths": depths, "growth": growth, "noise": noise}
    source: ConditionalHyperNet = of_case(ConditionalHyperNet, case, ("hypernet", shape), **options)
    return source.double()


def weighted_sum(weights: dict[str, Tensor], seed: int) -> Tensor:
    stream, total = generator("direction", seed), torch.zeros((), dtype=torch.float64)
    for name in sorted(weights):
        total = total + (weights[name] * torch.randn(weights[name].shape, generator=stream)).sum()
    return total


@pytest.mark.parametrize("noise", [True, False], ids=["noise", "no noise"])
@pytest.mark.parametrize("shape", SHAPES)
@every_bare_case
@given(seed=st.integers(0, 2**32))
def test_weights_and_gradients_are_the_slow_ones(case: Case, shape: str, noise: bool, seed: int) -> None:
    source, architecture = generated(case, shape, noise), case.draw(seed)
    z = source.noise(architecture, generator("z", seed))
    width, depths, _ = SHAPES[shape]
    ours, theirs = source(architecture, z), slow_weights(source, architecture, z, width, depths)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-7, atol=1e-9)
    parameters = list(source.parameters())
    gradients = [
        torch.autograd.grad(weighted_sum(weights, seed), parameters, allow_unused=True) for weights in (ours, theirs)
    ]
    for parameter, one, other in zip(parameters, *gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == parameter.shape
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8 * (1 + other.abs().max().item()))


@every_bare_case
@every_seed
def test_every_tensor_of_the_network_is_there(case: Case, seed: int) -> None:
    source, architecture = generated(case, "one", noise=True), case.draw(seed)
    weights = source(architecture, source.noise(architecture, generator(seed)))
    wanted = layers(architecture, case.space.image_spec, op_norm=False).parameters()
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == wanted
    for name, weight in weights.items():
        if name.endswith("pointwise.weight"):
            torch.testing.assert_close(weight.norm(), torch.ones((), dtype=torch.float64))


@every_bare_case
@every_seed
def test_forward_is_that_of_a_plain_network_with_the_same_weights(case: Case, seed: int) -> None:
    source, architecture, image_spec = generated(case, "paper", noise=True), case.draw(seed), case.space.image_spec
    weights = source(architecture, source.noise(architecture, generator(seed)))
    network = StandaloneNetwork(architecture, image_spec, op_norm=False).double()
    parameters = dict(network.weights.named_parameters())
    assert parameters.keys() == weights.keys()
    for name, parameter in parameters.items():
        parameter.data.copy_(weights[name])
    shape = (3, image_spec.channels, *image_spec.size)
    x = torch.randn(shape, generator=generator("x", seed), dtype=torch.float64, requires_grad=True)
    ours = forward(architecture, image_spec, weights, x, UseBatchStatistics(), op_norm=False)
    theirs = network(x)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn(ours.shape, generator=generator("direction", seed), dtype=torch.float64)
    names = list(weights)
    one = torch.autograd.grad(ours, [x, *(weights[name] for name in names)], direction)
    other = torch.autograd.grad(theirs, [x, *(parameters[name] for name in names)], direction)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b)


def test_a_step_reaches_every_parameter_over_some_architectures() -> None:
    for case in BARE_CASES.values():
        source, image_spec = generated(case, "paper", noise=True).float(), case.space.image_spec
        x = torch.randn(4, image_spec.channels, *image_spec.size, generator=generator("x"))
        for seed in range(40):
            architecture = case.draw(seed)
            weights = source(architecture, source.noise(architecture, generator(seed)))
            logits = forward(architecture, image_spec, weights, x, UseBatchStatistics(), op_norm=False)
            logits.square().sum().backward()
        idle = [name for name, p in source.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle


@every_bare_case
def test_noise_changes_the_weights_and_is_a_function_of_its_stream(case: Case) -> None:
    source, architecture = generated(case, "paper", noise=True), case.draw(0)

    def weight(seed: int) -> Tensor:
        weights = source(architecture, source.noise(architecture, generator(seed)))
        return weights["block0.op0.pointwise.weight"]

    assert torch.equal(weight(1), weight(1))
    assert not torch.allclose(weight(1), weight(2))
    assert generated(case, "paper", noise=False).noise(architecture, generator(0)) is None


@every_bare_case
def test_weights_depend_on_the_architecture(case: Case) -> None:
    source, name = generated(case, "paper", noise=False), "block0.op0.conv0.weight"
    architecture: Architecture = case.draw(0)
    other = next(a for a in map(case.draw, range(1, 50)) if a.blocks[0].ops[0] != architecture.blocks[0].ops[0])
    ours, theirs = source(architecture, None), source(other, None)
    assert torch.equal(ours["stem.weight"], theirs["stem.weight"]), "the stem is shared"
    channels = [slice(0, min(a, b)) for a, b in zip(ours[name].shape[:2], theirs[name].shape[:2], strict=True)]
    if ours[name].shape[2:] == theirs[name].shape[2:]:
        assert torch.equal(ours[name][*channels], theirs[name][*channels]), "convolutions are shared"
    first, second = (weights["block0.op0.pointwise.weight"] for weights in (ours, theirs))
    assert first.shape != second.shape or not torch.allclose(first, second)


def test_initialization_is_a_function_of_its_stream() -> None:
    case = BARE_CASES["v1-2d"]
    first, second = generated(case, "paper", True), generated(case, "paper", True)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_running_statistics_serve_every_architecture() -> None:
    for case in BARE_CASES.values():
        source, image_spec = generated(case, "one", noise=False).float(), case.space.image_spec
        statistics = source.running_statistics()
        x = torch.randn(2, image_spec.channels, *image_spec.size, generator=generator("x"))
        for seed in range(10):
            architecture = case.draw(seed)
            forward(architecture, image_spec, source(architecture, None), x, statistics, op_norm=False)
        assert all(buffer.isfinite().all() for buffer in statistics.buffers())


def test_the_papers_hypernet_has_its_layers() -> None:
    # Dense blocks of 8, 10 and 4 layers with growth 10, half the channels after the first two.
    hypernet = GridDenseNet(60, 864, None, (8, 10, 4), 10, True, generator(0))
    shapes = [tuple(f.shape) for f in hypernet.filters]
    assert shapes[:2] == [(10, 61, 3, 3), (10, 71, 3, 3)]
    assert shapes[8] == (70, 141, 3, 3)
    assert shapes[19] == (85, 170, 3, 3)
    assert shapes[-1] == (864, 125, 1, 1)
    assert len(shapes) == 8 + 10 + 4 + 2 + 1
