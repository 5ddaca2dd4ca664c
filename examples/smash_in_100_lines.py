"""SMASH in 100 lines: the method of Brock, Lim, Ritchie and Weston (ICLR 2018) in plain torch.

1. Train a HyperNet H: each step draws a random architecture, encodes it as c, and minimizes its loss with W = H(c).
2. Rank: draw many architectures, and take the validation loss of each with generated weights.
The third step is to train the best ones with standalone weights. Run it: python examples/smash_in_100_lines.py
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, cost
from smash_lightning.data import DataModule, Digits
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.network import RecordedAverages, UseBatchStatistics, forward
from smash_lightning.python_api import smashv1_tiny
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.search_space import SearchSpace


def unit(tensor: Tensor) -> Tensor:
    return tensor / tensor.norm()


class HyperNet(nn.Module):
    """W = H(c): a DenseNet over c makes the 1x1 convolutions of all ops; architectures share the other tensors."""

    def __init__(self, space: SearchSpace, seed: int, layers: int = 6, growth: int = 10, depth: int = 2) -> None:
        super().__init__()
        self.space, self.encoding, random = space, Encoding(space.limits, depth), generator(Stream.HYPERNET, seed)
        channels = self.encoding.layout.channels + 1  # those of c, and one of noise z
        shapes = [(growth, channels + i * growth, 3, 3) for i in range(layers)]
        self.inputs, outputs = depth * space.limits.base, space.limits.bottleneck * space.limits.base
        shapes.append((self.inputs * outputs, channels + layers * growth, 1, 1))  # a cell of the grid: inputs x outputs
        self.filters = nn.ParameterList(nn.init.orthogonal_(torch.empty(s), generator=random) for s in shapes)
        self.shared = make_shared_tensors(space.limits, space.image_spec, random)

    def forward(self, architecture: Architecture, random: torch.Generator) -> dict[str, Tensor]:
        c = self.encoding.encode(architecture)  # (1, channels, rows, slices)
        x = features = torch.cat([torch.randn(1, 1, *c.shape[2:], generator=random), c], 1)
        for layer in self.filters[:-1]:
            features = torch.cat([features, F.conv2d(x, unit(layer), padding=1)], 1)
            x = F.leaky_relu(features, 0.02)
        grid = F.conv2d(x, unit(self.filters[-1]))[0].unflatten(0, (self.inputs, -1))  # (inputs, outputs, rows, slices)
        matrix = grid.permute(2, 1, 3, 0).flatten(2).flatten(0, 1)  # (rows x outputs, slices x inputs)
        places, pointwise = iter(self.encoding.spans(architecture)), []
        for op, width in ((op, block.width) for block in architecture.blocks for op in block.ops):
            first = next(places).first * self.inputs
            pointwise.append(unit(matrix[: op.bottleneck, first : first + len(op.read) * width]))
        shared = sliced(self.shared, architecture, self.space.image_spec)
        return shared | named_pointwise(architecture, tuple(pointwise))


def train(space: SearchSpace, data: DataModule, seed: int, epochs: int) -> HyperNet:
    hypernet = HyperNet(space, seed)
    decayed = {"params": hypernet.shared.parameters(), "weight_decay": 1e-4}
    optimizer = torch.optim.Adam([{"params": hypernet.filters.parameters()}, decayed], lr=2e-3, betas=(0.5, 0.999))
    loader = data.ordered(Stream.SEARCH, seed).train_dataloader()
    steps = epochs * len(loader)
    cosine = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for step, (images, labels) in enumerate(loader, start=epoch * len(loader)):
            architecture = space.sample(rng(Stream.ARCHITECTURE, seed, step, 0, 0, 0), step / steps)
            weights = hypernet(architecture, generator(Stream.NOISE, seed, step, 0, 0))
            logits = forward(architecture, space.image_spec, weights, images, UseBatchStatistics())
            optimizer.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            cosine.step()
    return hypernet


@torch.no_grad()
def score(hypernet: HyperNet, architecture: Architecture, data: DataModule, seed: int) -> float:
    """The validation loss with generated weights, after BatchNorm took its statistics from training images."""
    weights, statistics = hypernet(architecture, generator(Stream.SCORE_NOISE, seed)), RecordedAverages()
    run = partial(forward, architecture, hypernet.space.image_spec, weights, statistics=statistics)
    run(data.recalibration_images())
    statistics.recording = False
    return F.cross_entropy(run(data.normalised(data.validation).images), data.validation.labels).item()


def main(seed: int = 0, epochs: int = 40, candidates: int = 50) -> None:
    sizes = {"batch_size": 64, "eval_batch_size": 500, "recalibration": 512, "validation": 500, "train": None}
    data = DataModule(name="digits", source=Digits(), stem_stride=1, split_seed=0, **sizes)
    space = smashv1_tiny(data.image_spec)
    hypernet = train(space, data, seed, epochs)
    pool = [space.sample(rng(Stream.CANDIDATE, seed, index)) for index in range(candidates)]
    ranking = sorted((score(hypernet, architecture, data, seed), i) for i, architecture in enumerate(pool))
    for loss, i in ranking[:5]:
        print(f"{pool[i].fingerprint}  {loss:.4f} nats  {cost(pool[i], space.image_spec).params:,} parameters")


if __name__ == "__main__":
    main()
