"""Which jobs may be repeated: how often each was attempted, and how far it had come."""

from collections import Counter
from typing import Any

from smash_lightning.engine.stop_requests import stop_requested

LOST = "its process died {} times, perhaps for lack of memory: {}"


class Attempts:
    """The attempts at the jobs of one call, known by their positions.

    Args:
        retries: how often a job may be repeated.
        workers: number of processes.
    """

    def __init__(self, retries: int, workers: int) -> None:
        self._retries, self._failed_starts_allowed = retries, workers * (retries + 1)
        self._failed_starts = 0  # of processes, in a row
        self._failed = Counter[int]()
        self._step: dict[int, int] = {}  # of the last message of each job
        self._earlier_step: dict[int, int] = {}  # the same of the attempts before

    def repeat(self, index: int, alone: bool = True) -> bool:
        """Records that an attempt failed, and returns whether the job is to be repeated.

        An attempt whose process had further jobs (not `alone`) does not count, as each of them may be the cause.
        """
        self._earlier_step[index] = self._step.get(index, -1)
        self._failed[index] += alone
        return self._failed[index] <= self._retries

    def have_failed(self, *indexes: int) -> bool:
        """Whether an attempt at one of these jobs failed."""
        return not self._failed.keys().isdisjoint(indexes)

    def lost(self, index: int, reason: str) -> str:
        """Why a job is not repeated any more, from how its process died last."""
        return LOST.format(self._failed[index], reason)

    def record_start(self, succeeded: bool, reason: str = "") -> None:
        """Counts processes that died at their start; raises RuntimeError where no further ones are worth starting."""
        self._failed_starts = 0 if succeeded else self._failed_starts + 1
        if not stop_requested() and self._failed_starts > self._failed_starts_allowed:
            raise RuntimeError(f"{self._failed_starts} processes in a row died at their start: {reason}")

    def is_new(self, index: int, message: Any) -> bool:
        """Whether a message is not of a step that an earlier attempt had reached; those have been passed on."""
        step = getattr(message, "step", None)
        if step is None:
            return True
        if step <= self._earlier_step.get(index, -1):
            return False
        self._step[index] = max(step, self._step.get(index, -1))
        return True
