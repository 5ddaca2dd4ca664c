"""The architectural gradient against chance: on a loss that is linear in c, on made-up tables, on a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from smash_lightning.analyses import gradient
from smash_lightning.analyses.gradient import GRADIENT, RANDOM, Trial, Tried, compare
from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.tables import Scored, read_records
from smash_lightning.hypernet import HyperNetSpecification, SharedWeights
from smash_lightning.random_streams import rng
from smash_lightning.scoring import Score
from smash_lightning.stages import RunFolder
from tests.analyses.small_analysis import NOBODY, Noting, experiment_on, left, run_to_investigate
from tests.stages.small_run import SEARCH
from tests.strategies.synthetic import EQUAL_OPS, Separable, score

OPTIONS: dict[str, Any] = {"parents": 6, "pool": 4, "probability": 0.3, "trials": 3}


def trial(seed: int, **changes: Any) -> Trial:
    """On a loss that is linear in c, of networks whose ops are all alike in number."""
    loss = Separable.over(EQUAL_OPS, seed)

    def of(architecture: Architecture) -> Score:
        return score(architecture, loss)

    values = {"drawn": frozenset(), "pool": 16, "probability": 0.2, "trials": 4, "seed": seed}
    return Trial(of, loss.gradient, loss.encoding, EQUAL_OPS, **values | changes)


def test_on_a_linear_loss_every_prediction_comes_true_and_the_pick_beats_chance() -> None:
    rows = []
    for seed in range(12):
        test = trial(seed)
        parent = EQUAL_OPS.sample(rng("parent", seed))
        rows += test(parent, test.perturbations(parent))
    for row in rows:
        assert row.predicted == pytest.approx(row.val_loss - row.parent_loss, abs=1e-9)
    found = compare(rows, 1, 300, 0)
    one, *_, four = found.gradient_minus_random
    assert one is not None
    assert four is not None
    assert one.high < 0
    assert four.value < 0, "it chose from four times as many"
    assert found.prediction is not None
    assert found.prediction.value == pytest.approx(1)


def test_with_a_gradient_of_the_other_sign_it_is_worse_than_chance() -> None:
    rows = []
    for seed in range(12):
        test = trial(seed)
        loss = test.gradient
        parent = EQUAL_OPS.sample(rng("parent", seed))
        rows += replace(test, gradient=lambda a, loss=loss: -loss(a))(parent, test.perturbations(parent))
    found = compare(rows, 1, 300, 0)
    one = found.gradient_minus_random[0]
    assert one is not None
    assert one.low > 0
    assert found.prediction is not None
    assert found.prediction.value == pytest.approx(-1)


def test_perturbations_are_new_and_different() -> None:
    parent = EQUAL_OPS.sample(rng("parent"))
    first = trial(0).perturbations(parent)
    drawn = frozenset(child.fingerprint for child in first[:2])
    others = trial(0, drawn=drawn).perturbations(parent)
    for found in (first, others):
        assert len(set(found)) == 4
        assert parent not in found
    assert others[:2] == first[2:], "what training drew is passed over"
    assert trial(0).perturbations(parent) == first
    assert trial(1).perturbations(parent) != first


def test_what_training_drew_is_not_picked() -> None:
    parent = EQUAL_OPS.sample(rng("parent"))
    first = trial(0)(parent, [])[0].fingerprint
    second = trial(0, drawn=frozenset({first}))(parent, [])[0].fingerprint
    assert second not in (first, parent.fingerprint)


def test_too_few_perturbations() -> None:
    parent = EQUAL_OPS.sample(rng("parent"))
    message = (
        rf"^architecture {parent.fingerprint} has \d+ new perturbations in 200 draws: raise task.probability=1e-06"
    )
    with pytest.raises(ValueError, match=message):
        trial(0, probability=1e-6).perturbations(parent)


# --- figures ---


def made_up(parents: int, trials: int) -> list[Tried]:
    chance = np.random.default_rng(0)
    rows = []
    for parent in range(parents):
        before = chance.normal()
        for place in range(trials + 1):
            method, draw = (RANDOM, place - 1) if place else (GRADIENT, 0)
            after, predicted = before + chance.normal(), chance.normal()
            seconds = 0.5 + 0.1 * place
            rows.append(
                Tried(f"p{parent}", method, draw, f"c{place}", predicted, before, after, seconds, 2.0 - 2 * draw)
            )
    return rows


def test_figures_are_what_the_slow_way_gives() -> None:
    rows, parents = made_up(11, 3), range(11)
    found = compare(rows, 2, 300, 0)
    assert (found.parents, found.hypernets, found.trials) == (11, 2, 3)
    change = {(row.parent, row.method, row.draw): row.val_loss - row.parent_loss for row in rows}
    picks = [change[f"p{p}", GRADIENT, 0] for p in parents]
    first = [change[f"p{p}", RANDOM, 0] for p in parents]
    predicted = [row.predicted for row in rows if (row.method, row.draw) == (RANDOM, 0)]
    assert found.gradient is not None
    assert found.prediction is not None
    assert found.gradient.value == pytest.approx(np.mean(picks))
    assert found.prediction.value == pytest.approx(spearmanr(predicted, first).statistic)
    for count, own, paired in zip((1, 2, 3), found.best_random, found.gradient_minus_random, strict=True):
        best = [min(change[f"p{p}", RANDOM, draw] for draw in range(count)) for p in parents]
        assert own is not None
        assert paired is not None
        assert own.value == pytest.approx(np.mean(best))
        assert paired.value == pytest.approx(np.mean(picks) - np.mean(best))
    assert found.gradient_seconds == 2.0
    assert found.score_seconds == pytest.approx(0.65)


def test_differences_are_paired() -> None:
    rows = [
        replace(
            row, val_loss=row.parent_loss + 5 * len(row.parent) + int(row.parent[1:]) - 0.5 * (row.method == GRADIENT)
        )
        for row in made_up(11, 3)
    ]
    found = compare(rows, 1, 300, 0)
    for difference in found.gradient_minus_random:
        assert difference is not None
        assert (difference.low, difference.high) == pytest.approx((-0.5, -0.5))
    assert found.gradient is not None
    assert found.gradient.high - found.gradient.low > 1


# --- on a run ---


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_to_investigate(tmp_path_factory.mktemp("gradient") / "run", trained=False)


def test_it_leaves_table_figures_and_picture(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noting = Noting()
    lead = gradient(experiment_on(source, tmp_path), noting, **OPTIONS)
    rows, figures = left(tmp_path, "gradient")
    assert len(rows) == noting.tables["gradient"] == 6 * (1 + 3)
    assert (figures["parents"], figures["hypernets"], figures["trials"]) == (6, 2, 3)
    ranked = {row.fingerprint: row for row in read_records(source / "ranking.csv", Scored)}
    drawn = set(RunFolder(source).read_architectures()) - ranked.keys()
    for row in rows:
        assert float(row["parent_loss"]) == pytest.approx(ranked[row["parent"]].val_loss, rel=1e-6)
        assert ranked[row["parent"]].strategy == "random"
        assert row["fingerprint"] not in {row["parent"], *drawn}
        assert float(row["seconds"]) > 0
        assert (float(row["gradient_seconds"]) > 0) == (row["method"] == GRADIENT)
    changes = {
        method: [float(r["val_loss"]) - float(r["parent_loss"]) for r in rows if r["method"] == method]
        for method in (GRADIENT, RANDOM)
    }
    best = np.reshape(changes[RANDOM], (6, 3)).min(1)
    assert figures["gradient_minus_random"][2]["value"] == pytest.approx(np.mean(changes[GRADIENT] - best))
    assert lead == figures["gradient_minus_random"][2]["value"] == noting.figures["gradient/gradient_minus_random/2"]
    assert noting.images == {"gradient_png": tmp_path / "gradient.png"}
    assert "the best of 3 random ones" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parents": 3}, r"^task.parents must be at least 5, got 3$"),
        ({"pool": 0}, r"^task.pool \(0\) and task.trials \(3\) must be at least 1"),
        ({"trials": 0}, r"^task.pool \(4\) and task.trials \(0\) must be at least 1"),
        ({"probability": 0}, r"task.probability \(0\) lie between 0 and 1$"),
        ({"probability": 1e-6}, r"raise task.probability=1e-06 or lower task.trials=3$"),
    ],
)
def test_options_that_make_no_sense(source: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradient(experiment_on(source, tmp_path), NOBODY, **OPTIONS | options)


def test_without_c_there_is_no_gradient(tmp_path: Path) -> None:
    hypernet = HyperNetSpecification.of(SharedWeights)
    changes = {"hypernet": hypernet, "search": SEARCH}
    run = run_to_investigate(tmp_path / "run", trained=False, **changes)
    with pytest.raises(ValueError, match=r"^task=gradient asks .* see none \(SharedWeights\)"):
        gradient(experiment_on(run, tmp_path / "new", **changes), NOBODY, **OPTIONS)
