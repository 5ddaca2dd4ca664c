"""What both trainings have in common: steps that are logged, and the learning rate."""

import math
from typing import Any

import lightning as L
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class DivergedError(FloatingPointError):
    """The loss of a training is not finite."""


class TrainingModule(L.LightningModule):
    """A training with a learning rate that falls to zero along half a cosine, and may rise to it before."""

    def is_logged(self, step: int) -> bool:
        """Whether metrics of this step are logged."""
        return (step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def may_use_graphs(self) -> bool:
        """Whether the backward pass of a step ends before the gradients of another are computed, on one GPU."""
        trainer = self.trainer
        return self.device.type == "cuda" and trainer.world_size == trainer.accumulate_grad_batches == 1

    def with_cosine(self, optimizer: Optimizer, warm_up: float = 0.0) -> dict[str, Any]:
        """Lightning's description of an optimizer and of the cosine, which is stepped after each batch.

        Over the first share `warm_up` of the steps, the learning rate rises linearly from zero.
        """

        def factor(step: int) -> float:
            # The number of steps is not needed before the first one. Lightning would load the data to compute it,
            # before it has restored the position in the data of a training that resumes within an epoch.
            if not step:
                return 0.0 if warm_up else 1.0
            total = self.trainer.estimated_stepping_batches
            rise = warm_up * total
            if step < rise:
                return step / rise
            return 0.5 * (1 + math.cos(math.pi * (min(step, total) - rise) / (total - rise)))

        scheduler = {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
