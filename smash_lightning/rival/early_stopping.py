"""Train each candidate a little: the oldest rival, at equal cost (Zhou et al. 2020, "EcoNAS", arXiv 2001.01233)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.randomness import Stream
from smash_lightning.rival.base import Rival, Setting, worst_unless_finite
from smash_lightning.training import DivergedError, FixedModule, quiet


@dataclass(frozen=True)
class EarlyStopping(Rival):
    """Loss on the validation images after a few steps of ordinary training.

    Args:
        steps: of training; None spends as many training images as SMASH has spent on each candidate.
    """

    steps: int | None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps of early stopping must be at least 1, or null for SMASH's cost, got {self.steps}")

    def value(self, architecture: Architecture, setting: Setting) -> float:
        """Cross-entropy in nats. The learning rate falls along the whole cosine within these few steps.

        A training begins with random weights and leaves the validation images alone, whatever `retrain` says.
        """
        quiet()
        data = setting.data.ordered(Stream.RETRAIN, setting.seed)
        module = FixedModule(architecture, setting.skeleton, setting.retrain, setting.seed)
        trainer = setting.trainer(
            max_steps=self._steps(setting),
            max_epochs=-1,
            limit_val_batches=0,
            enable_checkpointing=False,
            logger=False,
            default_root_dir=setting.folder,
        )
        try:
            trainer.fit(module, datamodule=data)
        except DivergedError:
            return math.inf
        trainer.test(module, dataloaders=data.val_dataloader(), verbose=False)
        return worst_unless_finite(module.true_loss)

    def _steps(self, setting: Setting) -> int:
        if self.steps is not None:
            return self.steps
        return max(1, math.ceil(setting.images_per_candidate / setting.data.batch_size))
