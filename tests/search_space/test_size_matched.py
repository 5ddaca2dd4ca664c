from __future__ import annotations

import pytest

from smash_lightning.architecture import cost
from smash_lightning.random_streams import rng
from smash_lightning.search_space import MemoryBankSpace, SizeMatched
from tests.cases import V1, V2_VOLUMES, every_seed

spaces = pytest.mark.parametrize("space", [V1, V2_VOLUMES], ids=["v1", "v2-3d"])
SIZED = {space: SizeMatched(space, 0.15) for space in (V1, V2_VOLUMES)}


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


def test_a_violation_of_the_whole_space_comes_first() -> None:
    assert SIZED[V1].violation(V2_VOLUMES.sample(rng(0))) == "it is 3D, the space is 2D"


def test_impossible_sizes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smash_lightning.search_space.size_matched.ATTEMPTS", 200)
    with pytest.raises(ValueError, match=r"size_tolerance must be between 0 and 1, got 1\.5"):
        SizeMatched(V1, 1.5)
    with pytest.raises(ValueError, match="none of 200 architectures has 10 parameters within 10%"):
        SizeMatched(V1, 0.1, target=10).sample(rng(0))


def test_the_specification_has_the_target() -> None:
    specification = SizeMatched(V1, 0.1, target=5000).specification()
    assert specification["SizeMatched.target"] == "5000"
    assert specification["SizeMatched.space.base"] == "4"
