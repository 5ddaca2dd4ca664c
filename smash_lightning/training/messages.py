"""Messages of a training to the process that started it: metrics and progress."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only


@dataclass(frozen=True, slots=True)
class Metrics:
    """Values logged at a step."""

    values: dict[str, float]
    step: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Finished steps, and their total."""

    done: int
    total: int


Send = Callable[[Metrics | Progress], None]


class QueueLogger(Logger):
    """A Lightning logger that sends metrics as messages."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    @property
    def name(self) -> str:
        """Required by Lightning."""
        return "queue"

    @property
    def version(self) -> str:
        """Required by Lightning."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Sends metrics with their step."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self._send(Metrics(values, step or 0))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder has the whole configuration."""


class QueueProgress(L.Callback):
    """Sends the progress of a training, about a hundred times."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Sends the finished steps."""
        total = int(trainer.estimated_stepping_batches)
        if trainer.global_step % max(1, total // 100) == 0 or trainer.global_step == total:
            self._send(Progress(trainer.global_step, total))
