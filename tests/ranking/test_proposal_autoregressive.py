"""The learned sampler: its two models, and what it picks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import pytest

from smash_lightning.architecture import Architecture
from smash_lightning.randomness import rng
from smash_lightning.ranking import Autoregressive, Entry, History
from smash_lightning.ranking.proposal.autoregressive import SMOOTHING, Decision, Model, decisions
from tests.cases import V1, Case, every_case, every_seed, small

TINY = small(V1.skeleton, V1.body, inputs=(4,), memory=(4,), max_units=1, max_ops=1)  # one op: its dilation is all
CHAIN = small(V1.skeleton, V1.body, inputs=(4,), memory=(4,), max_units=1, min_ops=6, max_ops=6)


def dilations(architecture: Architecture) -> list[int]:
    return [op.paths[0][0].dilation[0] for op in architecture.ops()]


def draws(case: Case, count: int) -> list[tuple[Decision, ...]]:
    return [decisions(case.draw(seed)) for seed in range(count)]


@every_case
@every_seed
def test_decisions_name_each_element_once(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    made = decisions(architecture)
    assert Counter(decision.narrow for decision in made).most_common(1)[0][1] == 1
    convolutions = [c for op in architecture.ops() for path in op.paths for c in path]
    blocks, ops = architecture.blocks, list(architecture.ops())
    assert len(made) == 3 * len(blocks) + 4 * len(ops) + 3 * len(convolutions)
    assert sum(d.value for d in made if d.wide[1] == "read") == sum(len(op.read) for op in ops)  # type: ignore


@every_case
def test_probabilities_of_all_values_add_up_to_one(case: Case) -> None:
    made = draws(case, 12)
    everyone = Model.fit(made)
    elite = Model.fit(made[:3], everyone)
    values: dict[Hashable, set[Hashable]] = {}
    for decision in (d for each in made for d in each):
        values.setdefault(decision.wide, {"something else"}).add(decision.value)
    for decision in made[-1]:
        for model in (everyone, elite):
            total = sum(model.probability(replace(decision, value=value)) for value in values[decision.wide])
            assert total == pytest.approx(1)


def test_frequencies_are_smoothed_from_context_to_context() -> None:
    def decide(value: int, place: int) -> Decision:
        return Decision("kind", ("kind", place), value)

    everyone = Model.fit([[decide(1, 0), decide(2, 1)], [decide(1, 0), decide(1, 1)], [decide(2, 0), decide(2, 1)]])
    elite = Model.fit([[decide(1, 0), decide(2, 1)]], everyone)
    s = SMOOTHING
    wide = (3 + s / 3) / (6 + s)  # of six values three are 1; the third option is what was never seen
    assert everyone.probability(decide(1, 0)) == pytest.approx((2 + s * wide) / (3 + s))
    assert everyone.probability(decide(1, 7)) == pytest.approx(wide)
    of_elite = (1 + s * wide) / (2 + s)
    assert elite.probability(decide(1, 0)) == pytest.approx((1 + s * of_elite) / (1 + s))
    assert elite.probability(decide(1, 1)) == pytest.approx((0 + s * of_elite) / (1 + s))


def scored(space_draws: Sequence[tuple[Architecture, float]]) -> list[Entry]:
    return [Entry(architecture, "random", "", loss) for architecture, loss in space_draws]


def test_picks_follow_the_space_times_the_ratio() -> None:
    one, two, three = sorted({TINY.sample(rng("tiny", i)) for i in range(50)}, key=dilations)
    # Dilation 1 is common and often good, 2 is common and never good, 3 is rare and good.
    known = scored([(one, 0.1)] * 6 + [(three, 0.2)] * 4 + [(one, 1.0)] * 4 + [(two, 2.0)] * 11)
    strategy = Autoregressive(1, pool=60, elite=0.4)
    everyone = Model.fit(decisions(e.architecture) for e in known)
    elite = Model.fit((decisions(e.architecture) for e in known[:10]), everyone)
    made = [decisions(a) for a in (one, two, three)]
    ratio = [Model.probability(elite, m[-2]) / Model.probability(everyone, m[-2]) for m in made]
    assert [m[-2].value for m in made] == [(1, 1), (2, 2), (3, 3)]
    picks = Counter(strategy.propose(TINY, History(known), rng("pick", i))[0] for i in range(500))
    shares = [picks[a] / 500 for a in (one, two, three)]
    expected = [r / sum(ratio) for r in ratio]  # the space draws all three alike
    assert shares == pytest.approx(expected, abs=0.09)  # four standard errors
    assert max(expected) - min(expected) > 0.25


def test_a_pick_that_is_not_admitted_is_as_if_it_had_not_been_drawn() -> None:
    one, two, three = sorted({TINY.sample(rng("tiny", i)) for i in range(50)}, key=dilations)
    known = scored([(one, 0.1)] * 6 + [(three, 0.2)] * 4 + [(two, 2.0)] * 10)
    strategy = Autoregressive(1, pool=60, elite=0.5)

    def share(history: History) -> float:
        picks = Counter(strategy.propose(TINY, history, rng("pick", i))[0] for i in range(400))
        return picks[one] / (picks[one] + picks[two])

    free, without = share(History(known)), share(History(known, admits=lambda a: a != three))
    assert without == pytest.approx(free, abs=0.14)  # four standard errors
    assert free > 0.55


def test_what_the_op_before_chose_matters() -> None:
    # Good are those whose dilations keep changing. How often each dilation occurs says nothing of it.
    sampled = [CHAIN.sample(rng("chain", i)) for i in range(300)]

    def changes(architecture: Architecture) -> int:
        found = dilations(architecture)
        return sum(a != b for a, b in itertools.pairwise(found))

    known = scored([(a, -changes(a)) for a in sampled])
    picked = [Autoregressive(1, 20, 0.2).propose(CHAIN, History(known), rng("next", i))[0] for i in range(60)]
    before, after = (sum(map(changes, group)) / len(group) for group in (sampled, picked))
    assert before == pytest.approx(2 / 3 * 5, abs=0.3)
    assert after > before + 0.4  # four standard errors


@pytest.mark.parametrize("elite", [0.0, 1.1])
def test_a_share_is_a_share(elite: float) -> None:
    with pytest.raises(ValueError, match=f"ranking.proposals.autoregressive.elite must .* got {elite}"):
        Autoregressive(1, 4, elite)
