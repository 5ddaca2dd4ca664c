"""What a team of the tests does."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
import torch.distributed as dist

from smash_lightning.engine import place, rank


def who(context: str, job: Any, send: Any) -> Any:
    """Its place on its machine; or, together, the sum of all places from 1."""
    own = rank()
    if own is None:
        time.sleep(0.3)
        return place._Here.local
    dist.init_process_group("gloo", rank=own.local, world_size=int(os.environ["WORLD_SIZE"]))
    total = torch.tensor([own.local + 1])
    dist.all_reduce(total)
    return int(total)
