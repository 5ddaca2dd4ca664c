"""Strategies at equal cost, and races replayed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smash_lightning.analyses import racing, strategies
from smash_lightning.analyses.racing import recall
from smash_lightning.analyses.strategies import advantage
from smash_lightning.scoring import CandidateMetrics, LossPlusSizeRank
from smash_lightning.strategies import Evolution, Perturb
from smash_lightning.strategies.racing import Racing
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on, read_results


def test_strategies_continue_from_the_same_candidates(source: Path, tmp_path: Path) -> None:
    chosen = {"perturb": Perturb(4, 0.2), "evolution": Evolution(4, 4, 2, 0.2)}
    experiment = experiment_on(source, tmp_path)
    experiment = replace(experiment, ranking=replace(experiment.ranking, smash_score=LossPlusSizeRank()))
    gain = strategies(experiment, NO_LOGGERS, strategies=chosen, start=3, repeats=2)
    table, found = read_results(tmp_path, "strategies")
    assert len(table) == 3 * 2 * 7
    rows = table[["val_error", "val_loss", "params"]].itertuples(index=False)
    together = LossPlusSizeRank()([CandidateMetrics(*row) for row in rows])
    assert table["smash_score"].to_numpy() == pytest.approx(np.array(together)), "ranks among all searches"
    assert (table["best"] == table.groupby(["strategy", "repeat"])["smash_score"].cummin()).all()
    starts = table[table["scored"] <= 3].pivot(index=["repeat", "scored"], columns="strategy", values="smash_score")
    assert (starts.nunique(axis=1) == 1).all()
    assert starts.loc[0, "random"].tolist() != starts.loc[1, "random"].tolist()
    lowest = table.groupby(["strategy", "repeat"])["smash_score"].min()
    expected = (lowest["random"] - lowest["perturb"]).mean()
    gains = {name: one["value"] for name, one in found["advantage_over_random"].items()}
    assert gains["perturb"] == pytest.approx(expected)
    assert gain == max(gains.values())
    assert found["lowest"] == lowest.min()
    assert found["regret"]["random"] == pytest.approx(lowest["random"].mean() - lowest.min())


def test_an_advantage_is_paired() -> None:
    gains = advantage({"random": np.array([1.0, 2.0, 3.0]), "better": np.array([0.9, 1.9, 2.9])})
    assert list(gains) == ["better"]
    assert gains["better"].value == pytest.approx(0.1)
    assert gains["better"].low == pytest.approx(0.1)


def test_races_are_replayed(source: Path, tmp_path: Path) -> None:
    options = {"racing": Racing(first=20, growth=2, keep=0.1, min_keep=1, risk=0), "architectures": 8, "repeats": 2}
    found = racing(experiment_on(source, tmp_path), NO_LOGGERS, candidates=(4, 8), **options)  # type: ignore[arg-type]
    table, results = read_results(tmp_path, "racing")
    assert found == results["by_candidates"]["8"]["recall"]["value"] == 1, "without risk none is dropped"
    assert table["images"].tolist() == [1.0] * 4


def test_recall_is_the_share_of_the_best_that_were_kept() -> None:
    table = torch.tensor([3.0, 1.0, 4.0, 0.0])[:, None].expand(4, 10).double()
    assert recall(table, [3, 1], 2) == 1
    assert recall(table, [3, 2], 2) == 0.5
