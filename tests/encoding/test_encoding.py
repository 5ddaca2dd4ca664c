import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import EMPTY, Encoding
from smash_lightning.random_streams import rng
from tests.cases import SMASHV1, SMASHV2, Case, every_case, every_seed, neighbors


def key(c: Tensor) -> tuple[tuple[int, ...], bytes]:
    return tuple(c.shape), c.numpy().tobytes()


@every_case
@every_seed
def test_decoding_inverts_encoding(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    assert case.encoding.decode(case.encoding.encode(architecture)) == architecture


@pytest.mark.parametrize(("space", "depth"), [(SMASHV1, 3), (SMASHV2, 2)], ids=["v1", "v2"])
def test_decoding_inverts_encoding_at_the_papers_size(space, depth: int) -> None:
    encoding = Encoding(space.limits, depth)
    for seed in range(3):
        architecture = space.sample(rng("c", seed))
        c = encoding.encode(architecture)
        assert encoding.decode(c) == architecture
        # Reads fill whole slices here, so c has the paper's length: D N channels a slice.
        inputs = sum(len(op.read) * block.width for block in architecture.blocks for op in block.ops)
        assert c.shape == (1, encoding.layout.channels, space.max_units, inputs // (depth * space.base))


@every_case
@every_seed
def test_different_architectures_have_different_c(case: Case, seed: int) -> None:
    architecture, encode = case.draw(seed), case.encoding.encode
    others = {architecture, case.draw(seed + 1)}
    others |= {case.space.perturb(architecture, rng(seed, i), 0.05) for i in range(5)}
    last = len(architecture.blocks) - 1
    others |= set(neighbors(architecture, case.space.limits, 0, 0))
    others |= set(neighbors(architecture, case.space.limits, last, len(architecture.blocks[last].ops) - 1))
    assert len({key(encode(other)) for other in others}) == len(others) > 2


@every_case
@every_seed
def test_c_describes_each_op_in_its_cells(case: Case, seed: int) -> None:
    architecture, limits, encoding = case.draw(seed), case.space.limits, case.encoding
    c = encoding.encode(architecture)[0]
    assert c.shape[1] == limits.max_units
    assert set(c.unique().tolist()) <= {EMPTY, 1.0}
    blocks = [(b, block) for b, block in enumerate(architecture.blocks) for _ in block.ops]
    before = 0
    for (b, block), op, span in zip(blocks, architecture.ops(), encoding.spans(architecture), strict=True):
        inputs = len(op.read) * block.width + len(op.pooled) * block.pooled_width
        assert span.rows == op.units * block.width // limits.base
        assert span.first == before
        before = span.last
        # As few slices as hold all inputs, D N in each.
        assert span.last - span.first == math.ceil(inputs / encoding.slice_channels)
        cells = c[:, :, span.first : span.last]
        assert (cells[:, span.rows :] == EMPTY).all()
        assert (cells[:, : span.rows] == cells[:, :1]).all()

        def on(name: str, row: Tensor = cells[:, 0]) -> Tensor:
            return row[encoding.layout[name].channels] > 0

        assert on("start")[0].tolist() == [True] + [False] * (span.last - span.first - 1)
        for name, banks in (("read", op.read), ("pooled", op.pooled), ("write", op.write)):
            assert on(name).any(1).nonzero().flatten().tolist() == list(banks)
        assert (on("write").any(1) == on("write").all(1)).all()
        for name, value in (("block", b), ("width", block.width), ("units", span.rows)):
            assert on(name).T.tolist() == [[each == value for each in encoding.layout[name].options]] * cells.shape[2]
        active = sum(int(on(f"conv{p}.active").all()) for p in range(limits.positions))
        assert active == sum(len(path) for path in op.paths)
    assert before == c.shape[2]


@every_case
@pytest.mark.parametrize("changed", [False, True], ids=["drawn", "redrawn"])
def test_every_channel_can_be_on(case: Case, changed: bool) -> None:
    seen = torch.zeros(case.encoding.layout.channels, dtype=torch.bool)
    for seed in range(250):
        architecture = case.draw(seed)
        if changed:
            architecture = case.space.perturb(architecture, rng("redrawn", seed), 1.0)
        seen |= (case.encoding.encode(architecture)[0] > 0).any(2).any(1)
    fields = case.encoding.layout.fields.items()
    assert not [name for name, field in fields if field.options and not seen[field.channels].any()]


@every_case
def test_what_is_outside_the_limits_is_not_encoded(case: Case) -> None:
    architecture = case.draw(0)
    outside = Architecture((*architecture.blocks, architecture.blocks[0]))
    with pytest.raises(ValueError, match=f"{outside.fingerprint} cannot be encoded: it has 3 blocks, the space has 2"):
        case.encoding.encode(outside)


def test_the_layout_depends_on_the_limits_alone() -> None:
    other = replace(SMASHV1, budget_share=(0.1, 0.2), min_ops=2, units="uniform")
    assert Encoding(other.limits, 3) == Encoding(SMASHV1.limits, 3)
