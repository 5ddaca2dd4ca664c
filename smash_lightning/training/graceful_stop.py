"""A training that is asked to stop saves where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L

from smash_lightning.engine import Stopped, install_signal_handlers, stop_requested

TOGETHER = 10  # steps between agreements of processes that train together, each of which makes them wait


class GracefulStop(L.Callback):
    """Writes a checkpoint and ends the fit by `Stopped`, at the first step after the run was asked to stop.

    Args:
        path: of the checkpoint.
        asked: whether the run was.
    """

    def __init__(self, path: Path, asked: Callable[[], bool] = stop_requested) -> None:
        self.path, self.asked = path, asked

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hears the signals, whatever Lightning has set up for them."""
        install_signal_handlers()

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Likewise."""
        install_signal_handlers()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves where it is asked for; several processes do so at the same step.

        Raises:
            Stopped: it was.
        """
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # gradients that are accumulated are in no checkpoint
        asked = self.asked()
        if trainer.world_size > 1:
            if trainer.global_step % TOGETHER:
                return
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            trainer.save_checkpoint(self.path)
            raise Stopped
