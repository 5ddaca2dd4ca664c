"""The recurrent sampler: elements, likelihood and proposals."""

from collections.abc import Container, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import pytest

from smash_lightning.architecture import Architecture, Limits
from smash_lightning.random_streams import rng
from smash_lightning.strategies import History, RecurrentSampler, ScoredCandidate
from smash_lightning.strategies.recurrent import Element, Writer, assemble, elements
from tests.cases import V1, V2, Case, every_case, every_seed


def replayed(limits: Limits, described: Sequence[Element]) -> Architecture:
    """The architecture of these elements, each of which must be possible when it is chosen."""
    rest = iter(described)

    def choose(kind: str, possible: Container[Any] | None = None) -> Any:
        expected, value = next(rest)
        assert kind == expected
        assert possible is None or value in possible
        return value

    architecture = assemble(limits, choose)
    assert not list(rest)
    return architecture


@every_case
@every_seed
def test_elements_describe_an_architecture(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    assert replayed(case.space.limits, elements(architecture, case.space.limits)) == architecture


def test_what_is_fitted_to_one_architecture_writes_it() -> None:
    one = V2.sample(rng("one"))
    others = [V2.sample(rng("others", i)) for i in range(40)]
    *_, of_one = known = [elements(architecture, V2.limits) for architecture in (*others, one)]
    writer = Writer(known).fit([of_one] * 8, 120, rng("order"))
    assert [writer.write(V2.limits, rng("write", i)) == one for i in range(20)].count(True) >= 17


@pytest.mark.parametrize("sign", [1, -1], ids=["few", "many"])
def test_later_proposals_have_the_number_of_reads_that_is_scored_well(sign: int) -> None:
    strategy = RecurrentSampler(1, samples=64, elite=0.2, passes=15)

    def reads(architecture: Architecture) -> float:
        return sum(len(op.read) for op in architecture.ops()) / sum(1 for _ in architecture.ops())

    gains = []
    for seed in range(5):
        drawn = [V1.sample(rng("drawn", seed, i)) for i in range(60)]
        history = History([ScoredCandidate(each, "random", "", sign * reads(each)) for each in drawn])
        proposed = [strategy.propose(V1, history, rng("proposal", seed, i))[0] for i in range(12)]
        random = list(map(reads, drawn))
        gains.append(sign * (mean(random) - mean(map(reads, proposed))) / stdev(random))
    assert min(gains) > 0.5  # standard deviations of random draws
    assert mean(gains) > 1


def test_a_space_may_hold_lists_and_nothing_be_scored_yet() -> None:
    space = replace(V1)
    object.__setattr__(space, "budget_share", list(V1.budget_share))
    strategy = RecurrentSampler(1, samples=8, elite=0.2, passes=1)
    assert V1.contains(strategy.propose(space, History([]), rng("proposal"))[0])
