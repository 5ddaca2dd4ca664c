"""Runs on W&B that belong together, online or offline, and what is refused before a run begins."""

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import wandb

from smash_lightning.report.tracker import Tracker
from smash_lightning.report.wandb_run import WandbRun, choose_mode, read_identity, wandb_logger
from tests.report.offline import Record, offline_runs, start

KEY = 40 * "k"  # of the right length, and of no account


@pytest.fixture
def server() -> Iterator[str]:
    """An address that answers, as a server and as a proxy."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def logged(folder: Path, **options: Any) -> list[Record]:
    """The records of a new run in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with Tracker([wandb_logger(folder, "p", **options)]) as tracker:
        tracker.config({"seed": 0})
    return offline_runs(folder)[-1]


def test_a_stage_joins_the_group_of_the_run_that_it_builds_on(tmp_path: Path) -> None:
    search = start(logged(tmp_path / "search", task="smash_lightning.stages.search"))
    assert search.job_type == "search"
    checkpoint = tmp_path / "search" / "checkpoints" / "hypernet0.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    for index, source in enumerate((tmp_path / "search", checkpoint)):
        rank = start(logged(tmp_path / f"rank{index}", task="smash_lightning.stages.rank", checkpoint=str(source)))
        assert (rank.job_type, rank.run_group) == ("rank", search.run_id)
    assert start(logged(tmp_path / "third", checkpoint=str(tmp_path / "rank0"))).run_group == search.run_id
    named = start(logged(tmp_path / "named", checkpoint=str(tmp_path / "search"), group="mine"))
    assert named.run_group == "mine"
    (tmp_path / "unknown").mkdir()
    alone = start(logged(tmp_path / "alone", checkpoint=str(tmp_path / "unknown")))
    assert alone.run_group == alone.run_id, "the other was never logged on W&B"


def test_a_broken_identity_is_replaced_and_tags_are_cut_where_they_are_too_long(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    for text in ("{", "[]", '{"run": "a"}', '{"run": "a", "group": "b", "more": 1}'):
        (tmp_path / "wandb" / "run.json").write_text(text)
        assert read_identity(tmp_path) is None
    about = ["digits", "smash_lightning.search_space.SingleConvolution", "residual", "digits", "d" * 70]
    run = start(logged(tmp_path, about=about, tags=["v1.2"]))
    assert read_identity(tmp_path) == {"run": run.run_id, "group": run.run_group}
    assert list(run.tags) == ["digits", "SingleConvolution", "residual", "d" * 64, "v1.2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "on"}, r"logger\.wandb: (.|\n)*mode\n.*'online', 'offline'"),
        ({"mode": "online"}, r"W&B online needs an API key: run `wandb login`"),
    ],
)
def test_what_wandb_would_refuse_is_refused_at_the_start(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        wandb_logger(tmp_path / "run", **({"project": "p"} | options))


def keep(folder: Path, name: str, used: Sequence[tuple[str, Path]]) -> tuple[str, dict[str, Any]]:
    """Id of a run, and the metadata of the artifact that it keeps."""
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(name)
    with Tracker([wandb_logger(folder, "p")]) as tracker:
        tracker.artifact(name, "model", [folder / "file"], used)
    (run,) = offline_runs(folder)
    (kept,) = [record.artifact for record in run if record.HasField("artifact")]
    return kept.name, json.loads(kept.metadata)


def test_an_artifact_lists_what_it_was_made_from(tmp_path: Path) -> None:
    first, data = keep(tmp_path / "search", "hypernets", [])
    assert (first, data["inputs"]) == (f"hypernets-{data['run']}", [])
    _, data = keep(tmp_path / "rank", "ranking", [("hypernets", tmp_path / "search")])
    assert data["inputs"] == [first]
    (tmp_path / "unknown").mkdir()
    _, data = keep(tmp_path / "third", "ranking", [("hypernets", tmp_path / "unknown")])
    assert data["inputs"] == ["hypernets-unknown"]


def test_online_an_artifact_of_another_run_is_used_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, _ = keep(tmp_path / "search", "hypernets", [])
    keep(tmp_path / "rank", "ranking", [])
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    used = [("hypernets", tmp_path / "search"), ("ranking", tmp_path / "rank")]
    for refused in (None, wandb.errors.CommError("no such artifact")):
        logger, service = wandb_logger(tmp_path / "rank", "p", mode="online"), Mock()
        service.use_artifact.side_effect = refused
        monkeypatch.setattr(WandbRun, "experiment", service)
        logger.keep("ranking", "ranking", [tmp_path / "rank" / "file"], used)
        service.use_artifact.assert_called_once_with(f"{search}:latest")  # its own artifact is no input of the run
        service.log_artifact.assert_called_once()


def test_online_takes_a_key_and_a_server(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    assert choose_mode("auto") == "offline"  # no key
    (tmp_path / "netrc").write_text(f"machine {server.removeprefix('http://')} login user password {KEY}\n")
    assert choose_mode("auto") == "online"
    for text in ("machine elsewhere.example login user password secret\n", "not a netrc file"):
        (tmp_path / "netrc").write_text(text)
        assert choose_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert choose_mode("auto") == choose_mode("online") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "http://api.example.invalid")
    assert choose_mode("auto") == "offline", "a key without a network"
    monkeypatch.setenv("http_proxy", server)
    assert choose_mode("auto") == "online"
    monkeypatch.setenv("no_proxy", "example.invalid")
    assert choose_mode("auto") == "offline"
    for requested in ("offline", "disabled"):
        monkeypatch.setenv("WANDB_MODE", requested)
        assert choose_mode("auto") == requested
