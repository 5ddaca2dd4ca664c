from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.engine import Failure, Pool
from smash_lightning.engine.spawned import stop_workers


def work(context: int, job: str, send: Callable[[Any], None]) -> Any:
    """A job that does what its name says."""
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "exit":
        sys.exit("enough")
    if job == "raise":
        raise KeyError("no such thing")
    send((job, context))
    if job == "tensor":
        return torch.full((300, 100), float(context))
    if job == "threads":
        return torch.get_num_threads()
    return context * len(job)


def outcomes(jobs: list[str], workers: int) -> tuple[dict[int, Any], list[tuple[int, Any]]]:
    messages: list[tuple[int, Any]] = []
    with Pool(work, 10, workers, lambda index, message: messages.append((index, message))) as pool:
        return dict(pool.run(jobs)), messages


def test_two_processes_give_the_results_of_one() -> None:
    jobs = ["a", "bb", "ccc", "tensor", "dddd"]
    one, first = outcomes(jobs, 1)
    two, second = outcomes(jobs, 2)
    assert torch.equal(one.pop(3), two.pop(3))
    assert one == two == {0: 10, 1: 20, 2: 30, 4: 40}
    assert first == [(i, (job, 10)) for i, job in enumerate(jobs)]
    assert sorted(second) == first


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_is_a_failure_with_its_reason(workers: int) -> None:
    found, _ = outcomes(["a", "raise", "bb"], workers)
    assert (found[0], found[2]) == (10, 20)
    assert found[1].reason == "KeyError: 'no such thing'"
    assert "Traceback" in found[1].details
    assert "in work" in found[1].details


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_exits_is_a_failure(workers: int) -> None:
    found, _ = outcomes(["a", "exit", "bb"], workers)
    assert (found[0], found[2]) == (10, 20)
    assert found[1].reason == "SystemExit: enough"


def test_a_killed_process_is_replaced() -> None:
    with Pool(work, 10, 2) as pool:
        assert isinstance(dict(pool.run(["die"]))[0], Failure)
        assert dict(pool.run(["a", "bb"])) == {0: 10, 1: 20}
        assert sorted(worker.local for worker in pool._idle) == [0, 1]


BROKEN = """
from smash_lightning.engine import Pool
if __name__ == "__main__":
    with Pool(print, lambda: "cannot be pickled", 2) as pool:
        list(pool.run([1, 2]))
"""


def test_a_context_that_cannot_be_sent_ends_the_program(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    call = [sys.executable, str(tmp_path / "broken.py")]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert ended.returncode == 1
    assert "pickle" in ended.stderr


def test_a_starting_process_ignores_signals() -> None:
    """A scheduler sends signals to all processes of a job, also to those that do not ignore them yet."""
    stop_workers()
    with Pool(work, 10, 2) as pool:
        thread = threading.Thread(target=signal_children)
        thread.start()
        assert dict(pool.run(["a", "bb"])) == {0: 10, 1: 20}
        thread.join()


def signal_children() -> None:
    for _ in range(20):
        for process in multiprocessing.active_children():
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                os.kill(process.pid or 0, number)
        time.sleep(0.1)


def test_a_killed_process_affects_no_other_job() -> None:
    found, messages = outcomes(["a", "die", "bb", "die", "ccc"], 2)
    assert {i: found[i] for i in (0, 2, 4)} == {0: 10, 2: 20, 4: 30}
    for index in (1, 3):
        assert isinstance(found[index], Failure)
        assert found[index].reason == "its process died with exit code -9, perhaps for lack of memory"
    assert sorted(index for index, _ in messages) == [0, 2, 4]


def test_processes_are_reused_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with Pool(work, 10, 2) as pool:
            assert [dict(pool.run(["threads", "threads"])) for _ in range(2)] == [{0: 2, 1: 2}] * 2
            first = {worker.process.pid for worker in pool._idle}
        with Pool(work, 20, 2) as pool:
            assert dict(pool.run(["a", "bb"])) == {0: 20, 1: 40}
            assert {worker.process.pid for worker in pool._idle} == first, "also by the next pool"
        monkeypatch.setenv("SOMETHING", "else")
        with Pool(work, 30, 2) as pool:
            assert dict(pool.run(["a", "bb"])) == {0: 30, 1: 60}
            others = {worker.process.pid for worker in pool._idle}
            assert not others & first, "those have another environment"
        alive = {process.pid for process in multiprocessing.active_children()}
        assert alive == others
    finally:
        torch.set_num_threads(before)
    stop_workers()
    assert multiprocessing.active_children() == []


def test_after_a_failure_no_process_is_kept() -> None:
    stop_workers()
    with pytest.raises(RuntimeError, match="no such thing"), Pool(work, 10, 2) as pool:
        list(pool.results(["a", "raise"], str))
    assert multiprocessing.active_children() == []


def test_without_jobs_there_are_no_results() -> None:
    assert outcomes([], 2) == ({}, [])
