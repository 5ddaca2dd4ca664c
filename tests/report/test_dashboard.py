"""Workspace and report as code: what they show is what runs log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.report import dashboard
from smash_lightning.report.dashboard import main, panels, plain, report, workspace
from tests.report.offline import without_account

package = pytest.importorskip("wandb_workspaces", reason="the extra dashboards is not installed")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path)


def of_kind(made: Any, kind: str) -> list[dict[str, Any]]:
    """All parts of a kind within plain values."""
    if isinstance(made, list):
        return [part for one in made for part in of_kind(one, kind)]
    if not isinstance(made, dict):
        return []
    own = [made] if made.get("kind") == kind else []
    return own + [part for one in made.values() for part in of_kind(one, kind)]


@pytest.mark.parametrize("account", [None, "me"])
def test_charts_stand_over_the_tables_that_runs_log(account: str | None) -> None:
    charts = of_kind(plain(panels(account)), "CustomChart")
    tables = [chart["query"]["summaryTable"]["tableKey"] for chart in charts]
    names = [*dashboard.SCATTERS, *dashboard.INTERVALS, "ranks_hypernet0"]
    assert tables == [f"{name}_table" for name in names]
    own = {"me/smash-scatter", "me/smash-intervals", "me/smash-lines"}
    ready = {"wandb/scatter/v0", "wandb/bar/v0", "wandb/lineseries/v0"}
    assert {chart["chart_name"] for chart in charts} == (own if account else ready)


def test_workspace_and_report_show_the_same_panels() -> None:
    both = [plain(make("me", "smash")) for make in (workspace, report)]
    for kind in ("CustomChart", "LinePlot", "ScalarChart", "ScatterPlot", "MediaBrowser", "WeavePanelSummaryTable"):
        first, second = (of_kind(one, kind) for one in both)
        assert len(first) == len(second) > 0
    space, page = both
    assert [section["name"] for section in space["sections"]] == list(panels(None))
    assert [key["name"] for key in space["runset_settings"]["groupby"]] == ["Group", "JobType"]
    runs = of_kind(page, "Runset")
    assert {one["filters"] for one in runs} == {"JobType != 'retraining'", "JobType = 'retraining'"}
    assert {(one["entity"], one["project"]) for one in runs} == {("me", "smash")}


def test_a_workspace_is_what_wandb_would_take() -> None:
    view = json.loads(workspace("me", "smash")._to_model().model_dump_json(by_alias=True, exclude_none=True))
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    assert [len(section["panels"]) for section in sections] == [len(some) for some in panels(None).values()]
    assert [key["name"] for key in view["spec"]["section"]["runSets"][0]["grouping"]] == ["group", "jobType"]


def test_a_dry_run_prints_both_and_needs_no_login(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--entity", "me", "--project", "smash", "--dry-run"])
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(
        json.dumps({"workspace": plain(workspace("me", "smash")), "report": plain(report("me", "smash"))})
    )
    assert printed.err == ""


def test_saving_without_a_login_is_one_clear_error() -> None:
    with pytest.raises(SystemExit, match=r"^error: saving needs a login: run `wandb login`"):
        main(["--entity", "me", "--project", "smash"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "wandb_workspaces"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(SystemExit, match=r"wandb-workspaces.*pip install 'smash-lightning\[dashboards\]'"):
        main(["--entity", "me", "--project", "smash", "--dry-run"])


@pytest.mark.slow
def test_a_service_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_BASE_URL": "http://127.0.0.1:1", "WANDB_API_KEY": 40 * "k", "WANDB_SILENT": "true"}
    command = [sys.executable, "-m", "smash_lightning.report.dashboard", "--entity", "me", "--project", "p"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the workspace could not be saved")
    assert "Traceback" not in done.stderr
