"""Spaces selected by size. Seeds are fixed, so that no test fails at random."""

import math
import statistics

import pytest
from hypothesis import settings

from smash_lightning.architecture import Architecture, cost
from smash_lightning.random_streams import Stream, rng
from smash_lightning.search_space import MemoryBankSpace, SizeBalanced, SizeMatched
from tests.cases import V1, V2_VOLUMES, every_seed

spaces = pytest.mark.parametrize("space", [V1, V2_VOLUMES], ids=["v1", "v2-3d"])
SIZED = {space: SizeMatched(space, 0.15) for space in (V1, V2_VOLUMES)}
BALANCED = {space: SizeBalanced(space) for space in (V1, V2_VOLUMES)}
DRAWS = 120


def log_size(architecture: Architecture, space: MemoryBankSpace) -> float:
    return math.log(cost(architecture, space.image_spec).params)


@spaces
@every_seed
def test_every_architecture_has_the_target_size(space: MemoryBankSpace, seed: int) -> None:
    sized = SIZED[space]
    architecture = sized.sample(rng(seed))
    for candidate in (architecture, sized.perturb(architecture, rng(seed), 0.1)):
        params = cost(candidate, space.image_spec).params
        assert 0.85 * sized.target <= params <= 1.15 * sized.target
        assert sized.violation(candidate) is None


@spaces
def test_the_target_is_the_median_of_the_space(space: MemoryBankSpace) -> None:
    assert SIZED[space] == SizeMatched(space, 0.15)
    smaller = [cost(space.sample(rng("median", s)), space.image_spec).params < SIZED[space].target for s in range(200)]
    assert 70 < sum(smaller) < 130
    assert SizeMatched(space, 0.1, target=5000).target == 5000


def test_a_violation_has_the_size() -> None:
    sized = SIZED[V1]
    other = next(a for a in (V1.sample(rng(seed)) for seed in range(100)) if not sized.contains(a))
    params = cost(other, V1.image_spec).params
    assert sized.violation(other) == f"it has {params} parameters, not {sized.target} within 15%"
    assert SIZED[V1].violation(V2_VOLUMES.sample(rng(0))) == "it is 3D, the space is 2D"


def test_a_size_that_nothing_has_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smash_lightning.search_space.by_size.ATTEMPTS", 200)
    with pytest.raises(ValueError, match="none of 200 architectures has 10 parameters within 10%"):
        SizeMatched(V1, 0.1, target=10).sample(rng(0))


@spaces
@every_seed
def test_samples_are_of_the_space_and_a_function_of_the_generator(space: MemoryBankSpace, seed: int) -> None:
    balanced = BALANCED[space]
    architecture = balanced.sample(rng(seed), progress=0.3)
    assert space.violation(architecture) is None
    assert balanced.violation(architecture) is None
    assert balanced.sample(rng(seed), progress=0.3) == architecture
    assert balanced.perturb(architecture, rng(1), 0.3) == space.perturb(architecture, rng(1), 0.3)
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


@settings(max_examples=5)
@every_seed
def test_of_a_pool_the_nearest_to_the_target_is_chosen(seed: int) -> None:
    space = V2_VOLUMES  # whose kernels grow with the progress
    balanced, draws = SizeBalanced(space, pool=5), rng("pool", seed)
    logs = [log_size(space.sample(rng(Stream.SIZE_RANGE, index)), space) for index in range(200)]
    assert balanced.extremes == (min(logs), max(logs))
    target = draws.uniform(*balanced.extremes)
    pool = [space.sample(draws, 0.2) for _ in range(5)]
    nearest = min(pool, key=lambda each: abs(log_size(each, space) - target))
    assert balanced.sample(rng("pool", seed), 0.2) == nearest
