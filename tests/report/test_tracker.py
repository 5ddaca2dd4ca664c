from __future__ import annotations

import csv
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from wandb.proto.wandb_internal_pb2 import Record

from smash_lightning.report import tracker as module
from smash_lightning.report.chart import COLUMNS, DEFINITION, NAME
from smash_lightning.report.tracker import Tracker, wandb_logger

KEY = 40 * "k"  # of the right length and nobody's
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
    for name in list(os.environ):
        if (name.startswith("WANDB_") and name != "WANDB_SERVICE") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, "restored after the test")


@pytest.fixture
def server() -> Iterator[str]:
    """An address where connections are accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def offline_runs(folder: Path) -> list[list[Record]]:
    """The records of each offline run below a folder, oldest run first, once all are whole."""
    deadline = time.monotonic() + 20
    while True:
        files = sorted(folder.glob("**/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_ctime_ns)
        runs = [records(path.read_bytes()) for path in files]
        if all(run and run[-1].HasField("exit") for run in runs):
            return runs
        assert time.monotonic() < deadline, f"no exit record in {files}"
        time.sleep(0.05)


def records(data: bytes) -> list[Record]:
    """What LevelDB's log framing holds: fragments in blocks of 32 KiB, after W&B's own header of 7 bytes."""
    found, at, fragments = [], 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        fragments += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or its last fragment
            found.append(Record.FromString(fragments))
            fragments = b""
    return found


def merged(run: list[Record], kind: str, items: str) -> dict[str, Any]:
    """All values that a run set, by key, such as those of its configuration or summary."""
    values = {}
    for record in run:
        if record.HasField(kind):  # type: ignore[arg-type]
            for item in getattr(getattr(record, kind), items):
                values["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    return values


def history(run: list[Record]) -> list[dict[str, Any]]:
    rows = [record.history.item for record in run if record.HasField("history")]
    return [{"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row} for row in rows]


def only(paths: Iterator[Path]) -> Path:
    (path,) = paths
    return path


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
    (start,) = [record.run for record in run if record.HasField("run")]
    assert (start.project, start.entity, start.display_name, start.run_group) == ("project", "me", "run", "sweep")
    assert list(start.tags) == ["one", "two"]
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
    assert table["columns"] == list(COLUMNS)
    assert table["data"] == [["aa", 0.5, 0.2, 0.01, "top"], ["bb", 0.4, 0.1, None, "spread"]]


def test_artifact_summary_and_exit_reach_wandb(offline: tuple[Path, list[Record]]) -> None:
    folder, run = offline
    artifacts = {record.artifact.name: record.artifact for record in run if record.HasField("artifact")}
    (entry,) = artifacts["ranking"].manifest.contents
    assert (artifacts["ranking"].type, entry.path) == ("ranking", "ranking.csv")
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
    ids = [next(record.run.run_id for record in run if record.HasField("run")) for run in (first, second)]
    assert ids[0] != ids[1]
    assert [run[-1].exit.exit_code for run in (first, second)] == [1, 0]
    assert [[row["hypernet0/loss"] for row in history(run)] for run in (first, second)] == [[1.0], [2.0]]


def test_chart_of_ones_own_gets_all_columns_and_axis_titles(tmp_path: Path) -> None:
    with Tracker([wandb_logger(tmp_path, "p")], chart=f"me/{NAME}") as tracker:
        tracker.scatter("correlation", "A title", **POINTS, x="score (nats)", y="loss (nats)")
    (run,) = offline_runs(tmp_path)
    chart = merged(run, "config", "update")["_wandb/visualize/correlation"]["panel_config"]
    assert chart["panelDefId"] == f"me/{NAME}"
    text = json.dumps(DEFINITION)
    for kind, settings in (("field", chart["fieldSettings"]), ("string", chart["stringSettings"])):
        for name, value in settings.items():
            assert f"${{{kind}:{name}}}" in text, f"{name} is not in the definition"
            text = text.replace(f"${{{kind}:{name}}}", value)
    assert "${" not in text, "the definition asks for something that is not given"


def test_definition_is_published_once_by_hand() -> None:
    asked = []

    class Stub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/graphql":
                asked.append(json.loads(body))
            data = {"createCustomChart": {"chart": {"id": f"me/{NAME}"}}, "viewer": {"id": "1", "entity": "me"}}
            answer = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    stub = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_BASE_URL": f"http://127.0.0.1:{stub.server_port}", "WANDB_API_KEY": KEY}
    command = [sys.executable, "-m", "smash_lightning.report.chart", "me"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    stub.shutdown()
    assert done.stdout == f"me/{NAME}\n", done.stderr
    (variables,) = [call["variables"] for call in asked if call["operationName"] == "CreateCustomChart"]
    assert (variables["entity"], variables["chartName"], variables["chartType"]) == ("me", NAME, "vega2")
    assert json.loads(variables["spec"]) == DEFINITION


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
    assert module.wandb.run is None


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 loggers of W&B"):
        Tracker([wandb_logger(tmp_path, "p"), wandb_logger(tmp_path, "p")])
    with pytest.raises(ValueError, match=r"unknown mode 'on'.*auto"):
        wandb_logger(tmp_path, "p", mode="on")
    with pytest.raises(ValueError, match="wandb login"):
        wandb_logger(tmp_path, "p", mode="online")
    with pytest.raises(ValueError, match=r"photo\.jpg: pictures"):
        Tracker([]).image("photo", tmp_path / "photo.jpg")


def mode(**arguments: str) -> str:
    return wandb_logger("unused", "p", **arguments)._wandb_init["mode"]  # type: ignore[arg-type,no-any-return]


def test_online_takes_a_key_and_a_server(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    assert mode() == "offline"  # no key
    (tmp_path / "netrc").write_text(f"machine {server.removeprefix('http://')} login user password {KEY}\n")
    assert mode() == "online"
    (tmp_path / "netrc").write_text("machine elsewhere.example login user password secret\n")
    assert mode() == "offline"
    (tmp_path / "netrc").write_text("not a netrc file")
    assert mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert mode() == mode(mode="online") == "online"


@pytest.mark.parametrize(("wish", "result"), [("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")])
def test_the_environment_may_say_otherwise(
    wish: str, result: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", wish)
    assert mode() == result


def test_a_wish_to_be_online_without_a_key_is_not_a_question(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_MODE", "online")
    assert mode() == "offline"


def test_a_key_without_a_network_is_offline_at_once(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", nowhere)
    assert mode() == "offline"
    released = threading.Event()

    def look_up(*_: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    start = time.monotonic()
    assert mode() == "offline"
    assert time.monotonic() - start < 5
    released.set()


def test_a_proxy_counts_as_a_network(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "https://api.example.invalid")
    assert mode() == "offline"
    monkeypatch.setenv("https_proxy", server)
    assert mode() == "online"
    monkeypatch.setenv("https_proxy", server.removeprefix("http://"))
    assert mode() == "online"
    monkeypatch.setenv("no_proxy", "example.invalid")
    assert mode() == "offline"


@pytest.mark.slow
def test_a_newcomer_at_a_terminal_is_asked_nothing_and_sees_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, so that nothing can be written into the home folder")
    code = f"""if True:
        from smash_lightning.report.tracker import Tracker, wandb_logger
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
