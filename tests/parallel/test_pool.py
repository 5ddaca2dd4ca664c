from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from smash_lightning.parallel import Failure, Pool
from smash_lightning.parallel.pool import dismiss


def work(context: int, job: str, send: Callable[[Any], None]) -> Any:
    """What a job's name says."""
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
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


def test_two_processes_give_what_one_gives() -> None:
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


def test_a_process_that_is_killed_takes_nothing_with_it() -> None:
    found, messages = outcomes(["a", "die", "bb", "die", "ccc"], 2)
    assert {i: found[i] for i in (0, 2, 4)} == {0: 10, 2: 20, 4: 30}
    for index in (1, 3):
        assert isinstance(found[index], Failure)
        assert found[index].reason == "its process died with exit code -9, perhaps for lack of memory"
    assert sorted(index for index, _ in messages) == [0, 2, 4]


def test_processes_are_used_again_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with Pool(work, 10, 2) as pool:
            assert [dict(pool.run(["threads", "threads"])) for _ in range(2)] == [{0: 2, 1: 2}] * 2
            first = {worker.process.pid for worker in pool._idle}
        with Pool(work, 20, 2) as pool:
            assert dict(pool.run(["a", "bb"])) == {0: 20, 1: 40}
            assert {worker.process.pid for worker in pool._idle} == first, "by the next pool, too"
        monkeypatch.setenv("SOMETHING", "else")
        with Pool(work, 30, 2) as pool:
            assert dict(pool.run(["a", "bb"])) == {0: 30, 1: 60}
            others = {worker.process.pid for worker in pool._idle}
            assert not others & first, "those would know another environment"
        alive = {process.pid for process in multiprocessing.active_children()}
        assert alive == others
    finally:
        torch.set_num_threads(before)
    dismiss()
    assert multiprocessing.active_children() == []


def test_after_a_failure_no_process_is_kept() -> None:
    dismiss()
    with pytest.raises(RuntimeError, match="no such thing"), Pool(work, 10, 2) as pool:
        list(pool.results(["a", "raise"], str))
    assert multiprocessing.active_children() == []


def test_nothing_to_do() -> None:
    assert outcomes([], 2) == ({}, [])
