"""The table of what a step costs."""

import json
from pathlib import Path

import pytest

from smash_lightning.analyses import benchmark
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on


def test_each_part_of_a_step_has_a_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark.__globals__, "BATCHES", 2)
    experiment = experiment_on(None, tmp_path)
    experiment.prepare_folder()
    benchmark(experiment, NO_LOGGERS, repeats=1, architectures=2)
    rows = json.loads((tmp_path / "benchmark.json").read_text())
    parts = ("draw", "encode", "generate", "forward", "backward", "optimizer", "data", "score", "host", "search")
    for row in rows:
        assert all(row[part] > 0 for part in (*parts, "operations", "peak_mb", "over_standalone", "side_by_side"))
