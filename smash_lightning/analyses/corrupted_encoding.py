"""What does a HyperNet generate when it is told a wrong c? Networks stay as they are, and so does all else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.architecture import Architecture
from smash_lightning.encoding.encoder import EMPTY
from smash_lightning.hypernet import ConditionalWeightSource, WeightSource
from smash_lightning.network import Weights
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring import Scorer


class Told(ABC):
    """What a HyperNet is told of an architecture in place of its c. A frozen dataclass."""

    @abstractmethod
    def c(self, source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
        """A c of the shape of the architecture's own."""


@dataclass(frozen=True)
class Noisy(Told):
    """Its own c plus Gaussian noise in every entry, empty ones too.

    An architecture's noise has one direction, whatever its size, so that sizes are compared like with like.

    Args:
        sigma: standard deviation of the noise; the entries of c are 1 and -1.
        seed: of the noise.
    """

    sigma: float
    seed: int

    def c(self, source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
        """See `Told`."""
        c = source.encode(architecture)
        chance = generator(Stream.CORRUPTION, self.seed, architecture.fingerprint)
        return c + self.sigma * torch.randn(c.shape, generator=chance).to(c)


@dataclass(frozen=True)
class Another(Told):
    """The c of another architecture, its last slices cut off or empty ones added.

    Args:
        partners: the other architecture by an architecture's fingerprint.
    """

    partners: Mapping[str, Architecture]

    def c(self, source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
        """See `Told`."""
        slices = source.encoding.spans(architecture)[-1].last
        other = source.encode(self.partners[architecture.fingerprint])
        return F.pad(other, (0, slices - other.shape[-1]), value=EMPTY)  # a negative number cuts


@dataclass(frozen=True)
class Nothing(Told):
    """An empty c."""

    def c(self, source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
        """See `Told`."""
        return torch.full_like(source.encode(architecture), EMPTY)


class Misinformed(WeightSource):
    """The weights that `source` generates for an architecture when it is told something else than its c."""

    def __init__(self, source: ConditionalWeightSource, told: Told) -> None:
        super().__init__(source.limits, source.image_spec)
        self.source, self.told = source, told

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """As the source."""
        return self.source.noise_shape(architecture)

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs, by name."""
        return self.source.from_c(architecture, self.told.c(self.source, architecture), z)

    def undecayed(self) -> list[nn.Parameter]:
        """As the source."""
        return self.source.undecayed()


def misinformed(scorer: Scorer, told: Told) -> Scorer:
    """The same scorer, with HyperNets that see c and are told something else."""
    hypernets = []
    for hypernet in scorer.hypernets:
        assert isinstance(hypernet.weights, ConditionalWeightSource)
        hypernets.append(replace(hypernet, weights=Misinformed(hypernet.weights, told)))
    return Scorer(hypernets, scorer.data, policy=scorer.policy, seed=scorer.seed, noises=scorer.noises)
