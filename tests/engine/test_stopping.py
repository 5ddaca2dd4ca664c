"""After a request to stop, jobs save their state, and the run ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.engine import Pool, Stopped, handling_stop_signals, requeued, stop_requested


def until_requested(context: Path, job: str, send: Callable[[Any], None]) -> str:
    """Works until a request to stop, and saves that."""
    send("started")
    if job == "short":
        return "done"
    deadline = time.monotonic() + 60
    while not stop_requested():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if job == "last":
        return "done after all"
    (context / job).write_text("saved")
    raise Stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_save_and_the_run_ends(workers: int, number: signal.Signals, tmp_path: Path) -> None:
    jobs = ["short", "long", "never started"] if workers == 1 else ["short", "long", "last", "never started"]
    started: list[int] = []

    def receive(index: int, message: Any) -> None:
        started.append(index)
        if len(started) == workers + 1:
            os.kill(os.getpid(), number)

    found = {}
    with handling_stop_signals(), Pool(until_requested, tmp_path, workers, receive) as pool:
        outcomes = pool.run(jobs)
        with pytest.raises(Stopped):
            found.update(next(outcomes) for _ in jobs)
    assert found == ({0: "done"} if workers == 1 else {0: "done", 2: "done after all"})
    assert [path.name for path in tmp_path.iterdir()] == ["long"]
    assert sorted(started) == list(range(workers + 1))


def test_handlers_are_restored_and_the_next_run_has_no_request() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handling_stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested()
    assert signal.getsignal(signal.SIGTERM) is before
    with handling_stop_signals():
        assert not stop_requested()


def test_a_job_is_requeued_only_after_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ntest "$2" = 7 || {{ echo unknown job >&2; exit 1; }}\n'
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with handling_stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert requeued({"SLURM_JOB_ID": "7"}) == "", "after a pre-emption SLURM does so by itself"
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requeued({}) == ""
        assert "starts the job again" in requeued({"SLURM_JOB_ID": "7"})
        assert requeued({"SLURM_JOB_ID": "8"}) == "; scontrol: unknown job"
    assert (tmp_path / "calls").read_text() == "requeue 7\nrequeue 8\n"
