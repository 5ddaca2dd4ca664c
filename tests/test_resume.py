"""A run that is killed four times and continued, by one or two workers, ends in the files of an undisturbed run."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests import timeless

ROOT = Path(__file__).parent.parent
SMALL = [
    "logger=csv",
    "dataset.train=400",
    "search.epochs=16",
    "search.hypernets=3",
    "search.checkpoint_every=2",
    "ranking.fixed=3",
    "ranking.fixed_every=4",
    "ranking.strategies.random.count=40",
    "ranking.strategies.perturb.count=5",
    "ranking.strategies.markov.count=5",
    "retrain.epochs=3",
    "retrain.seeds=2",
    "retrain.stratified=5",
    "retrain.random=1",
    "retrain.shortlist=1",
    "evaluation.bootstrap=200",
    "baselines=cheap",
    "baselines.one_shot=[weight_sharing]",
]


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    log = (folder.parent / f"{folder.name}.log").open("ab")
    command = [sys.executable, str(ROOT / "run.py"), *SMALL, *more]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def kill_when(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not moment():
        assert process.poll() is None, "the run ended before the moment at which it was to be killed"
        assert time.monotonic() < deadline, "the run did not reach this moment"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))[1:] if path.exists() else []


def first_logged_step(folder: Path, version: int, hypernet: int) -> int:
    with (folder / "logs" / f"version_{version}" / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row.get(f"hypernet{hypernet}/loss")]
    return min(steps)


@pytest.mark.slow
def test_killed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole, "workers=1", f"hydra.run.dir={whole}").wait() == 0, (tmp_path / "whole.log").read_text()[-2000:]

    # The third HyperNet trains when one or both others are finished: then a resumed run has fewer jobs than workers.
    last = broken / "checkpoints" / "hypernet2.ckpt"
    kill_when(start(broken, "workers=2", f"hydra.run.dir={broken}"), last.exists)
    reached = torch.load(last, weights_only=True)
    assert not reached["smash"]["finished"]

    kill_when(start(broken, "workers=1", f"resume={broken}"), lambda: len(rows(broken / "ranking.csv")) >= 8)
    assert first_logged_step(broken, 1, 2) >= reached["global_step"], "steps before the checkpoint were done again"
    scored = rows(broken / "ranking.csv")
    assert len(scored) < 50

    kill_when(start(broken, "workers=2", f"resume={broken}"), lambda: len(rows(broken / "retrained.csv")) >= 3)
    trained = rows(broken / "retrained.csv")
    complete = broken / "ranking.csv"
    assert {row[0] for row in scored} <= {row[0] for row in rows(complete)}

    baseline = broken / "checkpoints" / "weight_sharing0.ckpt"
    kill_when(start(broken, "workers=1", f"resume={broken}"), baseline.exists)
    answered = rows(broken / "baselines.csv")
    assert not torch.load(baseline, weights_only=True)["smash"]["finished"]

    assert start(broken, "workers=1", f"resume={broken}").wait() == 0, (tmp_path / "broken.log").read_text()[-2000:]
    for name, before in (("retrained.csv", trained), ("baselines.csv", answered)):
        for row in before:
            assert row in rows(broken / name), f"{name}: what was finished was repeated"
    assert (broken / "architectures.jsonl").read_text() == (whole / "architectures.jsonl").read_text()
    for name in ("ranking.csv", "retrained.csv", "baselines.csv"):
        assert timeless.table(broken / name) == timeless.table(whole / name), name
    assert timeless.figures(broken / "correlation.json") == timeless.figures(whole / "correlation.json")
    for index, source in itertools.product(range(3), ("hypernet", "weight_sharing")):
        name = f"checkpoints/{source}{index}.ckpt"
        one, other = (torch.load(folder / name, weights_only=True)["state_dict"] for folder in (whole, broken))
        assert all(torch.equal(one[key], other[key]) for key in one), name
