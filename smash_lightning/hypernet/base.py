"""The abstract class of everything that makes weights for many architectures, and what is known of a trained one."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.host_tables import Call
from smash_lightning.hypernet.shared_tensors import largest_layers
from smash_lightning.network import RunningAverages, Weights, norm_channels

Tables = Callable[[Architecture], list[Call]]


class WeightSource(nn.Module, ABC):
    """Named weights for any architecture within the limits of a search space, trained over many of them at once.

    `hypernet._target_` names a class that extends this one. Its constructor has the arguments `limits` of the search
    space, `image_spec` around the blocks, `generator` of the initialization, and options of its own, which are plain
    values (numbers, text, true or false, null, lists), as checkpoints hold them. The same generator must give the same
    weights.
    """

    def __init__(self, limits: Limits, image_spec: ImageSpec) -> None:
        super().__init__()
        self.limits, self.image_spec = limits, image_spec

    @abstractmethod
    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs, by name, with norms in ops where the limits have them.

        `z` is noise of the shape `noise_shape`, or None where there is none.
        """

    @abstractmethod
    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """Shape of the noise z for an architecture, or None where the weights depend on no noise."""

    @abstractmethod
    def undecayed(self) -> list[nn.Parameter]:
        """Parameters without weight decay: a HyperNet's, whose filters are divided by their norms."""

    def tables(self) -> list[Tables]:
        """Functions from an architecture to the tables on the host that `forward` needs, to be computed ahead."""
        return []

    def use_graphs(self, use: bool) -> None:
        """Whether passes with gradients on a GPU may be recorded as CUDA graphs; without effect where a class cannot.

        Then each pass must end with its backward pass before the next begins, with gradients that are not accumulated.
        """

    def noise(self, architecture: Architecture, generator: torch.Generator) -> Tensor | None:
        """Gaussian noise z for an architecture, or None where the weights depend on no noise."""
        shape = self.noise_shape(architecture)
        return None if shape is None else torch.randn(shape, generator=generator, device=generator.device)

    def running_statistics(self) -> RunningAverages:
        """Fresh running averages for the norms of any architecture within the limits."""
        return RunningAverages(norm_channels(largest_layers(self.limits, self.image_spec)))


class ConditionalWeightSource(WeightSource):
    """A source whose weights are a function of the encoding c, which can be corrupted and differentiated."""

    def __init__(self, encoding: Encoding, image_spec: ImageSpec) -> None:
        super().__init__(encoding.limits, image_spec)
        self.encoding = encoding

    @abstractmethod
    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        """The weights of `architecture` from a c of the shape of its own, perhaps that of another architecture."""

    def encode(self, architecture: Architecture) -> Tensor:
        """The encoding c (1, channels, rows, slices) of an architecture."""
        return self.encoding.encode(architecture, next(self.parameters()).device)

    @override
    def tables(self) -> list[Tables]:
        return [self.encoding.tables]

    @override
    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        return self.from_c(architecture, self.encode(architecture), z)


@dataclass(frozen=True, slots=True)
class TrainedHyperNet:
    """Weights to score with, and what is known of their training.

    That is its running statistics, the fingerprints of the architectures that it drew, whether it is complete, and its
    duration.
    """

    weights: WeightSource
    statistics: RunningAverages
    drawn: frozenset[str]
    finished: bool = False
    seconds: float = 0.0

    def digest(self) -> str:
        """Of all weights, by which a ranking that is continued recognizes the HyperNets that it began with."""
        found = hashlib.blake2b(digest_size=8)
        for tensor in self.weights.state_dict().values():
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return found.hexdigest()
