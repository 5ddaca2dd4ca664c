"""What a whole pipeline leaves on W&B, read back: all of it must stand in the report too."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.evaluation.tables import Retrained, Scored, read_records
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.wandb_run import wandb_logger
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.stages import Experiment
from smash_lightning.stages.pipeline import pipeline
from smash_lightning.stages.rank import rank
from smash_lightning.stages.search import search
from smash_lightning.strategies import Random, RankingOptions
from tests.report.offline import (
    Record,
    by_job_type,
    history,
    merged,
    offline_runs,
    start,
    tables,
    without_account,
)
from tests.stages.small_run import RETRAIN, SEARCH, small_experiment


def experiment(folder: Path, **changes: Any) -> Experiment:
    return small_experiment(
        folder,
        search=replace(SEARCH, hypernets=2, epochs=2),
        ranking=RankingOptions({"random": Random(8)}, RecalibratedStatistics(), 2, 1),
        retrain=replace(RETRAIN, seeds=2, stratified=5, shortlist=1, epochs=2),
        **changes,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, list[list[Record]]]:
    """An experiment that has run, and the records of its runs."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        without_account(patch, folder)
        done = experiment(folder)
        logger = wandb_logger(folder, "smash", task="smash_lightning.stages.pipeline", about=["digits"])
        with Tracker([logger]) as tracker:
            tracker.config({"seed": 0, "search": {"epochs": 2}})
            pipeline(done, tracker)
        return done, offline_runs(folder)


@pytest.fixture
def parent(whole: tuple[Experiment, list[list[Record]]]) -> list[Record]:
    (run,) = by_job_type(whole[1], "pipeline")
    return run


def page(done: Experiment) -> str:
    return (done.folder.path / "report.html").read_text()


def test_one_run_and_its_trainings_share_a_group(whole: tuple[Experiment, list[list[Record]]]) -> None:
    done, runs = whole
    rows = read_records(done.folder.retrained, Retrained)
    (own,), trainings = by_job_type(runs, "pipeline"), by_job_type(runs, "retraining")
    assert len(runs) == 1 + len(trainings)
    assert {start(run).run_group for run in runs} == {start(own).run_id}
    assert {tuple(start(run).tags) for run in runs} == {("digits",)}
    by_name = {start(run).display_name: run for run in trainings}
    assert by_name.keys() == {f"{row.fingerprint}-{row.seed}" for row in rows}
    architectures = done.folder.read_architectures()
    for row in rows:
        run = by_name[f"{row.fingerprint}-{row.seed}"]
        summary = merged(run, "summary", "update")
        assert (summary["true_error"], summary["true_loss"]) == (row.true_error, row.true_loss)
        config = {item.smash_score: json.loads(item.value_json) for item in start(run).config.update}
        assert (config["arm"], config["seed"], config["epochs"]) == (row.arm, row.seed, 2)
        assert config["architecture"] == json.loads(architectures[row.fingerprint].to_json())
        losses = [line["epoch_loss"] for line in history(run) if "epoch_loss" in line]
        assert len(losses) == 2, "one an epoch"
        assert all(map(math.isfinite, losses))


def test_every_table_holds_what_the_files_hold(whole: tuple[Experiment, list[list[Record]]]) -> None:
    done, logged = whole[0], tables(whole[0].folder.path)
    scored = read_records(done.folder.ranking, Scored)
    rows = read_records(done.folder.retrained, Retrained)
    best = {row[0]: row for row in logged["architectures"]["data"]}
    assert list(best) == [row.fingerprint for row in scored]
    assert [best[row.fingerprint][3] for row in scored] == pytest.approx([row.smash_score for row in scored])
    assert len(logged["trainings"]["data"]) == len(rows) == 10
    for name, truth in (("key_against_true_loss", "true_loss"), ("smash_score_against_true_error", "true_error")):
        for fingerprint, _, mean, error, arm in logged[f"{name}_table"]["data"]:
            values = [getattr(row, truth) for row in rows if row.fingerprint == fingerprint]
            assert mean == pytest.approx(sum(values) / 2)
            assert error == pytest.approx(abs(values[0] - values[1]) / 2)
            assert arm == next(row.arm for row in rows if row.fingerprint == fingerprint)
    predictors = {row[0] for row in logged["baselines_spearman_table"]["data"]}
    assert {"SMASH score", "parameters", "MACs", "noise ceiling"} <= predictors


def test_the_order_is_followed_for_every_hypernet(whole: tuple[Experiment, list[list[Record]]]) -> None:
    logged = tables(whole[0].folder.path)
    rows = logged["settling"]["data"]
    assert logged["settling"]["columns"] == ["HyperNet", "epoch", "fingerprint", "validation loss", "place"]
    assert len(rows) == 2 * 2 * 2, "HyperNets, epochs, architectures"
    for hypernet in (0, 1):
        points = logged[f"ranks_hypernet{hypernet}_table"]["data"]
        assert sorted(points) == sorted([row[2], row[1], row[4]] for row in rows if row[0] == hypernet)
        for epoch in (1, 2):
            now = sorted((row[3], row[4]) for row in rows if row[:2] == [hypernet, epoch])
            assert [place for _, place in now] == [1, 2], "the lower loss is first"
    assert all(row[2] in page(whole[0]) for row in rows)


def test_the_best_are_drawn_on_wandb_and_in_the_report(whole: tuple[Experiment, list[list[Record]]]) -> None:
    done = whole[0]
    drawn = tables(done.folder.path)["drawings"]
    scored = read_records(done.folder.ranking, Scored)
    assert [row[0] for row in drawn["data"]] == [row.fingerprint for row in scored]
    truths = {row[0]: row[6] for row in drawn["data"]}
    rows = read_records(done.folder.retrained, Retrained)
    for name, truth in truths.items():
        values = [row.true_loss for row in rows if row.fingerprint == name]
        assert truth == (pytest.approx(sum(values) / len(values)) if values else None)
    drawings = page(done).count('<div class="drawing"')
    assert drawings == len(scored) + 1, "each of them, and the best once more at the top"


def test_costs_are_added_up(whole: tuple[Experiment, list[list[Record]]], parent: list[Record]) -> None:
    done = whole[0]
    scored = read_records(done.folder.ranking, Scored)
    rows = {row[0]: row for row in tables(done.folder.path)["costs"]["data"]}
    assert [rows[stage][1] for stage in ("HyperNets", "scores", "trainings")] == [2, 8, 10]
    total = sum(row.seconds for row in scored)
    assert rows["scores"][2:4] == pytest.approx([total / 8, total])
    assert rows["scores"][5] == pytest.approx(2 * 60 * 8 / total), "validation images with two HyperNets"
    steps = 2 * (len(done.data.train) // 32)
    seconds = rows["HyperNets"][3]
    assert rows["HyperNets"][4] == pytest.approx(2 * steps / seconds)
    assert rows["HyperNets"][5] == pytest.approx(2 * steps * 32 / seconds)
    summary = merged(parent, "summary", "update")
    assert summary["images_per_second_HyperNets"] == pytest.approx(rows["HyperNets"][5])
    assert summary["seconds_trainings"] == pytest.approx(rows["trainings"][3])
    assert "What it cost" in page(done)


def test_live_metrics_and_figures_of_the_whole(
    whole: tuple[Experiment, list[list[Record]]], parent: list[Record]
) -> None:
    names = {key for row in history(parent) for key in row}
    assert {"ranking/ensemble_error", "retrained/true_loss", "hypernet1/fixed_val_loss"} <= names
    summary = merged(parent, "summary", "update")
    correlation = json.loads((whole[0].folder.path / "correlation.json").read_text())
    assert summary["architectures_compared"] == correlation["architectures"] == 5
    last = [row["ranking/ensemble_error"] for row in history(parent) if "ranking/ensemble_error" in row][-1]
    assert summary["ensemble_error"] == pytest.approx(last)
    assert parent[-1].exit.exit_code == 0
    media = {path.name.rsplit("_", 2)[0] for path in whole[0].folder.path.glob("**/media/*/*_*")}
    assert {"correlation_png", "baselines_png", "pareto_png", "settling_png", "architecture_svg", "report"} <= media
    assert json.loads(json.dumps(merged(parent, "config", "update")["search"])) == {"epochs": 2}


def test_artifacts_form_a_chain(whole: tuple[Experiment, list[list[Record]]], parent: list[Record]) -> None:
    folder, id = whole[0].folder, start(parent).run_id
    kept = {record.artifact.name: record.artifact for record in parent if record.HasField("artifact")}
    made = {
        name.removesuffix(f"-{id}"): (one.type, json.loads(one.metadata)["inputs"])
        for name, one in kept.items()
        if not name.startswith("run-")
    }
    assert made == {
        "hypernets": ("model", []),
        "ranking": ("ranking", [f"hypernets-{id}"]),
        "retrained": ("model", [f"ranking-{id}"]),
        "evaluation": ("study", [f"ranking-{id}", f"retrained-{id}"]),
    }
    files = {name.removesuffix(f"-{id}"): {e.path for e in one.manifest.contents} for name, one in kept.items()}
    assert files["hypernets"] == {"hypernet0.ckpt", "hypernet1.ckpt"}
    assert files["ranking"] == {"ranking.csv", "architectures.jsonl"}
    rows = sorted(read_records(folder.retrained, Retrained), key=lambda row: row.true_loss)
    assert files["retrained"] == {"retrained.csv", *(f"{row.fingerprint}-{row.seed}.ckpt" for row in rows[:3])}


def test_a_stage_on_an_earlier_run_names_what_it_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_account(monkeypatch, tmp_path)
    first = experiment(tmp_path / "search")
    with Tracker([wandb_logger(tmp_path / "search", "p", task="tasks.search")]) as tracker:
        search(first, tracker)
    later = experiment(tmp_path / "rank", source=tmp_path / "search")
    logger = wandb_logger(tmp_path / "rank", "p", task="tasks.rank", checkpoint=str(tmp_path / "search"))
    with Tracker([logger]) as tracker:
        rank(later, tracker)
    one, two = offline_runs(tmp_path)
    assert start(two).run_group == start(one).run_id
    (kept,) = [record.artifact for record in two if record.HasField("artifact")]
    assert json.loads(kept.metadata)["inputs"] == [f"hypernets-{start(one).run_id}"]


def test_a_training_that_fails_fails_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_account(monkeypatch, tmp_path)
    done = experiment(tmp_path)
    broken = replace(done, retrain=replace(done.retrain, learning_rate=1e30, seeds=1))
    logger = wandb_logger(tmp_path, "p", task="tasks.pipeline")
    with Tracker([logger]) as tracker:
        pipeline(broken, tracker)
    runs = offline_runs(tmp_path)
    trainings = by_job_type(runs, "retraining")
    assert len(trainings) == 5
    for run in trainings:
        assert run[-1].exit.exit_code == 1
        assert "DivergedError" in merged(run, "summary", "update")["failure"]
    (own,) = by_job_type(runs, "pipeline")
    assert own[-1].exit.exit_code == 0, "the others go on"
