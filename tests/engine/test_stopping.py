"""A run that is asked to stop lets its jobs save, and then ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.engine import Pool, Stopped, handling_stop_signals, requeued, stop_requested


def until_asked(context: Path, job: str, send: Callable[[Any], None]) -> str:
    """Works until it is asked to stop, and saves that."""
    send("begun")
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
    jobs = ["short", "long", "never begun"] if workers == 1 else ["short", "long", "last", "never begun"]
    begun: list[int] = []

    def receive(index: int, message: Any) -> None:
        begun.append(index)
        if len(begun) == workers + 1:
            os.kill(os.getpid(), number)

    found = {}
    with handling_stop_signals(), Pool(until_asked, tmp_path, workers, receive) as pool:
        ending = pool.run(jobs)
        with pytest.raises(Stopped):
            found.update(next(ending) for _ in jobs)
    assert found == ({0: "done"} if workers == 1 else {0: "done", 2: "done after all"})
    assert [path.name for path in tmp_path.iterdir()] == ["long"]
    assert sorted(begun) == list(range(workers + 1))


def test_signals_are_as_before_and_the_next_run_is_not_asked() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handling_stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested()
    assert signal.getsignal(signal.SIGTERM) is before
    with handling_stop_signals():
        assert not stop_requested()


def test_slurm_is_asked_to_begin_again_only_before_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ntest "$2" = 7 || {{ echo unknown job >&2; exit 1; }}\n'
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with handling_stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert requeued({"SLURM_JOB_ID": "7"}) == "", "after a pre-emption SLURM does so by itself"
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requeued({}) == ""
        assert "begins the job again" in requeued({"SLURM_JOB_ID": "7"})
        assert requeued({"SLURM_JOB_ID": "8"}) == "; scontrol: unknown job"
    assert (tmp_path / "asked").read_text() == "requeue 7\nrequeue 8\n"
