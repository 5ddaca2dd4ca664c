"""Samples of balanced sizes. Seeds are fixed, so that no test fails at random."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass, field

import pytest
from hypothesis import settings

from smash_lightning.architecture import Architecture, cost
from smash_lightning.random_streams import rng
from smash_lightning.search_space import MemoryBankSpace, SizeBalanced
from tests.cases import V1, V2_VOLUMES, every_seed

spaces = pytest.mark.parametrize("space", [V1, V2_VOLUMES], ids=["v1", "v2-3d"])
BALANCED = {space: SizeBalanced(space) for space in (V1, V2_VOLUMES)}
DRAWS = 120


def log_size(architecture: Architecture, space: MemoryBankSpace) -> float:
    return math.log(cost(architecture, space.image_spec).params)


@spaces
@every_seed
def test_samples_are_of_the_space_and_a_function_of_the_generator(space: MemoryBankSpace, seed: int) -> None:
    balanced = BALANCED[space]
    architecture = balanced.sample(rng(seed), progress=0.3)
    assert space.violation(architecture) is None
    assert balanced.violation(architecture) is None
    assert balanced.sample(rng(seed), progress=0.3) == architecture
    assert balanced.limits == space.limits
    assert balanced.image_spec == space.image_spec


@spaces
def test_sizes_are_flatter_than_those_of_the_space(space: MemoryBankSpace) -> None:
    def middle_half(drawn: MemoryBankSpace | SizeBalanced) -> float:
        logs = [log_size(drawn.sample(rng("balance", seed)), space) for seed in range(DRAWS)]
        first, _, third = statistics.quantiles(logs, n=4)
        return third - first

    plain, eight, many = (middle_half(each) for each in (space, SizeBalanced(space), SizeBalanced(space, pool=24)))
    assert 1.1 * plain < eight
    assert 1.1 * eight < many


@dataclass(frozen=True)
class Counting(MemoryBankSpace):
    """Records its samples."""

    drawn: list[Architecture] = field(default_factory=list, compare=False)

    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        self.drawn.append(super().sample(rng, progress))
        return self.drawn[-1]


@settings(max_examples=5)
@every_seed
def test_of_a_pool_the_nearest_to_the_target_is_chosen(seed: int) -> None:
    space = Counting(**{name: getattr(V1, name) for name in V1.__dataclass_fields__})
    balanced = SizeBalanced(space, pool=5)
    logs = [log_size(architecture, V1) for architecture in space.drawn]
    assert balanced.extremes == (min(logs), max(logs))
    space.drawn.clear()
    chosen = balanced.sample(rng("pool", seed))
    assert len(space.drawn) == 5
    assert chosen in space.drawn
    # The target is drawn first.
    target = rng("pool", seed).uniform(*balanced.extremes)
    distance = {architecture: abs(log_size(architecture, V1) - target) for architecture in space.drawn}
    assert distance[chosen] == min(distance.values())


def test_perturbations_are_those_of_the_space() -> None:
    architecture = V1.sample(rng(0))
    balanced = SizeBalanced(V1)
    assert balanced.perturb(architecture, rng(1), 0.3) == V1.perturb(architecture, rng(1), 0.3)
    outside = V2_VOLUMES.sample(rng(0))
    assert balanced.violation(outside) == V1.violation(outside)


def test_a_pool_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="a pool of 1 samples cannot be balanced: take at least 2"):
        SizeBalanced(V1, pool=1)
