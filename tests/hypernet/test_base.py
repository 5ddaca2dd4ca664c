"""What holds for every kind of weight source, and what tells the kinds apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, layers
from smash_lightning.hypernet import GeneratedWeights, SharedWeights, WeightSource
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator
from tests.cases import BARE_CASES, Case, every_bare_case
from tests.hypernet.kinds import KINDS, Make, every_kind
from tests.reference.slow import unit

CASE = BARE_CASES["v1-2d"]


def pointwise(weights: dict[str, Tensor] | object) -> list[Tensor]:
    """Every op's 1x1, in order of execution."""
    assert isinstance(weights, dict)
    return [weight for name, weight in weights.items() if name.endswith("pointwise.weight")]


def spans(source: WeightSource, architecture: Architecture) -> list[object]:
    return [*source.encoding.spans(architecture)]


@every_kind
@every_bare_case
def test_every_tensor_that_a_network_asks_for_is_there(case: Case, make: Make) -> None:
    source = make(case, 0)
    for seed in range(5):
        architecture = case.draw(seed)
        weights = source(architecture, source.noise(architecture, generator("z", seed)))
        wanted = layers(architecture, case.space.image_spec, op_norm=False).parameters()
        assert {name: tuple(weight.shape) for name, weight in weights.items()} == wanted
        for weight in pointwise(weights):
            torch.testing.assert_close(weight.norm(), torch.ones(()))


@every_kind
def test_every_parameter_is_decayed_or_spared(make: Make) -> None:
    source = make(CASE, 0)
    spared, all_of_it = source.undecayed(), list(source.parameters())
    assert len({id(parameter) for parameter in spared}) == len(spared)
    assert {id(parameter) for parameter in spared} < {id(parameter) for parameter in all_of_it}
    decayed = [name for name, p in source.named_parameters() if not any(p is one for one in spared)]
    # What is divided by its norm anyway is spared, all else is not.
    assert {name.split(".")[0] for name in decayed} <= {"shared", "share"}
    assert len(decayed) + len(spared) == len(all_of_it)
    assert {"shared.stem/weight", "shared.head/weight"} <= set(decayed)


@every_kind
def test_a_step_reaches_every_parameter(make: Make) -> None:
    source = make(CASE, 0)
    x = torch.randn(4, 3, 8, 8, generator=generator("x"))
    for seed in range(60):
        architecture = CASE.draw(seed)
        weights = source(architecture, source.noise(architecture, generator(seed)))
        forward(
            architecture, CASE.space.image_spec, weights, x, UseBatchStatistics(), op_norm=False
        ).square().sum().backward()
    assert not [name for name, p in source.named_parameters() if p.grad is None or not p.grad.any()]


@every_kind
def test_a_source_is_a_function_of_its_seed(make: Make) -> None:
    one, again, other = make(CASE, 0), make(CASE, 0), make(CASE, 1)
    states = [source.state_dict() for source in (one, again, other)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert any(not torch.equal(tensor, states[2][name]) for name, tensor in states[0].items())


@every_kind
def test_noise_is_there_where_it_is_taken(make: Make) -> None:
    source, architecture = make(CASE, 0), CASE.draw(0)
    z = source.noise(architecture, generator("z"))
    assert (z is not None) == source.takes_noise
    if z is not None:
        one, other = source(architecture, z), source(architecture, source.noise(architecture, generator("other")))
        assert all(not torch.allclose(a, b) for a, b in zip(pointwise(one), pointwise(other), strict=True))


def twins(case: Case) -> tuple[Architecture, Architecture]:
    """Two architectures that differ, though each op stands in the same place of c."""
    first = case.draw(0)
    block = first.blocks[0]
    op = block.ops[0]
    paths = tuple(
        tuple(replace(c, dilation=tuple(3 - min(d, 2) for d in c.dilation)) for c in path) for path in op.paths
    )
    blocks = (replace(block, ops=(replace(op, paths=paths), *block.ops[1:])), *first.blocks[1:])
    return first, Architecture(blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_told_the_architecture(kind: str) -> None:
    """Without c only places count: an op's 1x1 is the same in all architectures that have an op of its size there."""
    source, (one, other) = KINDS[kind](CASE, 0), twins(CASE)
    assert one != other
    assert spans(source, one) == spans(source, other)
    z = source.noise(one, generator("z"))
    same = [torch.equal(a, b) for a, b in zip(*(pointwise(source(a, z)) for a in (one, other)), strict=True)]
    if kind in ("unconditional", "shared"):
        assert all(same)
    else:
        assert not same[0]


def test_without_c_and_noise_weights_depend_on_the_shape_of_c_alone() -> None:
    source = KINDS["unconditional"](CASE, 0)
    assert isinstance(source, GeneratedWeights)
    cells: dict[int, Tensor] = {}
    for seed in range(30):
        architecture = CASE.draw(seed)
        c = source.encode(architecture)
        assert (c == -1).all()
        assert c.shape == source.encoding.encode(architecture).shape
        z = torch.zeros(1, 1, *c.shape[2:])
        grid = source.hypernet(c, z)
        assert torch.equal(cells.setdefault(c.shape[3], grid), grid)
    assert len(cells) > 3


@every_bare_case
def test_a_residual_source_adds_to_what_ops_share(case: Case) -> None:
    source = KINDS["residual"](case, 0)
    assert isinstance(source, GeneratedWeights)
    assert source.pointwise is not None
    assert source.share is not None
    shared = SharedWeights(case.encoding, case.space.image_spec)
    shared.pointwise, shared.shared = source.pointwise, source.shared
    for seed in range(3):
        architecture = case.draw(seed)
        z = source.noise(architecture, generator("z", seed))
        found, common = source(architecture, z), shared(architecture, None)
        plain = GeneratedWeights(case.encoding, case.space.image_spec, width=None, depths=(2, 1), growth=4, noise=True)
        plain.hypernet, plain.shared = source.hypernet, source.shared
        generated = plain(architecture, z)
        for name, weight in found.items():
            expected = unit(common[name] + source.share * generated[name]) if "pointwise" in name else common[name]
            torch.testing.assert_close(weight, expected)
