"""The architectural gradient against random perturbations: on a loss linear in c, on made-up tables, on a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

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
    message = (
        rf"^architecture {parent.fingerprint} has \d+ new perturbations in 200 draws: raise task.probability=1e-06"
    )
    with pytest.raises(ValueError, match=message):
        trial(0, probability=1e-6).perturbations(parent)


def made_up(parents: int, trials: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for parent in range(parents):
        before = generator.normal()
        for place in range(trials + 1):
            method, draw = (RANDOM, place - 1) if place else (GRADIENT, 0)
            after, predicted = before + generator.normal(), generator.normal()
            seconds = 0.5 + 0.1 * place
            rows.append((f"p{parent}", method, draw, f"c{place}", predicted, before, after, seconds, 2.0 - 2 * draw))
    return pd.DataFrame(rows, columns=COLUMNS)


def test_estimates_equal_the_slow_ones() -> None:
    table, parents = made_up(11, 3), [f"p{parent}" for parent in range(11)]
    found = compare(table, 300, 0)
    assert found["parents"] == 11
    change = {(row.parent, row.method, row.draw): row.val_loss - row.parent_loss for row in table.itertuples()}
    chosen = [change[p, GRADIENT, 0] for p in parents]
    first = [change[p, RANDOM, 0] for p in parents]
    predicted = table.loc[(table["method"] == RANDOM) & (table["draw"] == 0), "predicted"]
    gradient, *random = found["changes"].values()
    assert gradient.value == pytest.approx(np.mean(chosen))
    assert found["prediction"].value == pytest.approx(spearmanr(predicted, first).statistic)
    for count, own, paired in zip((1, 2, 3), random, found["gradient_minus"].values(), strict=True):
        best = [min(change[p, RANDOM, draw] for draw in range(count)) for p in parents]
        assert own.value == pytest.approx(np.mean(best))
        assert paired.value == pytest.approx(np.mean(chosen) - np.mean(best))
    assert (found["gradient_seconds"], found["score_seconds"]) == pytest.approx((2.0, 0.65))


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
    best = changes[RANDOM].reshape(6, 3).min(1)
    last = found["gradient_minus"]["the best of 3 random changes"]["value"]
    assert last == pytest.approx(np.mean(changes[GRADIENT] - best))
    assert difference == last
