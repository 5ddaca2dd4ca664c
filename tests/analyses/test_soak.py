"""What a process holds while it works, and a line through it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from smash_lightning.analyses import soak
from smash_lightning.analyses.soak import NUMBERS, fitted
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on


def test_a_process_is_sampled_while_it_works(tmp_path: Path) -> None:
    soak(experiment_on(None, tmp_path), NO_LOGGERS, steps=6, scores=4, trainings=2, samples=4)
    table, found = pd.read_csv(tmp_path / "soak.csv"), json.loads((tmp_path / "soak.json").read_text())
    assert list(found) == ["steps", "scores", "trainings"]
    assert table.groupby("kind")["count"].max()[["scores", "trainings"]].tolist() == [4, 2]
    assert (table[["memory_mb", "descriptors", "threads"]] > 0).all(axis=None)
    assert not [*tmp_path.rglob("*-*.ckpt")], "networks are not kept"


@pytest.mark.parametrize(("leak", "flat"), [({}, True), ({"memory_mb": 1.0}, False), ({"files": 1}, False)])
def test_a_leak_is_found(leak: dict[str, float], flat: bool) -> None:
    rows = [{"count": 10 * i, "memory_mb": 500.0 + i % 2, **dict.fromkeys(NUMBERS, 3)} for i in range(1, 41)]
    found = fitted(pd.DataFrame([row | {k: row[k] + i * v for k, v in leak.items()} for i, row in enumerate(rows)]))
    assert found["flat"] is flat
    assert found["mb_per_1000"] == pytest.approx(1000 * leak.get("memory_mb", 0.0) / 10, abs=1)
