"""A worker process: the other end of a connection to the process that assigns the jobs.

Jobs run in a second thread. The main thread receives messages, so that a request to stop takes effect in the middle of
a job, and so that the worker ends as soon as the assigning process does, for whatever reason. In this room torch is
imported within functions, as the import of `launcher_environment` must not take seconds.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from smash_lightning.engine.ranks import Rank, distributed_environment, set_local_rank
from smash_lightning.engine.stop_requests import SIGNALS, Stopped, request_stop

IGNORED = (signal.SIGINT, *SIGNALS)


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised an error, or whose process died."""

    reason: str
    details: str


def failure(error: BaseException) -> Failure:
    """Reason and traceback of the current error."""
    return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def send(connection: Connection, *message: Any) -> None:
    """Sends by value, as tensors by reference would not exist on another machine."""
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> tuple[Any, ...]:
    """Receives a message of `send`.

    Raises:
        EOFError, ConnectionResetError: the other end is closed.
    """
    return pickle.loads(connection.recv_bytes())


def main(connection: Connection, threads: int, local: int) -> None:
    """Entry point of a spawned worker process."""
    import torch

    torch.set_num_threads(threads)
    set_local_rank(local)
    os._exit(run_jobs(connection))


def run_jobs(connection: Connection) -> int:
    """Runs jobs until the other end sends "end"; returns its exit code, or 1 if the connection is closed.

    Messages:
        ("context", function, context, share): for the next jobs, and the number of processes that share the cores.
        ("job", job, rank): to be done as that rank of several, or alone where it is None.
        ("stop",): the current job should save its state and end.
        ("end", code): there are no more jobs.
    """
    import torch

    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)  # the assigning process handles them
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    jobs: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    threading.Thread(target=_run, args=(connection, jobs, torch.get_num_threads()), daemon=True).start()
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return 1
        try:
            kind, *content = pickle.loads(message)
        except Exception:  # of a class that does not exist here, or a missing file
            traceback.print_exc()
            return 1
        if kind == "end":
            return int(content[0])
        if kind == "stop":
            request_stop()
        else:
            jobs.put((kind, *content))


def _run(connection: Connection, jobs: queue.SimpleQueue[tuple[Any, ...]], threads: int) -> None:
    import torch

    function: Callable[..., Any] = _without_context
    context: Any = None
    while True:
        kind, *content = jobs.get()
        if kind == "context":
            function, context, share = content
            torch.set_num_threads(max(1, threads // share))  # a value of each computing thread
            continue
        outcome = _outcome(connection, function, context, *content)
        try:
            send(connection, "done", outcome)
        except OSError:
            return  # the main thread ends the process
        except Exception as error:  # a result that cannot be pickled
            send(connection, "done", failure(error))


def _outcome(connection: Connection, function: Callable[..., Any], context: Any, job: Any, rank: Rank | None) -> Any:
    try:
        with nullcontext() if rank is None else distributed_environment(rank):
            return function(context, job, lambda message: send(connection, "message", message))
    except Stopped:
        return Stopped
    except BaseException as error:  # sys.exit too would end this thread without a message
        return failure(error)
    finally:
        sys.stdout.flush()  # the process may be killed at any time after this
        sys.stderr.flush()


def _without_context(*arguments: Any) -> None:
    raise RuntimeError("there was no context before the job")
