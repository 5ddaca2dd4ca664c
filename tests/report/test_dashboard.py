"""Charts and workspace as code: what would be saved, without an account."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from smash_lightning.report.dashboard import LINES, workspace


def values(plain: Any, key: str) -> list[Any]:
    """Every value of a key, at any depth."""
    if isinstance(plain, dict):
        return [one for name, value in plain.items() for one in ([value] if name == key else values(value, key))]
    return [one for value in plain for one in values(value, key)] if isinstance(plain, list) else []


def test_the_workspace_has_every_metric_table_and_chart() -> None:
    pytest.importorskip("wandb_workspaces")
    plain = asdict(workspace("me", "smash"))
    assert [section["name"] for section in plain["sections"]] == ["Verdict", *LINES, "Tables"]
    assert values(plain, "chart_name") == ["wandb/scatter/v0"]
    assert values(plain, "tableKey") == ["score_and_test_error_table"]
    assert values(plain, "metric_regex") == [f"^{metric}$" for some in LINES.values() for metric in some]
    assert values(plain, "table_name") == ["ranking", "retrained", "baselines", "settling"]
    view = json.loads(workspace("me", "smash")._to_model().model_dump_json(by_alias=True, exclude_none=True))
    assert [key["name"] for key in view["spec"]["section"]["runSets"][0]["grouping"]] == ["group", "jobType"]
