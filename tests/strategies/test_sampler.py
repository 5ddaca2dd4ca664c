"""The learned sampler: its two models, and its choices."""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence

import pytest

from smash_lightning.architecture import Architecture
from smash_lightning.random_streams import rng
from smash_lightning.strategies import AutoregressiveSampler, History, ScoredCandidate
from smash_lightning.strategies.sampler import SMOOTHING, Decision, Model, decisions
from tests.cases import V1, Case, every_case, every_seed, small

TINY = small(
    V1.image_spec, V1.body, inputs=(4,), memory=(4,), max_units=1, max_ops=1
)  # one op, of which only the dilation varies


def dilations(architecture: Architecture) -> list[int]:
    return [op.paths[0][0].dilation[0] for op in architecture.ops()]


@every_case
@every_seed
def test_decisions_name_each_element_once(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    made = decisions(architecture)
    assert len({(kind, context) for kind, context, _ in made}) == len(made)
    convolutions = [c for op in architecture.ops() for path in op.paths for c in path]
    blocks, ops = architecture.blocks, list(architecture.ops())
    assert len(made) == 3 * len(blocks) + 5 * len(ops) + 4 * len(convolutions)
    for b, block in enumerate(blocks):
        reads = itertools.pairwise([None, *(len(op.read) for op in block.ops)])
        expected = [(f"in op {o} after {before}", count) for o, (before, count) in enumerate(reads)]
        assert [(context, value) for kind, context, value in made if kind == f"read in block {b}"] == expected


@every_case
def test_probabilities_of_all_values_add_up_to_one(case: Case) -> None:
    made = [decisions(case.draw(seed)) for seed in range(12)]
    everyone = Model(made)
    elite = Model(made[:3], everyone)
    values: dict[str, set[Hashable]] = {}
    for kind, _, value in itertools.chain(*made):
        values.setdefault(kind, {"another value"}).add(value)
    for kind, context, _ in made[-1]:
        for model in (everyone, elite):
            assert sum(model.probability(kind, context, value) for value in values[kind]) == pytest.approx(1)


def test_frequencies_are_smoothed_from_context_to_context() -> None:
    def decide(*values: int) -> list[Decision]:
        return [("kind", f"at {position}", value) for position, value in enumerate(values)]

    everyone = Model([decide(1, 2), decide(1, 1), decide(2, 2)])
    elite = Model([decide(1, 2)], everyone)
    s = SMOOTHING
    wide = (3 + s / 3) / (6 + s)  # of six values three are 1; the third option is one that did not occur
    found = [everyone.probability(*decision) for decision in decide(1, 1, 1)]
    assert found == pytest.approx([(2 + s * wide) / (3 + s), (1 + s * wide) / (3 + s), wide])
    of_elite = (1 + s * wide) / (2 + s)
    found = [elite.probability(*decision) for decision in decide(1, 1)]
    assert found == pytest.approx([(1 + s * of_elite) / (1 + s), (0 + s * of_elite) / (1 + s)])
    assert elite.log_likelihood(decide(1, 1)) == pytest.approx(math.log(found[0]) + math.log(found[1]))


def scored(space_draws: Sequence[tuple[Architecture, float]]) -> list[ScoredCandidate]:
    return [ScoredCandidate(architecture, "random", "", loss) for architecture, loss in space_draws]


def test_choices_follow_the_space_times_the_ratio() -> None:
    one, two, three = sorted({TINY.sample(rng("tiny", i)) for i in range(50)}, key=dilations)
    # Dilation 1 is common and often good, 2 is common and never good, 3 is rare and good.
    known = scored([(one, 0.1)] * 6 + [(three, 0.2)] * 4 + [(one, 1.0)] * 4 + [(two, 2.0)] * 11)
    strategy = AutoregressiveSampler(1, pool=40, elite=0.4)
    everyone = Model(decisions(e.architecture) for e in known)
    elite = Model((decisions(e.architecture) for e in known[:10]), everyone)
    made = [decisions(a) for a in (one, two, three)]
    ratio = [math.exp(elite.log_likelihood(each) - everyone.log_likelihood(each)) for each in made]
    chosen = Counter(strategy.propose(TINY, History(known), rng("choice", i))[0] for i in range(300))
    shares = [chosen[a] / 300 for a in (one, two, three)]
    expected = [r / sum(ratio) for r in ratio]  # all three are equally likely in the space
    assert shares == pytest.approx(expected, abs=0.115)  # four standard errors
    assert max(expected) - min(expected) > 0.25


def test_a_choice_that_is_not_accepted_is_as_if_it_had_not_been_in_the_pool() -> None:
    one, two, three = sorted({TINY.sample(rng("tiny", i)) for i in range(50)}, key=dilations)
    known = scored([(one, 0.1)] * 6 + [(three, 0.2)] * 4 + [(two, 2.0)] * 10)
    strategy = AutoregressiveSampler(1, pool=30, elite=0.5)

    def choices(history: History) -> Counter[Architecture]:
        return Counter(strategy.propose(TINY, history, rng("choice", i))[0] for i in range(200))

    everything, without = choices(History(known)), choices(History(known, accepts=lambda a: a != three))
    assert everything[three] > 60
    assert without[three] == 0
    shares = [found[one] / (found[one] + found[two]) for found in (everything, without)]
    assert shares[1] == pytest.approx(shares[0], abs=0.2)  # four standard errors
    assert shares[0] > 0.55
