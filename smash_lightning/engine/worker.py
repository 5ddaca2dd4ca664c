"""A process that takes work: what runs on the other end of a connection to the process that gives it out.

Jobs run in a thread of their own. The main thread listens, so that a request to stop is heard in the middle of a job,
and so that the process ends at once when the one that gives out work does, however that one ended.
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

import torch

from smash_lightning.engine.ranks import Rank, distributed_environment, set_local_rank
from smash_lightning.engine.stop_requests import SIGNALS, Stopped, request_stop

IGNORED = (signal.SIGINT, *SIGNALS)


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised, or whose process died."""

    reason: str
    details: str


def failure(error: BaseException) -> Failure:
    """What is told of an error."""
    return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def send(connection: Connection, *message: Any) -> None:
    """Sends by value: what other pickles of tensors refer to does not exist on another machine."""
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> tuple[Any, ...]:
    """What `send` sent.

    Raises:
        EOFError, ConnectionResetError: the other end is gone.
    """
    return pickle.loads(connection.recv_bytes())


def spawned(connection: Connection, threads: int, local: int) -> None:
    """The life of a process that was made for this."""
    torch.set_num_threads(threads)
    set_local_rank(local)
    os._exit(work(connection))


def work(connection: Connection) -> int:
    """Takes work until the other end says that there is no more; returns its exit code, or 1 if it is gone.

    What is heard:
        ("context", function, context, share): what the next jobs are for, and how many processes share the cores.
        ("job", job, rank): to be done as that rank of several, or alone where it is None.
        ("stop",): whatever is being done should be saved and given up.
        ("end", code): there is no more.
    """
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)  # the process that gives out work decides what they mean
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
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
        except Exception:  # of a class that does not exist here, or a file that is gone
            traceback.print_exc()
            return 1
        if kind == "end":
            return int(content[0])
        if kind == "stop":
            request_stop()
        else:
            jobs.put((kind, *content))


def _run(connection: Connection, jobs: queue.SimpleQueue[tuple[Any, ...]], threads: int) -> None:
    function: Callable[..., Any] = _nothing
    context: Any = None
    while True:
        kind, *content = jobs.get()
        if kind == "context":
            function, context, share = content
            torch.set_num_threads(max(1, threads // share))  # each thread that computes has a number of its own
            continue
        outcome = _outcome(connection, function, context, *content)
        try:
            send(connection, "done", outcome)
        except OSError:
            return  # the other thread ends the process
        except Exception as error:  # a result that cannot be sent
            send(connection, "done", failure(error))


def _outcome(connection: Connection, function: Callable[..., Any], context: Any, job: Any, rank: Rank | None) -> Any:
    try:
        with nullcontext() if rank is None else distributed_environment(rank):
            return function(context, job, lambda message: send(connection, "message", message))
    except Stopped:
        return Stopped
    except BaseException as error:  # sys.exit too would end this thread, and nobody would hear of it
        return failure(error)
    finally:
        sys.stdout.flush()  # the process may be killed at any time after this
        sys.stderr.flush()


def _nothing(*arguments: Any) -> None:
    raise RuntimeError("there was no context before the job")
