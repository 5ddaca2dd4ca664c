"""A ranking step by step, with a score that is a pure function of the architecture."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture
from smash_lightning.scoring import Score
from smash_lightning.strategies import Markov, Perturb, Random, Ranking, State, rank
from tests.cases import V1
from tests.strategies.synthetic import LABELS, Separable, complete, ranking, score

LOSS = Separable.over(V1)


def of_three(seed: int = 0) -> Ranking:
    return ranking(V1, (Random(7), Perturb(5, 0.3), Markov(6, 0.3)), LOSS, seed)


WHOLE = complete(of_three(), LOSS)


def test_every_strategy_has_its_rows() -> None:
    assert of_three().total == len(WHOLE.rows) == 18
    assert [row.candidate.strategy for row in WHOLE.rows] == ["random"] * 7 + ["perturb"] * 5 + ["markov"] * 6
    assert of_three().propose(WHOLE, 4) == []


@settings(max_examples=10)
@given(limit=st.integers(2, 20))
def test_rows_do_not_depend_on_how_many_are_scored_concurrently(limit: int) -> None:
    state = complete(of_three(), LOSS, limit)
    assert state.rows == WHOLE.rows
    assert torch.equal(state.probabilities, WHOLE.probabilities)
    first = of_three().propose(State(), 20)
    assert of_three().propose(State(), limit) == first[:limit] == [row.candidate for row in WHOLE.rows][: min(limit, 7)]


def test_after_is_called_with_what_was_added() -> None:
    seen: list[tuple[int, int]] = []

    def scores(architectures: Sequence[Architecture]) -> list[Score]:
        return [score(architecture, LOSS) for architecture in architectures]

    rank(of_three(), State(), scores, lambda state, new: seen.append((len(state.rows), len(new))), 4)
    assert seen == [(4, 4), (7, 3), (11, 4), (12, 1), *((n, 1) for n in range(13, 19))]


@pytest.mark.parametrize("seed", range(5))
def test_parents_are_the_best_before_perturb_and_the_best_so_far_for_markov(seed: int) -> None:
    rows = complete(of_three(seed), LOSS, 3).rows
    for i in range(7, 18):
        best = min(rows[: 7 if i < 12 else i], key=lambda row: row.val_loss).candidate.architecture
        assert rows[i].candidate.parent == best.fingerprint


def test_ensemble_error_is_that_of_the_mean_prediction() -> None:
    for i, row in enumerate(WHOLE.rows):
        so_far = [score(r.candidate.architecture, LOSS).probabilities.double() for r in WHOLE.rows[: i + 1]]
        predictions = [max(range(5), key=lambda c: sum(p[n, c].item() for p in so_far)) for n in range(len(LABELS))]
        errors = sum(p != label for p, label in zip(predictions, LABELS.tolist(), strict=True))
        assert row.ensemble_error == pytest.approx(100 * errors / len(LABELS))
        ours = score(row.candidate.architecture, LOSS)
        assert (row.val_error, row.val_loss, row.val_losses) == (ours.val_error, ours.val_loss, ours.val_losses)
