from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import wandb
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from wandb.proto.wandb_internal_pb2 import Record

from smash_lightning.report import loggers
from smash_lightning.report.loggers import mlflow_logger, tensorboard_logger
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.wandb_run import wandb_logger
from tests.report.offline import history, merged, offline_runs, only, start, without_account

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"/>'
POINTS: dict[str, Any] = {
    "fingerprint": ["aa", "bb"],
    "score": [0.5, 0.4],
    "truth": [0.2, 0.1],
    "standard_error": [0.01, float("nan")],
    "arm": ["top", "spread"],
}


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path)


def log_everything(tracker: Tracker, folder: Path) -> None:
    (folder / "ranking.csv").write_text("fingerprint\naa\n")
    (folder / "drawing.svg").write_text(SVG)
    (folder / "report.html").write_text("<!doctype html><title>t</title>")
    Figure(figsize=(0.2, 0.1)).savefig(folder / "plot.png")
    tracker.config({"seed": 3, "hypernet": {"width": 32, "kernels": [3, 5]}})
    for step in (0, 10):
        tracker.log("hypernet0", {"loss": 2.0 - step / 10, "error": 50.0}, step)
    tracker.log("hypernet1", {"loss": 3.0}, 0)
    tracker.table("architectures", ["fingerprint", "val_loss", "ops"], [("aa", 0.5, 3), ("bb", float("nan"), None)])
    tracker.scatter("correlation", "A title", **POINTS)
    tracker.image("plot", folder / "plot.png")
    tracker.image("drawing", folder / "drawing.svg")
    tracker.page("report", folder / "report.html")
    tracker.artifact("ranking", "ranking", [folder / "ranking.csv"])
    tracker.summary({"rho": 0.57, "verdict": "trust it", "ceiling": float("nan"), "best": None})


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A run's folder and its records."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            patch.setenv(name, "restored after the test")
        patch.setenv("NETRC", str(folder / "none"))
        patch.delenv("WANDB_API_KEY", raising=False)
        logger = wandb_logger(folder, "project", entity="me", name="run", group="sweep", tags=["one", "two"])
        with Tracker([logger]) as tracker:
            log_everything(tracker, folder)
        (run,) = offline_runs(folder)
    return folder, run


def test_run_and_configuration_reach_wandb(offline: tuple[Path, list[Record]]) -> None:
    run = offline[1]
    begun = start(run)
    assert (begun.project, begun.entity, begun.display_name, begun.run_group) == ("project", "me", "run", "sweep")
    assert list(begun.tags) == ["one", "two"]
    config = merged(run, "config", "update")
    assert config["seed"] == 3
    assert config["hypernet"] == {"width": 32, "kernels": [3, 5]}


def test_each_training_has_its_own_step_axis_on_wandb(offline: tuple[Path, list[Record]]) -> None:
    run = offline[1]
    axes = {record.metric.name: record.metric.step_metric for record in run if record.HasField("metric")}
    assert axes["hypernet0/loss"] == axes["hypernet0/error"] == "hypernet0/step"
    assert axes["hypernet1/loss"] == "hypernet1/step"
    rows = history(run)
    assert [(row["hypernet0/step"], row["hypernet0/loss"]) for row in rows if "hypernet0/loss" in row] == [
        (0, 2.0),
        (10, 1.0),
    ]
    assert [row["hypernet1/step"] for row in rows if "hypernet1/loss" in row] == [0]


def test_tables_and_pictures_reach_wandb(offline: tuple[Path, list[Record]]) -> None:
    folder, run = offline
    media = only(folder.glob("wandb/offline-run-*/files")) / "media"
    table = json.loads(only(media.glob("table/architectures_*.json")).read_text())
    assert table == {"columns": ["fingerprint", "val_loss", "ops"], "data": [["aa", 0.5, 3], ["bb", None, None]]}
    assert only(media.glob("images/plot_*.png")).read_bytes() == (folder / "plot.png").read_bytes()
    assert only(media.glob("html/drawing_*.html")).read_text() == SVG
    assert only(media.glob("html/report_*.html")).read_text() == (folder / "report.html").read_text()
    logged = {key.split("/")[0] for row in history(run) for key in row}
    assert {"architectures", "correlation_table", "plot", "drawing", "report"} <= logged


def test_scatter_is_a_chart_over_its_table(offline: tuple[Path, list[Record]]) -> None:
    folder, run = offline
    chart = merged(run, "config", "update")["_wandb/visualize/correlation"]["panel_config"]
    assert chart["panelDefId"] == "wandb/scatter/v0"
    assert chart["fieldSettings"] == {"x": "score", "y": "truth"}
    assert chart["stringSettings"] == {"title": "A title"}
    table = json.loads(only(folder.glob("**/correlation_table_*.json")).read_text())
    assert table["columns"] == ["fingerprint", "score", "truth", "standard_error", "arm"]
    assert table["data"] == [["aa", 0.5, 0.2, 0.01, "top"], ["bb", 0.4, 0.1, None, "spread"]]


def test_artifact_summary_and_exit_reach_wandb(offline: tuple[Path, list[Record]]) -> None:
    folder, run = offline
    artifacts = {record.artifact.name: record.artifact for record in run if record.HasField("artifact")}
    ranking = artifacts[f"ranking-{start(run).run_id}"]
    (entry,) = ranking.manifest.contents
    assert (ranking.type, entry.path) == ("ranking", "ranking.csv")
    assert Path(entry.local_path) == folder / "ranking.csv"
    summary = merged(run, "summary", "update")
    assert (summary["rho"], summary["verdict"], summary["ceiling"]) == (0.57, "trust it", None)
    assert run[-1].exit.exit_code == 0


def test_an_offline_run_can_be_moved_with_its_folder(offline: tuple[Path, list[Record]]) -> None:
    folder, run = offline
    manifests = [record.artifact.manifest for record in run if record.HasField("artifact")]
    files = [Path(entry.local_path) for manifest in manifests for entry in manifest.contents]
    assert len(files) == 3  # two tables and the ranking
    assert all(file.is_relative_to(folder) and file.exists() for file in files)


def test_exception_ends_the_run_as_failed_and_the_next_job_has_its_own(tmp_path: Path) -> None:
    def unlucky() -> None:
        with Tracker([wandb_logger(tmp_path / "0", "p")]) as tracker:
            tracker.log("hypernet0", {"loss": 1.0}, 0)
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        unlucky()
    with Tracker([wandb_logger(tmp_path / "1", "p")]) as tracker:
        tracker.log("hypernet0", {"loss": 2.0}, 0)
    first, second = offline_runs(tmp_path)
    assert start(first).run_id != start(second).run_id
    assert [run[-1].exit.exit_code for run in (first, second)] == [1, 0]
    assert [[row["hypernet0/loss"] for row in history(run)] for run in (first, second)] == [[1.0], [2.0]]


def test_disabled_wandb_takes_everything_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with Tracker([wandb_logger(tmp_path, "p")]) as tracker:
        log_everything(tracker, tmp_path)
    assert not list(tmp_path.glob("**/*.wandb"))


def test_csv_has_each_trainings_metrics_even_without_finish(tmp_path: Path) -> None:
    log_everything(Tracker([CSVLogger(tmp_path, name="logs", version="")]), tmp_path)
    rows = list(csv.DictReader((tmp_path / "logs" / "metrics.csv").open()))
    assert [(row["step"], row["hypernet0/loss"]) for row in rows if row["hypernet0/loss"]] == [
        ("0", "2.0"),
        ("10", "1.0"),
    ]
    assert [row["hypernet1/loss"] for row in rows if row["hypernet1/loss"]] == ["3.0"]
    assert (rows[-1]["step"], rows[-1]["rho"], rows[-1]["ceiling"]) == ("10", "0.57", "nan")
    assert "verdict" not in rows[-1]
    assert "width: 32" in (tmp_path / "logs" / "hparams.yaml").read_text()


def test_mlflow_has_parameters_metrics_and_files(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    with Tracker([mlflow_logger(str(tmp_path), "experiment")]) as tracker:
        log_everything(tracker, tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow' / 'runs.db'}")
    experiment = client.get_experiment_by_name("experiment")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["hypernet/width"] == "32"
    losses = client.get_metric_history(run.info.run_id, "hypernet0/loss")
    assert [(metric.step, metric.value) for metric in losses] == [(0, 2.0), (10, 1.0)]
    assert run.data.metrics["rho"] == 0.57
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"drawing.svg", "plot.png", "report.html"}
    assert (tmp_path / "mlflow" / "artifacts").is_dir()


def test_a_failed_run_is_one_in_mlflow_too(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    logger = mlflow_logger(str(tmp_path), "experiment")
    tracker = Tracker([logger])
    tracker.log("hypernet0", {"loss": 1.0}, 0)
    tracker.finish("failed")
    assert logger.experiment.get_run(logger.run_id).info.status == "FAILED"


@pytest.mark.parametrize(
    ("make", "package", "extra"),
    [
        (lambda folder: tensorboard_logger(folder), "tensorboard", "tensorboard"),
        (lambda folder: mlflow_logger(folder, "experiment"), "mlflow", "mlflow"),
        (lambda folder: mlflow_logger(folder, "experiment"), "sqlalchemy", "mlflow"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    make: Callable[[str], Any], package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> Any:
        return None if name == package else find_spec(name)

    monkeypatch.setattr(loggers, "find_spec", find)
    if package == "sqlalchemy":
        pytest.importorskip("mlflow")
    with pytest.raises(ValueError, match=rf"{package}.*pip install 'smash-lightning\[{extra}\]'"):
        make(str(tmp_path))


def test_what_wandb_answers_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = wandb_logger(tmp_path, "p")
    with Tracker([CSVLogger(tmp_path, name="logs", version=""), logger]) as tracker:
        tracker.log("hypernet0", {"loss": 1.0}, 0)
        monkeypatch.setattr(logger, "metrics", lambda *_: (_ for _ in ()).throw(ConnectionError("gone away")))
        tracker.log("hypernet0", {"loss": 2.0}, 1)
        tracker.log("hypernet0", {"loss": 3.0}, 2)
        tracker.table("t", ["a"], [[1]])
    rows = list(csv.DictReader((tmp_path / "logs" / "metrics.csv").open()))
    assert [row["hypernet0/loss"] for row in rows] == ["1.0", "2.0", "3.0"]
    said = capsys.readouterr().err
    assert said.count("gone away") == 1
    (run,) = offline_runs(tmp_path)
    assert run[-1].exit.exit_code == 0
    assert not any("t" in row for row in history(run)), "after a failure nothing more is asked of it"


def test_tensorboard_has_metrics_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Tracker([TensorBoardLogger(tmp_path, name="tb", version="")]) as tracker:
        log_everything(tracker, tmp_path)
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("hypernet0/loss")] == [(0, 2.0), (10, 1.0)]
    assert [event.step for event in events.Images("plot")] == [10]


def test_no_logger_at_all_is_fine(tmp_path: Path) -> None:
    with Tracker([]) as tracker:
        log_everything(tracker, tmp_path)


def test_a_logger_that_cannot_close_does_not_keep_wandb_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = CSVLogger(tmp_path)
    monkeypatch.setattr(files, "finalize", lambda status: (_ for _ in ()).throw(OSError("disk full")))
    tracker = Tracker([files, wandb_logger(tmp_path, "p")])
    tracker.config({"seed": 0})
    with pytest.raises(OSError, match="disk full"):
        tracker.finish()
    assert len(offline_runs(tmp_path)) == 1
    assert wandb.run is None


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 loggers of W&B"):
        Tracker([wandb_logger(tmp_path, "p"), wandb_logger(tmp_path, "p")])
    with pytest.raises(ValueError, match=r"logger.wandb.mode must be one of auto.*'on'"):
        wandb_logger(tmp_path, "p", mode="on")
    with pytest.raises(ValueError, match="wandb login"):
        wandb_logger(tmp_path, "p", mode="online")
    with pytest.raises(ValueError, match=r"photo\.jpg: pictures"):
        Tracker([]).image("photo", tmp_path / "photo.jpg")


@pytest.mark.slow
def test_a_newcomer_at_a_terminal_is_asked_nothing_and_sees_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, so that nothing can be written into the home folder")
    code = f"""if True:
        from smash_lightning.report.tracker import Tracker
        from smash_lightning.report.wandb_run import wandb_logger
        with Tracker([wandb_logger({str(tmp_path)!r}, "p")]) as tracker:
            tracker.log("hypernet0", {{"loss": 1.0}}, 0)
            tracker.table("t", ["a"], [[1]])
        print("done")"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    theirs, ours = pty.openpty()
    command = [sys.executable, "-W", "ignore", "-c", code]
    process = subprocess.Popen(
        command, env=environment | {"HOME": str(tmp_path / "home")}, stdin=ours, stdout=ours, stderr=ours
    )
    os.close(ours)
    try:
        code_of_exit = process.wait(timeout=60)
        said = os.read(theirs, 100_000).decode()
    finally:
        process.kill()
        os.close(theirs)
    assert code_of_exit == 0, said
    assert "wandb" not in said, said
    assert said.strip().endswith("done")
    assert len(offline_runs(tmp_path)) == 1
