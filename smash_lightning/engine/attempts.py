"""Which jobs may be repeated: how often each was attempted, and how far it had come."""

from collections import Counter
from typing import Any

from smash_lightning.engine.work import Death

LOST = "its process died {} times, perhaps for lack of memory: {}"
NO_START = "{} processes in a row died before they had a job, perhaps for lack of memory: {}"


class Attempts:
    """The attempts at the jobs of one call, known by their positions.

    Args:
        retries: how often a job may be repeated.
        workers: number of processes; more than `workers * (retries + 1)` deaths in a row before a job are an error.
    """

    def __init__(self, retries: int, workers: int) -> None:
        self._retries, self._failed_starts_allowed = retries, workers * (retries + 1)
        self._failed_starts = 0  # in a row
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

    def lost(self, index: int, died: Death) -> str:
        """Why a job is not repeated any more."""
        return LOST.format(self._failed[index], died.reason)

    def started(self) -> None:
        """Records that a process has done a job."""
        self._failed_starts = 0

    def had_begun(self, died: Death) -> bool:
        """Whether a process that died had begun a job; raises RuntimeError where too many in a row had not."""
        self._failed_starts = 0 if died.begun else self._failed_starts + 1
        if self._failed_starts > self._failed_starts_allowed:
            raise RuntimeError(NO_START.format(self._failed_starts, died.reason))
        return died.begun

    def is_new(self, index: int, message: Any) -> bool:
        """Whether a message is not of a step that an earlier attempt had reached; those have been passed on."""
        step = getattr(message, "step", None)
        if step is None:
            return True
        if step <= self._earlier_step.get(index, -1):
            return False
        self._step[index] = max(step, self._step.get(index, -1))
        return True
