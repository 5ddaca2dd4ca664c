"""The network against the slow one: outputs, and the gradients of all weights and of the images."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec, Op, layers
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.network.banks import accesses
from smash_lightning.network.standalone import initialize
from smash_lightning.random_streams import generator, rng
from tests.cases import BARE_CASES, Case, every_bare_case, every_seed
from tests.reference.slow import SlowNetwork

STYLES = ["pre-sum", "pre-mean", "post-sum", "post-mean", "mixed"]


def styled(architecture: Architecture, style: str, pointwise: bool, seed: int) -> Architecture:
    """The same reads, writes and convolutions, with ops of another style."""
    random = rng("style", seed)

    def change(op: Op) -> Op:
        if style == "mixed":
            activation, join = random.choice(["pre", "post"]), random.choice(["sum", "mean"])
            bottleneck = random.choice([None, op.bottleneck])
        else:
            activation, join = style.split("-")
            bottleneck = op.bottleneck if pointwise else None
        return replace(op, activation=activation, join=join, bottleneck=bottleneck)  # type: ignore[arg-type]

    return Architecture(tuple(replace(b, ops=tuple(change(op) for op in b.ops)) for b in architecture.blocks))


def random_weights(architecture: Architecture, image_spec: ImageSpec, op_norm: bool, seed: int) -> dict[str, Tensor]:
    """Weights of realistic size, with norms and biases that are not neutral."""
    random, weights = generator("weights", seed), {}
    for layer in layers(architecture, image_spec, op_norm):
        for name, tensor in initialize(layer, random).items():
            noise = 0.2 * torch.randn(tensor.shape, generator=random, dtype=torch.float64)
            weights[name] = (tensor.double() + noise).requires_grad_()
    return weights


def random_images(image_spec: ImageSpec, seed: int, count: int = 3) -> Tensor:
    shape = (count, image_spec.channels, *image_spec.size)
    return torch.randn(shape, generator=generator("images", seed), dtype=torch.float64, requires_grad=True)


def outputs_and_gradients(logits: Tensor, inputs: list[Tensor], seed: int) -> list[Tensor]:
    direction = torch.randn(logits.shape, generator=generator("direction", seed), dtype=torch.float64)
    return [logits, *torch.autograd.grad(logits, inputs, direction)]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8 * (1 + other.abs().max().item()))


@pytest.mark.parametrize("style", STYLES)
@every_bare_case
@given(seed=st.integers(0, 2**32), op_norm=st.booleans(), pointwise=st.booleans(), longer=st.integers(0, 4))
def test_the_network_is_the_slow_one(
    case: Case, style: str, op_norm: bool, seed: int, pointwise: bool, longer: int
) -> None:
    """Also with a stem that halves the resolution, of images whose axes differ."""
    architecture, (first, *rest) = styled(case.draw(seed), style, pointwise, seed), case.space.image_spec.size
    image_spec = replace(case.space.image_spec, size=(first + longer, *rest), stem_stride=2 if longer else 1)
    weights, x = random_weights(architecture, image_spec, op_norm, seed), random_images(image_spec, seed)
    ours = forward(architecture, image_spec, weights, x, UseBatchStatistics())
    theirs = SlowNetwork(architecture, image_spec, weights, op_norm)(x)
    inputs = [x, *weights.values()]
    assert_same(outputs_and_gradients(ours, inputs, seed), outputs_and_gradients(theirs, inputs, seed))


@every_bare_case
@given(seed=st.integers(0, 2**32), op_norm=st.booleans(), style=st.sampled_from(STYLES), networks=st.integers(2, 4))
def test_networks_side_by_side_are_each_alone(case: Case, op_norm: bool, seed: int, style: str, networks: int) -> None:
    architecture, image_spec = styled(case.draw(seed), style, True, seed), case.space.image_spec
    weights = [random_weights(architecture, image_spec, op_norm, seed + n) for n in range(networks)]
    images = [random_images(image_spec, seed + n) for n in range(networks)]
    alone = [
        forward(architecture, image_spec, own, x, UseBatchStatistics()) for own, x in zip(weights, images, strict=True)
    ]
    joined = {name: torch.cat([own[name] for own in weights]) for name in weights[0]}
    x, statistics = torch.cat(images, 1), UseBatchStatistics()
    together = forward(architecture, image_spec, joined, x, statistics, networks=networks)
    inputs = [*images, *(tensor for own in weights for tensor in own.values())]
    one, other = (outputs_and_gradients(logits, inputs, seed) for logits in (together, torch.cat(alone, 1)))
    assert_same(one, other)


@every_bare_case
@every_seed
def test_a_nan_remains_in_its_own_network(case: Case, seed: int) -> None:
    architecture, image_spec = case.draw(seed), case.space.image_spec
    network = StandaloneNetwork(architecture, image_spec, *(generator(seed, n) for n in range(3))).double()
    x = torch.cat([random_images(image_spec, n) for n in range(3)], 1)

    def parts() -> list[tuple[Tensor, ...]]:
        """Logits and gradients of each of the networks."""
        logits, *gradients = outputs_and_gradients(network(x), list(network.parameters()), seed)
        return [logits.chunk(3, 1), *(gradient.chunk(3) for gradient in gradients)]

    before = parts()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.chunk(3)[1].fill_(math.nan)
    after = parts()
    assert after[0][1].isnan().all(), "the logits of the broken network"
    for (first, _, last), (own, _, other) in zip(before, after, strict=True):
        torch.testing.assert_close([own, other], [first, last], rtol=1e-9, atol=1e-12)


@every_bare_case
def test_the_initialization_is_orthogonal_and_a_function_of_its_generator(case: Case) -> None:
    architecture, image_spec = case.draw(0), case.space.image_spec
    first, second = (StandaloneNetwork(architecture, image_spec, generator("init")) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = StandaloneNetwork(architecture, image_spec, generator("other"))
    assert not torch.equal(first.weights.get_parameter("stem.weight"), other.weights.get_parameter("stem.weight"))
    for name, weight in first.weights.named_parameters():
        if name == "head.weight":
            bound = weight.shape[1] ** -0.5
            assert 0.8 * bound < weight.abs().max() <= bound
        elif weight.ndim > 1:
            rows = weight.detach().flatten(1)
            gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
            torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)
        else:
            assert (weight == (0 if name.endswith("bias") else 1)).all()


@pytest.mark.parametrize("style", STYLES)
def test_a_pass_changes_no_input_and_repeats_one_of_an_evaluation(style: str) -> None:
    for case in BARE_CASES.values():
        architecture, image_spec = styled(case.draw(2), style, True, 2), case.space.image_spec
        weights, x = random_weights(architecture, image_spec, True, 2), random_images(image_spec, 2)
        before = {name: tensor.detach().clone() for name, tensor in {**weights, "x": x}.items()}
        accesses.cache_clear()
        with torch.inference_mode():  # as in Lightning's validation
            first = forward(architecture, image_spec, weights, x, UseBatchStatistics()).clone()
        logits = forward(architecture, image_spec, weights, x, UseBatchStatistics())
        logits.sum().backward()
        assert torch.equal(logits, first)
        assert all(torch.equal(before[name], tensor) for name, tensor in {**weights, "x": x}.items())


@pytest.mark.parametrize("name", ["v1-2d", "v2-3d"])
def test_the_memory_format_of_images_changes_nothing(name: str) -> None:
    case = BARE_CASES[name]
    architecture, image_spec = case.draw(3), case.space.image_spec
    weights, x = random_weights(architecture, image_spec, True, 3), random_images(image_spec, 3)
    turned = x.detach().transpose(2, 3).contiguous().transpose(2, 3)
    assert not turned.is_contiguous()
    logits = [forward(architecture, image_spec, weights, i, UseBatchStatistics()) for i in (x, turned)]
    torch.testing.assert_close(*logits)


@pytest.mark.parametrize("style", STYLES)
@every_bare_case
def test_half_precision_is_near_full_precision(case: Case, style: str) -> None:
    architecture, image_spec = styled(case.draw(6), style, True, 6), case.space.image_spec
    weights = {n: w.detach().float() for n, w in random_weights(architecture, image_spec, True, 6).items()}
    x = random_images(image_spec, 6, count=8).detach().float()
    full = forward(architecture, image_spec, weights, x, UseBatchStatistics())
    weights = {name: weight.requires_grad_() for name, weight in weights.items()}
    with torch.autocast("cpu", torch.bfloat16):
        half = forward(architecture, image_spec, weights, x, UseBatchStatistics())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=0.2, atol=0.3)
    half.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in weights.values())
