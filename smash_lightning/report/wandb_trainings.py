"""Ordinary trainings as runs of their own on W&B, handed over beside the work, as a server answers slowly."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Literal, get_args

import wandb

from smash_lightning.report.board import Training, Value

Shown = Literal["all", "top", "none"]
SIDE_BY_SIDE = 4
PATIENCE = 120.0  # seconds at the end for those that are still on their way; our own files have them anyway
JOB_TYPE = "retraining"


class WandbTrainings:
    """Opens a run for each training, gives it all that is known, and ends it.

    Args:
        shown: which trainings.
        parent: id of the run that they belong to; that of a training is this and its name, so that one which is
            repeated takes its place.
        options: what `wandb.init` is given: project, entity, group, tags, folder, mode.

    Raises:
        ValueError: an unknown choice.
    """

    def __init__(self, shown: Shown, parent: str, options: Mapping[str, Any]) -> None:
        if shown not in get_args(Shown):
            raise ValueError(f"logger.wandb.trainings must be one of {', '.join(get_args(Shown))}, got {shown!r}")
        self.shown, self.parent, self.options = shown, parent, options
        self._threads: ThreadPoolExecutor | None = None
        self._handed: list[Future[None]] = []

    def add(self, training: Training) -> None:
        """Hands one over, and returns at once."""
        if self.shown == "none" or (self.shown == "top" and not training.top):
            return
        self._threads = self._threads or ThreadPoolExecutor(SIDE_BY_SIDE, "wandb")
        self._handed.append(self._threads.submit(self._show, training))

    def finish(self) -> None:
        """Waits for those that are on their way, for a while; says what was lost."""
        if self._threads is None:
            return
        done, late = wait(self._handed, PATIENCE)
        self._threads.shutdown(wait=False, cancel_futures=True)
        reasons = [str(error) for handed in done if (error := handed.exception()) is not None]
        reasons += ["W&B did not answer in time"] * len(late)
        if reasons:
            told = f"W&B: {len(reasons)} of {len(self._handed)} trainings have no run there: {reasons[0]}"
            print(f"{told}. The run's own files hold them all", file=sys.stderr)
        self._threads, self._handed = None, []

    def _show(self, training: Training) -> None:
        run = wandb.init(
            **self.options,
            id=f"{self.parent}-{training.name}",
            name=training.name,
            job_type=JOB_TYPE,
            config={**training.config, "search": self.parent},
            resume="allow",
            reinit="create_new",  # beside the run that is open
            # The machine is watched by the run that they belong to.
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True),
        )
        try:
            for values, step in training.history:
                run.log({**{name: finite(value) for name, value in values.items()}, "step": step})
            run.summary.update({name: finite(value) for name, value in training.summary.items()})
        finally:
            run.finish(exit_code=int(training.failed))


def finite(value: Value) -> Value:
    """The value, or None for what JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
