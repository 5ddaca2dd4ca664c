from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from smash_lightning.engine.free_gpu import first_free

GPUS = ["0", "1"]


def take(folder: Path, connection: Connection) -> None:
    """Locks a GPU twice, as two jobs of one process do, and keeps it until a message."""
    connection.send([first_free(GPUS, folder, pause=0.01) for _ in range(2)])
    connection.recv()


class Process:
    """A process that locks a GPU."""

    def __init__(self, folder: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, other_end = spawn.Pipe()
        self.process = spawn.Process(target=take, args=(folder, other_end), daemon=True)
        self.process.start()

    def gpu(self) -> str:
        assert self.connection.poll(60)
        first, again = self.connection.recv()
        assert first == again
        return first

    def end(self, number: int) -> None:
        os.kill(self.process.pid, number)
        self.process.join()


def test_processes_have_different_gpus_and_wait_for_one(tmp_path: Path) -> None:
    first, second = Process(tmp_path), Process(tmp_path)
    assert {first.gpu(), second.gpu()} == {*GPUS}
    third = Process(tmp_path)
    assert not third.connection.poll(5), "none was free"
    first.end(signal.SIGKILL)
    assert third.gpu() in GPUS
    fourth = Process(tmp_path)
    second.end(signal.SIGTERM)
    assert fourth.gpu() in GPUS
    for process in (third, fourth):
        process.end(signal.SIGTERM)


def test_without_a_gpu_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gpu=free.*no GPU"):
        first_free([], tmp_path)
