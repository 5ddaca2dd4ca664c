"""Saves a training after a request to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L

from smash_lightning.engine import Stopped, install_signal_handlers, stop_requested

SYNC_STEPS = 10  # steps between exchanges of requests in a distributed training, each of which makes processes wait


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

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Installs the signal handlers again, as Lightning replaces them."""
        install_signal_handlers()

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
