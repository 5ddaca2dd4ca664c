"""Learning rate schedules."""

from __future__ import annotations

import math

import lightning as L
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine(optimizer: Optimizer, trainer: L.Trainer) -> dict[str, object]:
    """Lightning's description of a learning rate that falls to zero along half a cosine, stepped after each batch."""

    def factor(step: int) -> float:
        # The number of steps is not needed before the first one. Lightning would load the data to compute it, before
        # it has restored the position in the data of a training that resumes within an epoch.
        total = trainer.estimated_stepping_batches if step else 1
        return 0.5 * (1 + math.cos(math.pi * min(step, total) / total))

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
