"""HyperNets that get a corrupted c; architectures and all else stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.architecture import Architecture
from smash_lightning.encoding.encoder import EMPTY
from smash_lightning.hypernet import ConditionalWeightSource, WeightSource
from smash_lightning.network import Weights
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring import Score, Scorer

Corruption = Callable[
    [ConditionalWeightSource, Architecture], Tensor
]  # gives a tensor of the shape of the architecture's c


def noisy(sigma: float, seed: int, source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
    """Gaussian noise of std `sigma` in all entries of c (1 and -1), in one direction for all `sigma`."""
    c = source.encode(architecture)
    noise = torch.randn(c.shape, generator=generator(Stream.CORRUPTION, seed, architecture.fingerprint))
    return c + sigma * noise.to(c)


def swapped(others: Mapping[str, Architecture], source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
    """The c of another architecture, its last slices cut off or empty ones added."""
    slices, other = source.encode(architecture).shape[-1], source.encode(others[architecture.fingerprint])
    return F.pad(other, (0, slices - other.shape[-1]), value=EMPTY)  # a negative number cuts


def emptied(source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
    """An empty c."""
    return torch.full_like(source.encode(architecture), EMPTY)


class CorruptedEncoding(WeightSource):
    """The weights that `source` generates from a corrupted c."""

    def __init__(self, source: ConditionalWeightSource, corruption: Corruption) -> None:
        super().__init__(source.limits, source.image_spec)
        self.source, self.corruption = source, corruption

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """As the source."""
        return self.source.noise_shape(architecture)

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs, by name."""
        return self.source.from_c(architecture, self.corruption(self.source, architecture), z)

    def undecayed(self) -> list[nn.Parameter]:
        """As the source."""
        return self.source.undecayed()


def score_corrupted(scorer: Scorer, cases: Mapping[str, Corruption], job: tuple[str, Architecture]) -> Score:
    """The score of an architecture by the same HyperNets with a corrupted c."""
    corruption, architecture = cases[job[0]], job[1]
    sources = [CorruptedEncoding(one.weights, corruption) for one in scorer.hypernets]  # type: ignore[arg-type]
    hypernets = [replace(one, weights=source) for one, source in zip(scorer.hypernets, sources, strict=True)]
    return Scorer(hypernets, scorer.data, policy=scorer.policy, seed=scorer.seed, noises=scorer.noises)(architecture)
