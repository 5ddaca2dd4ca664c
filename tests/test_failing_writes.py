"""A sample of docs/results/faults.py, which lets every operation on files fail, each in a run of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

HARNESS = Path(__file__).parent.parent / "docs" / "results" / "faults.py"
SAMPLE = ("--first", "5", "--every", "190", "--stages", "search", "rank")


def test_runs_whose_writes_fail_lose_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(HARNESS), str(tmp_path / "trials.jsonl"), *SAMPLE]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    figures = json.loads(ended.stdout)["figures"]
    assert sum(row["tried"] for row in figures.values()) >= 7
    assert [one for row in figures.values() for one in row["faults"]] == []
