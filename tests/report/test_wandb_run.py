"""Runs on W&B that belong together: which id and group each has, and the trainings beside a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import wandb

from smash_lightning.report import wandb_trainings
from smash_lightning.report.board import Training
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.wandb_identity import identify, read_identity
from smash_lightning.report.wandb_run import WandbRun, wandb_logger
from tests.report.offline import Record, by_job_type, history, merged, offline_runs, start, without_account

TRAINING = Training(
    "aa-1000",
    {"arm": "top", "architecture": {"blocks": [{"ops": []}]}},
    [({"epoch_loss": 2.0}, 4), ({"epoch_loss": 1.5}, 9)],
    {"true_error": 12.5, "true_loss": 0.5},
    top=True,
)
OTHER = Training(
    "bb-1000", {"arm": "spread"}, [], {"true_loss": float("nan"), "failure": "it died"}, top=False, failed=True
)


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path)


def logged(folder: Path, **options: Any) -> list[Record]:
    """The records of a new run in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("wandb/offline-run-*"))
    with Tracker([wandb_logger(folder, "p", **options)]) as tracker:
        tracker.config({"seed": 0})
    runs = offline_runs(folder)
    assert len(runs) == len(before) + 1
    return runs[-1]


def test_a_resumed_run_keeps_its_id_and_group(tmp_path: Path) -> None:
    first = start(logged(tmp_path, task="tasks.pipeline"))
    second = start(logged(tmp_path, task="tasks.pipeline"))
    assert (second.run_id, second.run_group) == (first.run_id, first.run_group) == (first.run_id, first.run_id)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2
    assert start(logged(tmp_path / "other")).run_id != first.run_id


def test_a_stage_joins_the_group_of_the_run_that_it_goes_on_from(tmp_path: Path) -> None:
    search = start(logged(tmp_path / "search", task="smash_lightning.stages.search"))
    assert search.job_type == "search"
    (tmp_path / "search" / "checkpoints").mkdir()
    checkpoint = tmp_path / "search" / "checkpoints" / "hypernet0.ckpt"
    checkpoint.touch()
    for index, source in enumerate((tmp_path / "search", checkpoint)):
        rank = start(logged(tmp_path / f"rank{index}", task="smash_lightning.stages.rank", checkpoint=str(source)))
        assert (rank.job_type, rank.run_group) == ("rank", search.run_id)
        assert rank.run_id != search.run_id
    third = start(logged(tmp_path / "third", checkpoint=str(tmp_path / "rank0")))
    assert third.run_group == search.run_id, "a stage on a stage"
    named = start(logged(tmp_path / "named", checkpoint=str(tmp_path / "search"), group="mine"))
    assert named.run_group == "mine"
    (tmp_path / "unseen").mkdir()
    alone = start(logged(tmp_path / "alone", checkpoint=str(tmp_path / "unseen")))
    assert alone.run_group == alone.run_id, "the other was never shown on W&B"


def test_the_jobs_of_a_sweep_share_a_group_and_nothing_else(tmp_path: Path) -> None:
    sweep = tmp_path / "2026-11-24" / "09-00-00"
    first, second = (start(logged(sweep / str(job), sweep=str(sweep))) for job in range(2))
    assert first.run_group == second.run_group == "2026-11-24-09-00-00"
    assert first.run_id != second.run_id
    resumed = start(logged(sweep / "1"))
    assert (resumed.run_id, resumed.run_group) == (second.run_id, second.run_group)
    outside = start(logged(tmp_path / "single", sweep=str(sweep)))
    assert outside.run_group == outside.run_id


def test_a_broken_identity_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    for text in ("{", "[]", '{"run": "a"}', '{"run": "a", "group": "b", "more": 1}'):
        (tmp_path / "wandb" / "run.json").write_text(text)
        assert read_identity(tmp_path) is None
    run = start(logged(tmp_path))
    found = read_identity(tmp_path)
    assert found is not None
    assert (found.run, found.group) == (run.run_id, run.run_group)
    assert identify(tmp_path, None, None, None) == found


def test_a_logger_that_is_never_used_leaves_nothing(tmp_path: Path) -> None:
    with Tracker([wandb_logger(tmp_path, "p")]):
        pass
    assert not list(tmp_path.iterdir())


def test_tags_tell_what_a_run_is_about(tmp_path: Path) -> None:
    about = ["digits", "smash_lightning.search_space.SingleConvolution", "residual", "digits"]
    tags = list(start(logged(tmp_path, about=about, tags=["v1.2"])).tags)
    assert tags == ["digits", "SingleConvolution", "residual", "v1.2"]


def shown(folder: Path, trainings: str, done: Sequence[Training] = (TRAINING, OTHER)) -> list[list[Record]]:
    logger = wandb_logger(folder, "p", tags=["t"], task="tasks.retrain", trainings=trainings)  # type: ignore[arg-type]
    with Tracker([logger]) as tracker:
        tracker.log("retrained", {"true_loss": 1.0}, 1)
        for training in done:
            tracker.training(training)
        tracker.log("retrained", {"true_loss": 2.0}, 2)
    assert wandb.run is None
    return offline_runs(folder)


def test_each_training_is_a_run_of_its_own_in_the_group(tmp_path: Path) -> None:
    runs = shown(tmp_path, "all")
    (parent,) = by_job_type(runs, "retrain")
    assert [row["retrained/true_loss"] for row in history(parent)] == [1.0, 2.0], "its own run goes on beside theirs"
    mine = {start(run).display_name: run for run in by_job_type(runs, "retraining")}
    assert mine.keys() == {"aa-1000", "bb-1000"}
    run, id = mine["aa-1000"], start(parent).run_id
    assert (start(run).run_id, start(run).run_group, list(start(run).tags)) == (f"{id}-aa-1000", id, ["t"])
    config = {item.smash_score: json.loads(item.value_json) for item in start(run).config.update}
    assert (config["arm"], config["architecture"], config["search"]) == ("top", {"blocks": [{"ops": []}]}, id)
    assert [(row["step"], row["epoch_loss"]) for row in history(run)] == [(4, 2.0), (9, 1.5)]
    summary = merged(run, "summary", "update")
    assert (summary["true_error"], summary["true_loss"]) == (12.5, 0.5)
    assert run[-1].exit.exit_code == 0
    failed = merged(mine["bb-1000"], "summary", "update")
    assert (failed["true_loss"], failed["failure"]) == (None, "it died")
    assert mine["bb-1000"][-1].exit.exit_code == 1
    assert len(set(tmp_path.glob("wandb/offline-run-*"))) == 3


@pytest.mark.parametrize(("choice", "names"), [("top", {"aa-1000"}), ("none", set())])
def test_fewer_trainings_may_be_shown(choice: str, names: set[str], tmp_path: Path) -> None:
    runs = by_job_type(shown(tmp_path, choice), "retraining")
    assert {start(run).display_name for run in runs} == names


def test_an_unknown_choice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"logger\.wandb\.trainings must be one of all, top, none, got 'some'"):
        wandb_logger(tmp_path, "p", trainings="some")  # type: ignore[arg-type]


def test_trainings_that_wandb_refuses_are_told_once_and_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = wandb.init

    def refuse(**options: Any) -> Any:
        if options["job_type"] == "retraining":
            raise wandb.Error("no room left")
        return opened(**options)

    monkeypatch.setattr(wandb_trainings.wandb, "init", refuse)
    runs = shown(tmp_path, "all")
    assert [start(run).job_type for run in runs] == ["retrain"]
    assert runs[0][-1].exit.exit_code == 0
    assert "2 of 2 trainings have no run there: no room left" in capsys.readouterr().err


def test_a_server_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    released = threading.Event()
    opened = wandb.init

    def hang(**options: Any) -> Any:
        if options["job_type"] == "retraining":
            released.wait(30)
            raise wandb.Error("late")
        return opened(**options)

    monkeypatch.setattr(wandb_trainings.wandb, "init", hang)
    monkeypatch.setattr(wandb_trainings, "PATIENCE", 0.2)
    shown(tmp_path, "all")
    released.set()
    assert "2 of 2 trainings have no run there: W&B did not answer in time" in capsys.readouterr().err


def test_drawings_stand_in_a_table(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {0}"/>'
    with Tracker([wandb_logger(tmp_path, "p")]) as tracker:
        rows = [("aa", 1.0), ("bb", float("nan"))]
        tracker.gallery("drawings", ["fingerprint", "smash_score"], rows, [svg.format(1), svg.format(2)])
    (run,) = offline_runs(tmp_path)
    (kept,) = [record.artifact for record in run if record.HasField("artifact")]
    files = {entry.path: Path(entry.local_path).read_text() for entry in kept.manifest.contents}
    table = json.loads(files["drawings.table.json"])
    assert table["columns"] == ["fingerprint", "smash_score", "drawing"]
    assert [row[:2] for row in table["data"]] == [["aa", 1], ["bb", None]]
    assert [row[2]["_type"] for row in table["data"]] == ["html-file"] * 2
    assert [files[row[2]["path"]] for row in table["data"]] == [svg.format(1), svg.format(2)]


def artifacts(run: list[Record]) -> dict[str, dict[str, Any]]:
    """The metadata of each artifact."""
    kept = [record.artifact for record in run if record.HasField("artifact")]
    return {one.name: json.loads(one.metadata or "{}") for one in kept}


def keep(folder: Path, name: str, inputs: Sequence[tuple[str, Path]]) -> tuple[str, dict[str, dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(name)
    logger = wandb_logger(folder, "p")
    with Tracker([logger]) as tracker:
        tracker.artifact(name, "model", [folder / "file"], inputs)
    (run,) = offline_runs(folder)
    return start(run).run_id, artifacts(run)


def test_an_artifact_names_what_it_was_made_from(tmp_path: Path) -> None:
    search, first = keep(tmp_path / "search", "hypernets", [])
    assert first == {f"hypernets-{search}": {"inputs": [], "run": search}}
    rank, second = keep(tmp_path / "rank", "ranking", [("hypernets", tmp_path / "search")])
    assert second == {f"ranking-{rank}": {"inputs": [f"hypernets-{search}"], "run": rank}}
    same, third = keep(tmp_path / "same", "ranking", [("hypernets", tmp_path / "same")])
    assert third[f"ranking-{same}"]["inputs"] == [f"hypernets-{same}"]
    (tmp_path / "unseen").mkdir()
    _, fourth = keep(tmp_path / "fourth", "ranking", [("hypernets", tmp_path / "unseen")])
    assert [one["inputs"] for one in fourth.values()] == [["hypernets-unseen"]]


class Service:
    """An online run as far as artifacts go."""

    def __init__(self, refuses: bool) -> None:
        self.refuses, self.used, self.kept = refuses, list[str](), list[str]()

    def use_artifact(self, name: str) -> None:
        self.used.append(name)
        if self.refuses:
            raise wandb.errors.CommError("no such artifact")

    def log_artifact(self, artifact: Any) -> None:
        self.kept.append(artifact.name)


@pytest.mark.parametrize("refuses", [False, True])
def test_online_an_artifact_of_another_run_is_used_where_it_is_there(
    refuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, _ = keep(tmp_path / "search", "hypernets", [])
    (tmp_path / "rank").mkdir()
    (tmp_path / "rank" / "file").touch()
    monkeypatch.setenv("WANDB_API_KEY", 40 * "k")
    logger, service = wandb_logger(tmp_path / "rank", "p", mode="online"), Service(refuses)
    monkeypatch.setattr(WandbRun, "_run", service)
    made_from = [("hypernets", tmp_path / "search"), ("ranking", tmp_path / "rank")]
    logger.artifact("ranking", "ranking", [tmp_path / "rank" / "file"], made_from)
    assert service.used == [f"hypernets-{search}:latest"], "what it made itself is no input of the run"
    assert len(service.kept) == 1
