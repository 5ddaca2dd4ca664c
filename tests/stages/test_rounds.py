"""Standalone trainings in rounds: two groups, and a run that is continued between and within them."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from smash_lightning.evaluation.tables import read_ranking
from smash_lightning.random_streams import rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages import Experiment, retrain
from smash_lightning.stages.retrain import Job, Trained, _row
from smash_lightning.stages.rounds import planned_trainings, rounds
from smash_lightning.stages.selection import choose
from tests.stages.small_run import RETRAIN, rank_at_random, small_experiment

ROOM = import_module("smash_lightning.stages.retrain")  # in the package the function has this name
OPTIONS = replace(RETRAIN, rounds=3, shortlist=7, stratified=24, random=12, seeds=2)


class Training:
    """Made-up results of a training, which params predict or not; interrupted at one of the trainings."""

    def __init__(self, experiment: Experiment, skill: float = 1, stop: int | None = None) -> None:
        params = read_ranking(experiment.folder).set_index("fingerprint")["params"]
        self.losses, self.left = skill * params.rank(pct=True), stop

    def __call__(self, experiment: Experiment, job: Job, send: Any) -> Trained:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        name = job.architecture.fingerprint
        losses = {seed: 2 - self.losses[name] + 0.2 * rng("made up", name, seed).random() for seed in job.seeds}
        measured = {"true_error": 3.0, "true_error_top5": 0.5, "epochs": 1, "seconds": 1.0}
        rows = [_row(job, seed, true_loss=loss, **measured) for seed, loss in losses.items()]
        return rows, [{"fingerprint": name, "seed": seed, "step": 8, "epoch_loss": 0.1} for seed in job.seeds]


def begun(folder: Path, **changes: Any) -> Experiment:
    experiment = small_experiment(folder, retrain=replace(OPTIONS, **changes))
    rank_at_random(experiment.folder, 60)
    return experiment


def trained(experiment: Experiment, monkeypatch: pytest.MonkeyPatch, **options: Any) -> pd.DataFrame:
    monkeypatch.setattr(ROOM, "train_networks", Training(experiment, **options))
    return retrain(experiment, Tracker([]))


def test_one_round_is_the_selection_by_score(tmp_path: Path) -> None:
    experiment = begun(tmp_path, rounds=1)
    ranking = read_ranking(experiment.folder)
    groups = choose(ranking, experiment.retrain, experiment.seed)
    assert list(rounds(experiment, ranking)) == [groups]
    assert planned_trainings(experiment, ranking) == 2 * len(groups)
    given = experiment.space.sample(rng("given", 0))
    experiment.folder.append_architecture(given, "one of mine")
    assert planned_trainings(experiment, ranking) == 2 * len(groups), "it has no score, so it is in no coefficient"
    other = next(name for name in ranking["fingerprint"] if name not in groups)
    experiment.folder.append_architecture(experiment.folder.read_architectures()[other], "another")
    assert planned_trainings(experiment, ranking) == 2 * (len(groups) + 1)


@pytest.mark.parametrize("skill", [1, 0])
def test_the_greedy_group_follows_the_prediction_where_it_is_better_than_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skill: float
) -> None:
    experiment = begun(tmp_path)
    table = trained(experiment, monkeypatch, skill=skill)
    ranking = read_ranking(experiment.folder)
    assert planned_trainings(experiment, ranking) == len(table)
    sample = choose(ranking, replace(OPTIONS, shortlist=0), experiment.seed)
    first = table[table["seed"] == 0].reset_index(drop=True)
    found = first[first["shortlist"] == 1]
    assert found.index.tolist() == [12, 13, 26, 27, 40, 41, 42], "a share of the sample, then one of the shortlist"
    shares = [name for index in range(3) for name in list(sample)[index::3]]
    assert first["fingerprint"].drop(found.index).tolist() == shares
    assert not found[["stratified", "random"]].any(axis=None)
    free = ranking[~ranking["fingerprint"].isin(list(sample))]
    if skill:
        assert found["greedy"].tolist() == [1] * 7
        best = free.sort_values("params", ascending=False)["fingerprint"][:12]
        assert found["fingerprint"].isin(best).all()
    else:
        assert found["greedy"].tolist() == [0] * 7
        assert found["fingerprint"].tolist() == free["fingerprint"][:7].tolist()


def test_a_continued_run_has_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between and within the shares of the two groups."""
    whole = begun(tmp_path / "whole")
    trained(whole, monkeypatch)
    for stop in (0, 5, 12, 13, 14, 30, 42):
        parts = begun(tmp_path / str(stop))
        with pytest.raises(KeyboardInterrupt):
            trained(parts, monkeypatch, stop=stop)
        trained(parts, monkeypatch)
        for name in ("retrained", "training_history"):
            assert getattr(parts.folder, name).read_bytes() == getattr(whole.folder, name).read_bytes(), stop


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"retrain.rounds=3 .* leave out retrain.rank=0"):
        replace(OPTIONS, rank=0)
    experiment = begun(tmp_path, shortlist=25)
    with pytest.raises(ValueError, match=r"retrain.shortlist=25 is more than the 24 families .* not in the sample"):
        retrain(experiment, Tracker([]))
    assert not experiment.folder.retrained.exists()
