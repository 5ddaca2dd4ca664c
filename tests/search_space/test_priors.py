"""Frequencies of samples against the paper's priors. Seeds are fixed, so that no test fails at random."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from scipy import stats

from smash_lightning.architecture import Architecture, Op
from smash_lightning.random_streams import rng
from smash_lightning.search_space import MemoryBankSpace, ParallelConvolutions, SingleConvolution
from smash_lightning.search_space.smashv2 import PATH_LENGTHS
from tests.cases import IMAGES, SMASHV2, small

WIDE = small(IMAGES, SingleConvolution(), max_units=12, inputs=(32,), memory=(48,), min_ops=6, max_ops=6)
BANKS = 12


def draws(space: MemoryBankSpace, count: int) -> list[Architecture]:
    return [space.sample(rng("prior", seed)) for seed in range(count)]


def ops_with_filled(space: MemoryBankSpace, count: int) -> list[tuple[Op, int]]:
    """Sampled ops, each with the number of banks that were filled before it."""
    found = []
    for architecture in draws(space, count):
        for block in architecture.blocks:
            filled = block.inputs
            for op in block.ops:
                found.append((op, filled))
                filled = max(filled, op.write[-1] + 1)
    return found


def test_op_shapes_occur_at_their_prior() -> None:
    body, stream = ParallelConvolutions(), rng("shapes")
    counts = Counter(tuple(len(path) for path in body.draw(stream, 2, 1.0)) for _ in range(2000))
    assert set(counts) == set(PATH_LENGTHS)
    prior = {(1,): 0.05, (1, 1): 0.10, (2,): 0.15, (2, 1): 0.25, (2, 2): 0.45}
    test = stats.chisquare([counts[shape] for shape in prior], [2000 * p for p in prior.values()])
    assert test.pvalue > 0.01, counts


@pytest.mark.parametrize(
    ("name", "value"),
    [("kernel", lambda c: c.kernel[0]), ("groups", lambda c: c.groups), ("dilation", lambda c: c.dilation[1])],
)
def test_convolutions_are_drawn_evenly(name: str, value: Callable) -> None:
    body, stream = ParallelConvolutions(), rng("convolutions")
    convolutions = [c for _ in range(800) for path in body.draw(stream, 2, 1.0) for c in path]
    if name == "dilation":
        # Given a kernel of 3, as many dilations as span at most 9 pixels: 1 to 4.
        convolutions = [c for c in convolutions if c.kernel[1] == 3]
    counts = Counter(value(c) for c in convolutions)
    assert len(counts) == {"kernel": 3, "groups": 4, "dilation": 4}[name]
    assert stats.chisquare(list(counts.values())).pvalue > 0.01, counts


def test_fewer_writes_are_exponentially_more_likely() -> None:
    expected = variance = observed = 0.0
    for op, filled in ops_with_filled(WIDE, 300):
        most = min(max(op.units, filled // 2), filled + min(op.units, BANKS - filled))
        weights = [math.exp(-extra) for extra in range(most - op.units + 1)]
        if len(weights) > 1:
            mean = sum(extra * w for extra, w in enumerate(weights)) / sum(weights)
            square = sum(extra**2 * w for extra, w in enumerate(weights)) / sum(weights)
            expected, variance = expected + mean, variance + square - mean**2
            observed += len(op.write) - op.units
    assert variance > 100, "enough ops could write more banks than they have units"
    assert abs(observed - expected) < 3 * math.sqrt(variance)


def test_near_read_makes_ops_about_as_wide_as_their_input() -> None:
    def distance(space: MemoryBankSpace) -> float:
        ops = [op for op, _ in ops_with_filled(space, 150)]
        return sum(abs(op.units - len(op.read)) for op in ops) / len(ops)

    near, uniform = distance(replace(WIDE, units="near_read")), distance(WIDE)
    assert near < 1
    assert uniform > 3


def test_uniform_units_are_uniform() -> None:
    counts = Counter(op.units for op, _ in ops_with_filled(WIDE, 300))
    assert sorted(counts) == list(range(1, BANKS + 1))
    assert stats.chisquare([counts[units] for units in range(1, BANKS + 1)]).pvalue > 0.01


def test_reads_are_uniform_over_counts_and_banks() -> None:
    first = [op for op, filled in ops_with_filled(WIDE, 1500) if filled == 8]
    counts = Counter(len(op.read) for op in first)
    assert stats.chisquare([counts[n] for n in range(1, 9)]).pvalue > 0.01
    banks = Counter(bank for op in first if len(op.read) == 1 for bank in op.read)
    assert stats.chisquare([banks[bank] for bank in range(8)]).pvalue > 0.01


def test_reads_fill_whole_slices_where_possible() -> None:
    for op, filled in ops_with_filled(replace(WIDE, read_step=3), 40):
        assert filled < 3 or len(op.read) % 3 == 0
    for architecture in draws(SMASHV2, 10):
        for block in architecture.blocks:
            assert all(len(op.read) * block.width % 16 == 0 for op in block.ops)


def test_number_of_ops_is_uniform_without_a_budget() -> None:
    counts = Counter(len(a.blocks[0].ops) for a in draws(replace(WIDE, min_ops=2, max_ops=6), 500))
    assert sorted(counts) == [2, 3, 4, 5, 6]
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_the_most_banks_are_random_where_they_are_in_the_paper() -> None:
    sampled = Counter(a.blocks[0].banks for a in draws(replace(WIDE, sample_banks=True, max_ops=20, min_ops=20), 200))
    always = Counter(a.blocks[0].banks for a in draws(replace(WIDE, max_ops=20, min_ops=20), 50))
    assert set(sampled) == {8, 9, 10, 11, 12}
    assert set(always) == {12}
