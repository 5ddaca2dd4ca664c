"""The architectural gradient against random perturbations: on a loss linear in c, and on a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from smash_lightning.analyses import gradient
from smash_lightning.analyses.gradient import COLUMNS, GRADIENT, RANDOM, Trial, compare
from smash_lightning.architecture import Architecture
from smash_lightning.random_streams import rng
from smash_lightning.scoring import Score
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on, read_results
from tests.strategies.synthetic import EQUAL_OPS, Separable, score

OPTIONS: dict[str, Any] = {"parents": 6, "pool": 4, "probability": 0.3, "trials": 3}


def trial(seed: int, **changes: Any) -> Trial:
    """On a loss that is linear in c, of networks with equal numbers of ops."""
    loss = Separable.over(EQUAL_OPS, seed)

    def of(architecture: Architecture) -> Score:
        return score(architecture, loss)

    values = {"drawn": frozenset(), "pool": 16, "probability": 0.2, "trials": 4, "seed": seed}
    return Trial(of, loss.gradient, loss.encoding, EQUAL_OPS, **values | changes)


@pytest.mark.parametrize("sign", [1, -1])
def test_on_a_linear_loss_predictions_are_exact_and_the_gradient_beats_random_draws(sign: int) -> None:
    rows = []
    for seed in range(12):
        tried = trial(seed)
        parent = EQUAL_OPS.sample(rng("parent", seed))
        signed = replace(tried, gradient=lambda one, loss=tried.gradient: sign * loss(one))
        rows += signed((parent, tried.perturbations(parent)))
    table = pd.DataFrame(rows, columns=COLUMNS)
    changes = table["val_loss"] - table["parent_loss"]
    assert sign * table["predicted"].to_numpy() == pytest.approx(changes.to_numpy(), abs=1e-9)
    found = compare(table, 300, 0)
    one, *_, four = found["gradient_minus"].values()
    assert one.high < 0 if sign == 1 else one.low > 0
    assert sign == -1 or four.value < 0, "it chose from four times as many"
    assert found["prediction"].value == pytest.approx(sign)


def test_perturbations_are_new_and_different() -> None:
    parent = EQUAL_OPS.sample(rng("parent"))
    first = trial(0).perturbations(parent)
    drawn = frozenset(child.fingerprint for child in first[:2])
    others = trial(0, drawn=drawn).perturbations(parent)
    for found in (first, others):
        assert len(set(found)) == 4
        assert parent not in found
    assert others[:2] == first[2:], "what training drew is skipped"
    assert trial(0).perturbations(parent) == first
    assert trial(1).perturbations(parent) != first
    chosen = trial(0)((parent, []))[0][COLUMNS.index("fingerprint")]
    assert trial(0, drawn=frozenset({chosen}))((parent, []))[0][COLUMNS.index("fingerprint")] != chosen
    every = MagicMock(**{"__contains__.return_value": True})
    message = rf"^architecture {parent.fingerprint} has 0 new perturbations in 200 draws: raise task.probability=0.2"
    with pytest.raises(ValueError, match=message):
        trial(0, drawn=every).perturbations(parent)


def test_it_writes_table_estimates_and_picture(source: Path, tmp_path: Path) -> None:
    difference = gradient(experiment_on(source, tmp_path), NO_LOGGERS, **OPTIONS)
    rows, found = read_results(tmp_path, "gradient")
    assert len(rows) == 6 * (1 + 3)
    ranked = pd.read_csv(source / "ranking.csv").set_index("fingerprint").loc[rows["parent"]]
    assert rows["parent_loss"].to_numpy() == pytest.approx(ranked["val_loss"].to_numpy(), rel=1e-6)
    assert set(ranked["strategy"]) == {"random"}
    assert (rows["fingerprint"] != rows["parent"]).all()
    assert (rows["seconds"] > 0).all()
    assert ((rows["gradient_seconds"] > 0) == (rows["method"] == GRADIENT)).all()
    changes = {m: (part["val_loss"] - part["parent_loss"]).to_numpy() for m, part in rows.groupby("method")}
    chosen, random = changes[GRADIENT], changes[RANDOM].reshape(6, 3)
    of_gradient, *of_random = (one["value"] for one in found["changes"].values())
    assert of_gradient == pytest.approx(chosen.mean())
    paired = [one["value"] for one in found["gradient_minus"].values()]
    for count in (1, 2, 3):
        best = [min(changes_of_parent[:count]) for changes_of_parent in random]
        assert of_random[count - 1] == pytest.approx(np.mean(best))
        assert paired[count - 1] == pytest.approx(np.mean(chosen - best))
    assert difference == paired[-1]
    predicted = rows["predicted"][rows["method"] == RANDOM].to_numpy().reshape(6, 3)
    assert found["prediction"]["value"] == pytest.approx(spearmanr(predicted[:, 0], random[:, 0]).statistic)
    assert found["score_seconds"] == rows["seconds"].median()
    assert found["gradient_seconds"] == rows["gradient_seconds"][rows["method"] == GRADIENT].median()
