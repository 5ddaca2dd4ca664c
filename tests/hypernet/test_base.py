"""What holds for every class of weight source, and how the classes differ."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, layers
from smash_lightning.hypernet import ConditionalHyperNet, ResidualHyperNet, SharedWeights
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator
from tests.cases import BARE_CASES, Case, every_bare_case
from tests.hypernet.kinds import KINDS, Make, every_kind, of_case
from tests.reference.slow import unit

CASE = BARE_CASES["v1-2d"]


def pointwise(weights: dict[str, Tensor] | object) -> list[Tensor]:
    """Every op's 1x1, in order of execution."""
    assert isinstance(weights, dict)
    return [weight for name, weight in weights.items() if name.endswith("pointwise.weight")]


@every_kind
@every_bare_case
def test_every_tensor_of_a_network_is_there(case: Case, make: Make) -> None:
    """And every running average."""
    source, image_spec = make(case, 0), case.space.image_spec
    statistics, x = source.running_statistics(), torch.zeros(2, image_spec.channels, *image_spec.size)
    for seed in range(5):
        architecture = case.draw(seed)
        weights = source(architecture, source.noise(architecture, generator("z", seed)))
        wanted = layers(architecture, image_spec, case.space.limits.op_norm).parameters()
        assert {name: tuple(weight.shape) for name, weight in weights.items()} == wanted
        forward(architecture, image_spec, weights, x, statistics)
        for weight in pointwise(weights):
            torch.testing.assert_close(weight.norm(), torch.ones(()))


@every_kind
def test_a_step_reaches_every_parameter(make: Make) -> None:
    source = make(CASE, 0)
    x = torch.randn(4, 3, 8, 8, generator=generator("x"))
    for seed in range(60):
        architecture = CASE.draw(seed)
        weights = source(architecture, source.noise(architecture, generator(seed)))
        forward(architecture, CASE.space.image_spec, weights, x, UseBatchStatistics()).square().sum().backward()
    assert not [name for name, p in source.named_parameters() if p.grad is None or not p.grad.any()]


@every_kind
def test_a_source_is_a_function_of_its_seed(make: Make) -> None:
    one, again, other = make(CASE, 0), make(CASE, 0), make(CASE, 1)
    states = [source.state_dict() for source in (one, again, other)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert any(not torch.equal(tensor, states[2][name]) for name, tensor in states[0].items())


@every_kind
def test_noise_changes_the_weights_where_there_is_some(make: Make) -> None:
    source, architecture = make(CASE, 0), CASE.draw(0)
    z = source.noise(architecture, generator("z"))
    assert (source.noise_shape(architecture) is None) == (z is None)
    if z is not None:
        assert tuple(z.shape) == source.noise_shape(architecture)
        one, other = source(architecture, z), source(architecture, source.noise(architecture, generator("other")))
        assert all(not torch.allclose(a, b) for a, b in zip(pointwise(one), pointwise(other), strict=True))


def twins(case: Case) -> tuple[Architecture, Architecture]:
    """Two architectures that differ, with each op at the same place of c."""
    first = case.draw(0)
    block = first.blocks[0]
    op = block.ops[0]
    paths = tuple(
        tuple(replace(c, dilation=tuple(3 - min(d, 2) for d in c.dilation)) for c in path) for path in op.paths
    )
    blocks = (replace(block, ops=(replace(op, paths=paths), *block.ops[1:])), *first.blocks[1:])
    return first, Architecture(blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_which_weights_depend_on_the_architecture(kind: str) -> None:
    """Without c an op's 1x1 is the same in all architectures that have an op of its size at its place."""
    source, (one, other) = KINDS[kind](CASE, 0), twins(CASE)
    assert one != other
    assert CASE.encoding.spans(one) == CASE.encoding.spans(other)
    z = source.noise(one, generator("z"))
    same = [torch.equal(a, b) for a, b in zip(*(pointwise(source(a, z)) for a in (one, other)), strict=True)]
    if kind in ("unconditional", "shared"):
        assert all(same)
    else:
        assert not same[0]


def test_without_c_the_weights_are_those_of_an_empty_c() -> None:
    source, twin = KINDS["unconditional"](CASE, 0), KINDS["conditional"](CASE, 0)
    assert isinstance(twin, ConditionalHyperNet)
    for seed in range(5):
        architecture = CASE.draw(seed)
        z = source.noise(architecture, generator("z", seed))
        empty = twin.from_c(architecture, torch.full_like(twin.encode(architecture), -1), z)
        assert all(torch.equal(weight, empty[name]) for name, weight in source(architecture, z).items())


@every_bare_case
def test_a_residual_source_adds_to_shared_matrices(case: Case) -> None:
    source = of_case(ResidualHyperNet, case)
    shared, plain = of_case(SharedWeights, case), of_case(ConditionalHyperNet, case)
    shared.pointwise, shared.shared = source.pointwise, source.shared
    plain.hypernet, plain.shared = source.hypernet, source.shared
    for seed in range(3):
        architecture = case.draw(seed)
        z = source.noise(architecture, generator("z", seed))
        found, common, generated = source(architecture, z), shared(architecture, None), plain(architecture, z)
        for name, weight in found.items():
            expected = unit(common[name] + source.share * generated[name]) if "pointwise." in name else common[name]
            torch.testing.assert_close(weight, expected)
