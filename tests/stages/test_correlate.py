"""The last stage on tables with baselines."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from smash_lightning.evaluation.tables import (
    BASELINES,
    GROUND_TRUTHS,
    HISTORY,
    RANKING,
    RETRAINED,
    read_ranking,
    read_retrained,
    read_table,
    write_table,
)
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.calibrate import calibrate
from smash_lightning.stages.correlate import correlate
from smash_lightning.stages.experiment import EvaluationOptions, Experiment
from tests.stages.small_run import rank_at_random, small_experiment, trained

COUNT, SEEDS = 12, 3
SILENT = Tracker([])


def finished(folder: Path) -> Experiment:
    """A run before its last stage."""
    experiment = small_experiment(folder)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, COUNT)]
    losses = [0.1 * ((5 * place) % COUNT) for place in range(COUNT)]
    trainings = [
        trained(name, seed, losses[place] + 0.01 * ((place + seed) % 3))
        for place, name in enumerate(names)
        for seed in range(SEEDS)
    ]
    write_table(experiment.folder.retrained, RETRAINED, trainings)
    rows: list[dict[str, Any]] = [
        {"fingerprint": name, "baseline": baseline, "prediction": value, "seconds": 0.5, "training_seconds": 7.0}
        for baseline, values in {"early_stopping": losses, "synflow": [place % 4 for place in range(COUNT)]}.items()
        for name, value in zip(names, values, strict=True)
    ]
    write_table(experiment.folder.baselines, BASELINES, rows)
    history = [{"fingerprint": name, "seed": 0, "step": 7, "epoch_loss": 0.5} for name in names]
    write_table(experiment.folder.training_history, HISTORY, history)
    return experiment


def test_baselines_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = finished(tmp_path)
    experiment.folder.checkpoints.mkdir()
    torch.save({"smash": {"seconds": 90.0}, "callbacks": {}, "global_step": 20}, experiment.folder.hypernet(0))
    correlate(experiment, SILENT)
    predictors = json.loads(experiment.folder.correlation.read_text())["comparison"]["predictors"]
    assert {"early_stopping", "synflow", "params", "macs", "ops", "smash_score+params"} < set(predictors)
    assert predictors["smash_score"]["training_seconds"] == 90.0
    assert predictors["synflow"]["training_seconds"] == 7.0
    assert "early stopping" in capsys.readouterr().out
    assert experiment.folder.report.exists()


def test_a_table_that_was_cut_is_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_report: None
) -> None:
    experiment = finished(tmp_path)
    experiment.folder.config.write_text("overrides: []\nsource_run: null\n")
    rows = len(read_retrained(experiment.folder))
    groups = {"shortlist": 0, "stratified": COUNT, "random": 0}
    experiment = replace(experiment, retrain=replace(experiment.retrain, seeds=SEEDS, **groups))
    correlate(experiment, SILENT)
    assert "planned" not in capsys.readouterr().out
    lines = experiment.folder.retrained.read_text().splitlines(keepends=True)
    experiment.folder.retrained.write_text("".join(lines[:-2]))
    correlate(experiment, SILENT)
    assert f"{rows - 2} of {rows} planned trainings" in " ".join(capsys.readouterr().out.split())


def test_the_smash_score_is_what_is_compared(tmp_path: Path, no_report: None) -> None:
    """The score of this ranking is the ground truth, its validation loss is not."""
    experiment = finished(tmp_path)
    table = read_ranking(experiment.folder)
    score = [float((5 * place) % COUNT) for place in range(COUNT)]
    write_table(experiment.folder.ranking, RANKING, table.assign(smash_score=score))
    rho = correlate(experiment, SILENT)
    assert rho is not None
    assert rho > 0.9


def test_a_finished_run_is_calibrated_with_the_library_of_another(
    tmp_path: Path, no_report: None, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = finished(tmp_path / "earlier")
    correlate(earlier, SILENT)
    rows = read_table(earlier.folder.ground_truths, GROUND_TRUTHS)
    others = rows.assign(pool="another", fingerprint=rows["fingerprint"].str[::-1])
    write_table(tmp_path / "library.csv", GROUND_TRUTHS, others)
    library = EvaluationOptions(200, library=(str(tmp_path / "library.csv"), str(earlier.folder.path)))
    later = small_experiment(tmp_path / "later", source=earlier.folder.path, evaluation=library)
    capsys.readouterr()
    value = calibrate(later, SILENT)
    found = json.loads(later.folder.calibration.read_text())
    assert (found["basis"], found["architectures"], found["earlier"]) == ("own and library", COUNT, COUNT)
    assert found["left_out"] == COUNT  # those of the folder, which are the architectures of this run
    assert value == found["spearman"]["value"]
    assert (
        f"The calibrated prediction ({COUNT} own + {COUNT} earlier ground truths, cross-fitted)"
        in capsys.readouterr().out
    )
    pd.testing.assert_frame_equal(read_table(later.folder.ground_truths, GROUND_TRUTHS), rows)
    assert read_table(later.folder.ranking, RANKING)["predicted_loss"].nunique() > 1
    other = replace(later, retrain=replace(later.retrain, epochs=2))
    with pytest.raises(ValueError, match=r"ground truths of another recipe, 1_epochs-\w+ instead of 2_epochs-\w+"):
        calibrate(other, SILENT)


def test_the_folder_of_an_earlier_run_is_copied_and_not_changed(tmp_path: Path, no_report: None) -> None:
    earlier = finished(tmp_path / "earlier").folder
    before = {path: path.read_bytes() for path in earlier.path.rglob("*") if path.is_file()}
    later = small_experiment(tmp_path / "later", source=earlier.path)
    correlate(later, SILENT)
    assert {path: path.read_bytes() for path in earlier.path.rglob("*") if path.is_file()} == before
    tables = (earlier.retrained, earlier.training_history, earlier.baselines)
    for path in (earlier.architectures, *tables):
        assert (later.folder.path / path.name).read_bytes() == path.read_bytes()
    predicted = ["predicted_loss", "predicted_sd"]
    pd.testing.assert_frame_equal(*(read_ranking(run).drop(columns=predicted) for run in (earlier, later.folder)))
    assert read_ranking(later.folder)[predicted].notna().all(axis=None)
    described = json.loads(later.folder.data.read_text())
    assert (described["name"], described["train"], described["test"]) == ("digits", 240, 1497)
    # Tables that the earlier run has extended since are copied anew.
    table = read_ranking(earlier)
    write_table(earlier.ranking, RANKING, table.assign(mine=1))
    correlate(later, SILENT)
    assert "mine" in read_ranking(later.folder)
