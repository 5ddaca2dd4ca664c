"""Between a training and the process that started it: metrics and progress as messages, and requests to stop."""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import rank_zero_only

from smash_lightning.engine import Send, Stopped, install_signal_handlers, stop_requested

SYNC_STEPS = 10  # steps between exchanges of requests in a distributed training, each of which makes processes wait


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


class QueueLogger(DummyLogger):
    """A Lightning logger that sends metrics as messages, and nothing else: the run folder has the configuration."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Sends metrics with their step."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self._send(Metrics(values, step or 0))


class QueueProgress(L.Callback):
    """Sends the progress of a training, about a hundred times."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Sends the finished steps."""
        total = int(trainer.estimated_stepping_batches)
        if trainer.global_step % max(1, total // 100) == 0 or trainer.global_step == total:
            self._send(Progress(trainer.global_step, total))


class GracefulStop(L.Callback):
    """Writes a checkpoint and ends the fit by `Stopped`, at the first step after a request to stop.

    Args:
        path: of the checkpoint.
        requested: whether the run was requested to stop.
    """

    def __init__(self, path: Path, requested: Callable[[], bool] = stop_requested) -> None:
        self.path, self.requested = path, requested

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Installs the signal handlers again, as Lightning replaces them."""
        install_signal_handlers()

    on_test_start = on_train_start

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves after a request; all processes of a distributed training do so at the same step.

        Raises:
            Stopped: after a request.
        """
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # accumulated gradients are not part of a checkpoint
        requested = self.requested()
        if trainer.world_size > 1:
            if trainer.global_step % SYNC_STEPS:
                return
            requested = trainer.strategy.reduce_boolean_decision(requested, all=False)
        if requested:
            trainer.save_checkpoint(self.path)
            raise Stopped


def silence_lightning() -> None:
    """Removes Lightning's notices on devices and loaders, which it prints at every fit, from this process's output."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
