"""Our charts: each gets all that its definition asks for, and is published as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.report.chart import CHARTS, over_table, published_name, reference
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.wandb_run import wandb_logger
from tests.report.offline import merged, offline_runs, tables, without_account

SMASH_SCORE = 40 * "k"  # of the right length and nobody's


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path)


def draw_each(tracker: Tracker) -> None:
    points = {"fingerprint": ["aa"], "score": [0.5], "truth": [0.2], "standard_error": [float("nan")], "arm": ["top"]}
    tracker.scatter("scatter", "A title", **points, x="score (nats)", y="loss (nats)")  # type: ignore[arg-type]
    tracker.intervals("intervals", "A title", [("depth", 0.5, 0.1, 0.9)], "Spearman")
    tracker.lines("lines", "A title", [("aa", 2.0, 1.0), ("aa", 4.0, 2.0)], "epoch", "place")


@pytest.mark.parametrize("account", [None, "me"])
def test_every_chart_stands_over_a_table_with_the_columns_that_it_wants(account: str | None, tmp_path: Path) -> None:
    with Tracker([wandb_logger(tmp_path, "p", charts=account)]) as tracker:
        draw_each(tracker)
    (run,) = offline_runs(tmp_path)
    config, logged = merged(run, "config", "update"), tables(tmp_path)
    for kind, chart in CHARTS.items():
        asked = config[f"_wandb/visualize/{kind}"]["panel_config"]
        assert asked["panelDefId"] == (f"me/{published_name(kind)}" if account else chart.ready)
        assert logged[f"{kind}_table"]["columns"] == list(chart.columns)
        assert set(asked["fieldSettings"].values()) <= set(chart.columns)
        assert asked["stringSettings"]["title"] == "A title"
        assert (asked["panelDefId"], asked["fieldSettings"]) == reference(kind, account)
    assert logged["scatter_table"]["data"] == [["aa", 0.5, 0.2, None, "top"]]
    assert logged["intervals_table"]["data"] == [["depth", 0.5, 0.1, 0.9]]
    assert logged["lines_table"]["data"] == [["aa", 2, 1], ["aa", 4, 2]]


def test_a_definition_asks_for_nothing_that_is_not_given(tmp_path: Path) -> None:
    with Tracker([wandb_logger(tmp_path, "p", charts="me")]) as tracker:
        draw_each(tracker)
    (run,) = offline_runs(tmp_path)
    for kind, chart in CHARTS.items():
        asked = merged(run, "config", "update")[f"_wandb/visualize/{kind}"]["panel_config"]
        text = json.dumps(chart.definition)
        for what, settings in (("field", asked["fieldSettings"]), ("string", asked["stringSettings"])):
            for name, value in settings.items():
                assert f"${{{what}:{name}}}" in text, f"{kind} has no use for {name}"
                text = text.replace(f"${{{what}:{name}}}", value)
        assert "${" not in text, f"{kind} asks for more"


def test_readings_of_a_ready_chart_are_its_own_names() -> None:
    table = over_table("lines", [["aa", 1.0, 2.0]], None, {"title": "t", "x": "epoch", "y": "place"})
    assert table.spec.string_fields == {"title": "t", "xname": "epoch"}


def test_definitions_are_published_once_by_hand() -> None:
    asked: list[dict[str, Any]] = []

    class Stub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
            if self.path == "/graphql":
                asked.append(body)
            name = body.get("variables", {}).get("chartName", "")
            data = {"createCustomChart": {"chart": {"id": f"me/{name}"}}, "viewer": {"id": "1", "entity": "me"}}
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
    environment |= {"WANDB_BASE_URL": f"http://127.0.0.1:{stub.server_port}", "WANDB_API_KEY": SMASH_SCORE}
    command = [sys.executable, "-m", "smash_lightning.report.chart", "me"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    stub.shutdown()
    assert done.stdout.split() == [f"me/{published_name(kind)}" for kind in CHARTS], done.stderr
    sent = [call["variables"] for call in asked if call["operationName"] == "CreateCustomChart"]
    for variables, (kind, chart) in zip(sent, CHARTS.items(), strict=True):
        assert (variables["entity"], variables["chartName"], variables["chartType"]) == (
            "me",
            published_name(kind),
            "vega2",
        )
        assert json.loads(variables["spec"]) == chart.definition
