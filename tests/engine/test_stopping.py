"""Signals are requests to stop."""

import os
import signal
from pathlib import Path

import pytest

from smash_lightning.engine import handling_stop_signals, requeued, stop_requested


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
