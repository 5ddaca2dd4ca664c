"""What reaches the loggers: W&B's offline files are read back, MLflow and TensorBoard through their own readers."""

import csv
import json
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
import wandb
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from wandb.proto.wandb_internal_pb2 import Record

from smash_lightning.report import loggers
from smash_lightning.report.loggers import require_packages
from smash_lightning.report.tracker import Tracker, main_numbers
from smash_lightning.report.wandb_run import WandbRun, wandb_logger
from tests.report.offline import history as history_of
from tests.report.offline import merged, offline_runs, only, start, without_account
from tests.report.small_run import correlation


def log_everything(tracker: Tracker, folder: Path) -> None:
    tracker.config({"seed": 3, "hypernet": {"width": 32, "kernels": [3, 5]}})
    for step in (0, 10):
        tracker.log("hypernet0", {"loss": 2.0 - step / 10, "error": 50.0}, step)
    tracker.log("hypernet1", {"loss": 3.0}, 0)
    tracker.artifact("ranking", "ranking", [folder / "ranking.csv"])
    tracker.log_folder(folder)


@pytest.fixture(scope="module")
def offline(run: Path) -> list[Record]:
    """The records of a run on W&B, with its charts."""
    with pytest.MonkeyPatch.context() as patch:
        without_account(patch, run)
        options: dict[str, Any] = {"entity": "me", "name": "run", "group": "sweep", "tags": ["one"]}
        with Tracker([wandb_logger(run, "project", **options)]) as tracker:
            log_everything(tracker, run)
        (records,) = offline_runs(run)
    return records


def test_run_configuration_and_the_step_axis_of_each_training_reach_wandb(offline: list[Record]) -> None:
    begun = start(offline)
    assert (begun.project, begun.entity, begun.display_name, begun.run_group) == ("project", "me", "run", "sweep")
    assert list(begun.tags) == ["one"]
    assert merged(offline, "config", "update")["hypernet"] == {"width": 32, "kernels": [3, 5]}
    assert offline[-1].exit.exit_code == 0
    axes = {record.metric.name: record.metric.step_metric for record in offline if record.HasField("metric")}
    assert axes["hypernet0/loss"] == axes["hypernet0/error"] == "hypernet0/step"
    assert axes["hypernet1/loss"] == "hypernet1/step"
    rows = [(row["hypernet0/step"], row["hypernet0/loss"]) for row in history_of(offline) if "hypernet0/loss" in row]
    assert rows == [(0, 2.0), (10, 1.0)]


def test_tables_pictures_and_page_reach_wandb(offline: list[Record], run: Path) -> None:
    media = only(run.glob("wandb/offline-run-*/files")) / "media"
    table = json.loads(only(media.glob("table/retrained_*.json")).read_text())
    assert table["columns"][:3] == ["fingerprint", "seed", "shortlist"]
    assert table["data"][-1][6:9] == [None, None, None], "a failed training has no numbers"
    assert only(media.glob("images/correlation_png_*.png")).read_bytes() == (run / "correlation.png").read_bytes()
    assert only(media.glob("html/report_html_*.html")).read_text() == (run / "report.html").read_text()
    logged = {key.split("/")[0] for row in history_of(offline) for key in row}
    assert {"ranking", "retrained", "baselines", "settling", "pareto_png", "architecture_svg"} <= logged


def test_score_and_test_error_is_a_chart_on_wandb(offline: list[Record], run: Path) -> None:
    chart = merged(offline, "config", "update")["_wandb/visualize/score_and_test_error"]["panel_config"]
    assert (chart["panelDefId"], chart["fieldSettings"]) == (
        "wandb/scatter/v0",
        {"x": "smash_score", "y": "true_error"},
    )
    table = json.loads(only(run.glob("**/score_and_test_error_table_*.json")).read_text())
    assert {"fingerprint", "smash_score", "true_error"} <= set(table["columns"])
    assert len(table["data"]) > 1


def test_artifact_and_main_numbers_reach_wandb(offline: list[Record], run: Path) -> None:
    artifacts = {record.artifact.name: record.artifact for record in offline if record.HasField("artifact")}
    ranking = artifacts[f"ranking-{start(offline).run_id}"]
    (entry,) = ranking.manifest.contents
    assert (ranking.type, entry.path, Path(entry.local_path)) == ("ranking", "ranking.csv", run / "ranking.csv")
    summary = merged(offline, "summary", "update")
    assert (summary["spearman"], summary["noise_ceiling_low"]) == (0.6, pytest.approx(0.82))
    assert "spearman_given_sizes" not in summary, "what is undefined is not logged"


def test_csv_and_tensorboard_have_metrics_main_numbers_and_pictures(tmp_path: Path, run: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoardLogger(str(tmp_path), name="tensorboard")
    with Tracker([CSVLogger(tmp_path, name="logs", version=0), board]) as tracker:
        log_everything(tracker, run)
    rows = list(csv.DictReader((tmp_path / "logs" / "version_0" / "metrics.csv").open()))
    assert [row["hypernet0/loss"] for row in rows if row["hypernet0/loss"]] == ["2.0", "1.0"]
    assert rows[-1]["spearman"] == "0.6"
    assert "width: 32" in (tmp_path / "logs" / "version_0" / "hparams.yaml").read_text()
    events = EventAccumulator(board.log_dir).Reload()
    assert [scalar.value for scalar in events.Scalars("hypernet0/loss")] == [2.0, 1.0]
    assert "correlation" in events.Tags()["images"]


@pytest.mark.parametrize(("logger", "package"), [("mlflow", "alembic"), ("comet", "comet_ml"), ("aim", "aim")])
def test_a_missing_extra_is_named(logger: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == package else find_spec("json"))
    remedy = rf"pip install 'smash-lightning\[{logger}\]'"
    with pytest.raises(ValueError, match=rf"logger={logger} needs the package {package}: install it with {remedy}"):
        require_packages(["csv", "wandb", logger])


def test_trainings_are_runs_of_their_own_on_request(tmp_path: Path, run: Path) -> None:
    table = pd.read_csv(run / "retrained.csv").fillna({"failure": ""}).tail(3)
    assert table["failure"].str.len().astype(bool).tolist() == [False, False, True]
    losses = [{"step": step, "epoch_loss": 1 / step} for step in (10, 20)]
    history = table[["fingerprint", "seed"]].merge(pd.DataFrame(losses), how="cross")
    for kind in ("rows", "runs", "runs"):  # the last one is the resumed run
        with Tracker([wandb_logger(tmp_path, "p", group="sweep", trainings=kind)]) as tracker:
            tracker.config({})
            tracker.trainings(table, history)
    found = {start(run).run_id: run for run in offline_runs(tmp_path)}
    own = {name: run for name, run in found.items() if start(run).job_type == "training"}
    assert len(found) == 1 + len(own) == 1 + len(table)
    assert len(offline_runs(tmp_path)) == 3 + len(own), "a training is logged once"
    assert {start(run).run_group for run in found.values()} == {"sweep"}
    (search,) = found.keys() - own.keys()
    for row in table.to_dict("records"):
        training = own[f"{search}-{row['fingerprint']}-{row['seed']}"]
        summary = merged(training, "summary", "update")
        assert training[-1].exit.exit_code == int(bool(row["failure"]))
        assert summary.get("true_loss") == (None if row["failure"] else row["true_loss"])
        mine = history[(history.fingerprint == row["fingerprint"]) & (history.seed == row["seed"])]
        logged = [(each["_step"], each["epoch_loss"]) for each in history_of(training)]
        assert logged == list(zip(mine.step, mine.epoch_loss, strict=True))
    assert wandb.run is None


def test_a_run_that_fails_is_closed_as_failed_and_a_logger_that_is_never_used_writes_nothing(tmp_path: Path) -> None:
    with suppress(RuntimeError), Tracker([wandb_logger(tmp_path / "failed", "p")]) as tracker:
        tracker.config({})
        raise RuntimeError("broken")
    (run,) = offline_runs(tmp_path / "failed")
    assert run[-1].exit.exit_code == 1
    assert wandb.run is None, "the next job of this process opens a run of its own"
    with Tracker([wandb_logger(tmp_path / "unused", "p")]):
        pass
    assert not (tmp_path / "unused").exists()


def test_wandb_may_fail_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(WandbRun, "log_metrics", Mock(side_effect=OSError("no room left\non the device")))
    with Tracker([wandb_logger(tmp_path, "p"), CSVLogger(tmp_path, name="logs", version=0)]) as tracker:
        for step in range(2):
            tracker.log("ranking", {"val_loss": 1.0}, step)
    assert capsys.readouterr().err.splitlines() == [
        "WandbRun failed: no room left on the device. The run continues without it, its files hold all"
    ]
    assert len((tmp_path / "logs" / "version_0" / "metrics.csv").read_text().splitlines()) == 3


def test_main_numbers_are_those_of_the_comparison_and_of_analyses(tmp_path: Path) -> None:
    (tmp_path / "correlation.json").write_text(json.dumps(correlation()))
    (tmp_path / "capacity.json").write_text(
        '{"rho": {"value": 1, "low": 0, "high": NaN}, "by": [2, {"n": 3}], "x": "y"}'
    )
    (tmp_path / "result.json").write_text('{"value": 1}')
    found, gain = main_numbers(tmp_path), correlation()["loss"]["top_fraction"]["params"]
    assert found["architectures_compared"] == 10
    assert (found["spearman_early_stopping"], found["top_fraction_params_high"]) == (0.55, gain["high"])
    own = {name: one for name, one in found.items() if name.startswith("capacity")}
    assert own == {"capacity/rho": 1, "capacity/rho_low": 0, "capacity/by/0": 2, "capacity/by/1/n": 3}
    assert "result/value" not in found
