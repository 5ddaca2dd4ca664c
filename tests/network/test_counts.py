"""How many tensor operations a step takes, at the paper's sizes: which a GPU would have to launch.

They are counted, not timed, so they are the same on every machine. A rise means that something is done once per slice,
layer or op that was done once for all.
"""

import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.analyses.benchmark import OperationCounter
from smash_lightning.hypernet import ConditionalHyperNet, densenet
from smash_lightning.network import UseBatchStatistics, forward, nd
from smash_lightning.random_streams import generator, rng
from smash_lightning.search_space import MemoryBankSpace
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
    source = generated(space, depth)
    architecture = space.sample(rng("count"), progress)
    with OperationCounter() as encode:
        source.encoding.encode(architecture)
    z = source.noise(architecture, generator("z"))
    with OperationCounter() as everything:
        with OperationCounter() as generate:
            weights = source(architecture, z)
        images, labels = torch.randn(2, 3, 32, 32, generator=generator("x")), torch.tensor([3, 7])
        with OperationCounter() as ahead:
            loss = cross_entropy(space, architecture, weights, images, labels)
        with OperationCounter() as back:
            loss.backward()
    assert everything.total >= generate.total + ahead.total + back.total
    hyper = hypernet_operations(source, architecture, z)
    main = generate.total + ahead.total + back.total - encode.total - hyper
    ops = sum(1 for _ in architecture.ops())
    assert encode.total <= 10, encode.counts
    assert hyper <= 220
    assert main <= per_op * ops + besides, f"{main} operations for {ops} ops"


def generated(space: MemoryBankSpace, depth: int) -> ConditionalHyperNet:
    """The paper's HyperNet: dense blocks of 8, 10 and 4 layers, growth 10."""
    options = {"width": None, "depths": (8, 10, 4), "growth": 10, "depth_compression": depth}
    return ConditionalHyperNet(space.limits, space.image_spec, generator("count"), **options)  # type: ignore[arg-type]


def cross_entropy(space, architecture, weights: Mapping[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
    logits = forward(architecture, space.image_spec, weights, images, UseBatchStatistics())
    return F.cross_entropy(logits, labels)


def hypernet_operations(source: ConditionalHyperNet, architecture, z: Tensor | None) -> int:
    """Forward and backward, from c to the grid."""
    c = source.encoding.encode(architecture)
    with OperationCounter() as ahead:
        grid = source.hypernet(c if z is None else torch.cat([z, c], 1))
    direction = torch.ones_like(grid)
    with OperationCounter() as back:
        torch.autograd.grad(grid, list(source.hypernet.parameters()), direction)
    return ahead.total + back.total
