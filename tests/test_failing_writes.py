"""A sample of docs/results/faults.py, which lets every operation on files fail, each in a run of its own."""

import io
import json
import os
import runpy
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from tests.command_line import ROOT, Copy

HARNESS = ROOT / "docs" / "results" / "faults.py"
SAMPLE = ("--first", "5", "--every", "190", "--stages", "search", "rank")


def sample(folder: Path) -> str:
    """What the harness prints."""
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
    sys.path.insert(0, str(HARNESS.parent))
    sys.argv = [str(HARNESS), str(folder / "trials.jsonl"), *SAMPLE]
    with redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(HARNESS), run_name="__main__")
    return printed.getvalue()


def test_runs_whose_writes_fail_lose_nothing(tmp_path: Path) -> None:
    figures = json.loads(Copy(sample, tmp_path).result(seconds=600))["figures"]
    assert sum(row["tried"] for row in figures.values()) >= 7
    assert [one for row in figures.values() for one in row["faults"]] == []
