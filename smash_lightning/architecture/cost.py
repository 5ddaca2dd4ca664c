"""The cost of an architecture's standalone network: parameters and multiply-accumulates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from smash_lightning.architecture.definition import Architecture
from smash_lightning.architecture.layers import ImageSpec, layers


@dataclass(frozen=True, slots=True)
class Cost:
    """Trainable parameters, multiply-accumulates of one image's forward pass, and number of ops."""

    params: int
    macs: int
    ops: int


@lru_cache(maxsize=4096)  # a ranking needs the same costs repeatedly
def cost(architecture: Architecture, image_spec: ImageSpec) -> Cost:
    """Cost of the standalone network of `architecture`, from the table that the network itself executes."""
    table = layers(architecture, image_spec, op_norm=True)
    params = sum(math.prod(shape) for shape in table.parameters().values())
    return Cost(params, sum(layer.macs for layer in table), sum(1 for _ in architecture.ops()))
