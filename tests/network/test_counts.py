"""How many tensor operations a step takes, at the paper's sizes: which a GPU would have to launch.

They are counted, not timed, so they are the same on every machine. A rise means that something is done once per slice,
layer or op that was done once for all.
"""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from smash_lightning.analyses.measured_step import OperationCounter
from smash_lightning.hypernet import ConditionalHyperNet, densenet
from smash_lightning.network import UseBatchStatistics, forward, nd
from smash_lightning.random_streams import generator, rng
from tests.cases import SMASHV1, SMASHV2

# Space, depth compression, and the most operations of the main network: for each op, and in addition.
SIZES = {"v1": (SMASHV1, 3, 17, 85), "v2": (SMASHV2, 2, 31, 110)}


@pytest.mark.parametrize("progress", [0.0, 1.0], ids=["start", "annealed"])
@pytest.mark.parametrize("name", SIZES)
def test_operations_of_a_step(name: str, progress: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for pixels in ("PRODUCT_PIXELS", "DENSE_PIXELS"):
        monkeypatch.setattr(nd, pixels, 0)  # as on a GPU
    monkeypatch.setattr(densenet, "LARGE", math.inf)
    space, depth, per_op, besides = SIZES[name]
    # The paper's HyperNet: dense blocks of 8, 10 and 4 layers, growth 10.
    options: dict[str, Any] = {"depths": (8, 10, 4), "depth_compression": depth}
    source = ConditionalHyperNet(space.limits, space.image_spec, generator("count"), **options)
    architecture = space.sample(rng("count"), progress)
    with OperationCounter() as encode:
        c = source.encode(architecture)
    z = source.noise(architecture, generator("z"))
    with OperationCounter() as hyper:  # from c to the grid, and back
        grid = source.hypernet(source.hypernet.with_noise(c, z))
        torch.autograd.grad(grid, list(source.hypernet.parameters()), torch.ones_like(grid))
    with OperationCounter() as everything:
        weights = source(architecture, z)
        images, labels = torch.randn(2, 3, 32, 32, generator=generator("x")), torch.tensor([3, 7])
        logits = forward(architecture, space.image_spec, weights, images, UseBatchStatistics())
        F.cross_entropy(logits, labels).backward()
    main = everything.total - encode.total - hyper.total
    ops = sum(1 for _ in architecture.ops())
    assert encode.total <= 10
    assert hyper.total <= 220
    assert main <= per_op * ops + besides, f"{main} operations for {ops} ops"
