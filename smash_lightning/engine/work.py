"""What happens in the processes of an engine: jobs alone, or as one of several ranks."""

import pickle
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only  # Lightning's own, without importing Lightning

from smash_lightning.engine.stop_requests import Stopped, stop_requested
from smash_lightning.files import storage_error

Send = Callable[[Any], None]
Function = Callable[[Any, Any, Send], Any]  # context, job, send
OnMessage = Callable[[int, Any], None]  # position of a job, message

CHUNK_SECONDS = 0.1  # short jobs travel together, as many as take about this long
NO_MEMORY = re.compile(r"MemoryError|out ?of ?memory|allocate memory|STATUS_ALLOC_FAILED", re.IGNORECASE)
BROKEN = re.compile(r"AcceleratorError|(CUDA|HIP|NCCL) error|DataLoader worker|Connection (closed|reset) by peer")


def call(function: Callable[[Any], Any], job: Any, send: Send) -> Any:
    """Calls a function, the context of a pool, that sends no messages."""
    del send
    return function(job)


def prepare_process(threads: int) -> None:
    """Sets the threads of a process that works for another one, and its rank to 0, for which alone Lightning prints."""
    import torch

    torch.set_num_threads(threads)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # Lightning sets this attribute of a function


class Cause(Enum):
    """Why a job failed. One that lacked memory, or failed with its machine, may succeed when it is repeated."""

    COMPUTATION = "computation"  # its own, which would fail again
    MEMORY = "memory"
    MACHINE = "machine"
    OTHER = "other"

    @property
    def may_pass(self) -> bool:
        """Whether the job may succeed when it is repeated."""
        return self in (Cause.MEMORY, Cause.MACHINE)


class ComputationError(RuntimeError):
    """An error of a job's own computation, such as that of a network."""


class MachineError(RuntimeError):
    """A job failed again and again for lack of memory, or with its machine."""


@contextmanager
def computation() -> Iterator[None]:
    """Errors within it are those of a job's own computation, but for those of files, memory and machine."""
    try:
        yield
    except FloatingPointError:
        raise
    except Exception as error:
        if storage_error(error) or cause_of(error).may_pass:
            raise
        raise ComputationError(f"{type(error).__name__}: {error}") from error


def cause_of(error: BaseException) -> Cause:
    """The cause of a job's failure by its error."""
    if isinstance(error, FloatingPointError | ComputationError):
        return Cause.COMPUTATION
    text = f"{type(error).__name__}: {error}"
    if not isinstance(error, RuntimeError | MemoryError | ConnectionError):
        return Cause.OTHER
    return Cause.MEMORY if NO_MEMORY.search(text) else Cause.MACHINE if BROKEN.search(text) else Cause.OTHER


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised an error, or whose process died again and again; `error` is that of a file."""

    reason: str
    details: str
    cause: Cause = Cause.OTHER
    error: OSError | None = None

    def exception(self, what: str) -> Exception:
        """What is raised where `what` may not fail."""
        if self.cause.may_pass:
            return MachineError(f"{what}: {' '.join(self.reason.split())}".rstrip(": "))
        return self.error or RuntimeError(f"{what}: {self.reason}\n{self.details}".rstrip())


def failure(error: BaseException) -> Failure:
    """Reason, traceback and cause of the current error; one of a training that diverged explains itself."""
    if storage := storage_error(error):
        plain = OSError(storage.errno, storage.strerror or str(storage), storage.filename)  # which can be sent
        return Failure(str(storage), traceback.format_exc(), error=plain)
    if isinstance(error, FloatingPointError):
        return Failure(str(error), "", Cause.COMPUTATION)
    name = "" if isinstance(error, ComputationError) else f"{type(error).__name__}: "
    return Failure(f"{name}{error}", traceback.format_exc(), cause_of(error))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a worker returns: pickled results or failures of jobs by position, and the mean seconds of one."""

    packed: dict[int, bytes]
    seconds: float


def failed(chunk: Iterable[tuple[int, Any]], error: BaseException) -> Outcomes:
    """All jobs failed with the current error."""
    return Outcomes({index: pickle.dumps(failure(error)) for index, _ in chunk}, 1.0)


def do_as_rank(
    number: int,
    call: tuple[Function, Any],
    jobs: Iterable[tuple[int, Any]],
    send: Callable[[int, str, Any], Any],
    after: Callable[[], None] = lambda: None,
) -> bool:
    """Does jobs as one of several ranks; returns whether none failed.

    Args:
        number: of this rank. Only rank 0 sends messages and results, each rank failures.
        call: see `Engine.pool`.
        jobs: with their positions.
        send: sends what `Pool._ranks` yields.
        after: called after each job.
    """
    function, context = call
    for index, job in jobs:
        try:
            result = function(context, job, partial(send, index, "message") if number == 0 else lambda message: None)
            after()
        except Stopped:
            return True
        except BaseException as error:
            found = failure(error)
            send(index, "failure", replace(found, reason=f"process {number}: {found.reason}"))
            return False
        if number == 0:
            send(index, "result", result)
    return True


def outcomes(function: Function, context: Any, chunk: Sequence[tuple[int, Any]], send: OnMessage) -> Outcomes:
    """Runs jobs in a worker process, the first one and others for a while; those that are left out have no outcome.

    Results travel as bytes: tensors by reference would be lost with the process that sent them.
    """
    packed: dict[int, bytes] = {}
    started = time.perf_counter()
    for index, job in chunk:
        if packed and (stop_requested() or time.perf_counter() - started > CHUNK_SECONDS):
            break
        try:
            packed[index] = pickle.dumps(function(context, job, partial(send, index)))
        except Stopped:
            break
        except BaseException as error:  # SystemExit too would end the worker
            packed[index] = pickle.dumps(failure(error))
    sys.stdout.flush()  # the process may be killed at any time after this
    sys.stderr.flush()
    return Outcomes(packed, (time.perf_counter() - started) / max(1, len(packed)))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Computes with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


RANK_OPTIONS: dict[str, Any] = {}  # of a Lightning Trainer, in a process that does its job together with others
