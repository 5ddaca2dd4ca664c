"""Learning rates over a training."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine(optimizer: Optimizer, steps: int) -> dict[str, object]:
    """Lightning's description of a learning rate that falls to zero along half a cosine, stepped after each batch."""
    schedule = LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps)))
    return {"scheduler": schedule, "interval": "step"}
