"""Generated weights: the HyperNet's 1x1 convolutions, and learned tensors sliced to what an architecture asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, Layer, Skeleton, layers
from smash_lightning.architecture.shapes import STEM_KERNEL
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.densenet import HyperNet
from smash_lightning.hypernet.unpack import grid_channels, unpack
from smash_lightning.network import RunningStatistics, Weights, initialise, norm_channels
from smash_lightning.network.gradients import Region, crop, unit_norm


class GeneratedWeights(nn.Module):
    """A source of named weights for any architecture within an encoding's limits.

    The 1x1 convolutions come from the HyperNet, each divided by its norm. Everything else is learned and shared: the
    stem; for each block one kernel per convolution position, of the largest size, from which every op takes the centre
    in space and the leading channels; transitions, norms and the classifier, sliced to the channels that are filled.

    Args:
        encoding: writes architectures as c.
        skeleton: image, stem and classifier.
        width: as in `HyperNet`.
        depths: as in `HyperNet`.
        growth: as in `HyperNet`.
        noise: as in `HyperNet`.
        generator: stream of the initialisation.
    """

    def __init__(
        self,
        encoding: Encoding,
        skeleton: Skeleton,
        *,
        width: int | None,
        depths: Sequence[int],
        growth: int,
        noise: bool,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.encoding, self.skeleton = encoding, skeleton
        self.hypernet = HyperNet(
            encoding.layout.channels,
            grid_channels(encoding),
            width=width,
            depths=tuple(depths),
            growth=growth,
            noise=noise,
            generator=generator,
        )
        self.shared = nn.ParameterDict()
        for layer in _largest_layers(encoding, skeleton):
            for name, tensor in initialise(layer, generator).items():
                self.shared[name.replace(".", "/")] = nn.Parameter(tensor)

    def noise(self, architecture: Architecture, generator: torch.Generator) -> Tensor | None:
        """Noise z (1, 1, rows, slices) for an architecture, or None where the HyperNet takes none."""
        if not self.hypernet.noise:
            return None
        slices = self.encoding.spans(architecture)[-1].last
        return torch.randn(1, 1, self.encoding.limits.max_units, slices, generator=generator, device=generator.device)

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs under a HyperNet, by name."""
        device = self.shared["stem/weight"].device
        return self.from_grid(architecture, self.hypernet(self.encoding.encode(architecture, device), z))

    def from_grid(self, architecture: Architecture, grid: Tensor) -> Weights:
        """The same, given the HyperNet's grid (1, outputs, rows, slices) for this architecture."""
        pointwise = unit_norm(unpack(grid, self.encoding, architecture))
        return self._sliced(architecture) | _named_pointwise(architecture, pointwise)

    def running_statistics(self) -> RunningStatistics:
        """Fresh averages for the norms of any architecture within the limits."""
        return RunningStatistics(norm_channels(_largest_layers(self.encoding, self.skeleton)))

    def _sliced(self, architecture: Architecture) -> dict[str, Tensor]:
        """The learned tensors, each cut once into all the pieces that are asked of it."""
        wanted: dict[str, list[tuple[str, Region]]] = {}
        for layer in layers(architecture, self.skeleton, False):
            if layer.name.endswith(".pointwise"):
                continue
            for name, shape in layer.parameters.items():
                source = _source(name)
                region = _region(self.shared[source].shape, shape)
                wanted.setdefault(source, []).append((name, region))
        weights: dict[str, Tensor] = {}
        for source, pieces in wanted.items():
            cut = crop(self.shared[source], tuple(region for _, region in pieces))
            weights.update(zip((name for name, _ in pieces), cut, strict=True))
        return weights


@dataclass(frozen=True, slots=True)
class TrainedHyperNet:
    """Weights to score with, the running statistics of their training, and what is known of it.

    Args:
        weights: generate the weights of any architecture.
        statistics: the running averages of the training.
        drawn: fingerprints of the architectures that it drew.
        finished: whether it came to its end; not so for weights in the midst of it, or without one.
    """

    weights: GeneratedWeights
    statistics: RunningStatistics
    drawn: frozenset[str]
    finished: bool = False


def _source(name: str) -> str:
    """The shared tensor of a weight: ops of a block share it, so their number leaves the name."""
    return "/".join(part for part in name.split(".") if not part.startswith("op"))


def _region(whole: torch.Size, shape: tuple[int, ...]) -> Region:
    """Leading channels, and the centre in space."""
    centred = [slice((w - s) // 2, (w + s) // 2) for w, s in zip(whole[2:], shape[2:], strict=True)]
    return (*(slice(0, s) for s in shape[:2]), *centred)


def _named_pointwise(architecture: Architecture, pointwise: tuple[Tensor, ...]) -> dict[str, Tensor]:
    names = [
        f"block{b}.op{o}.pointwise.weight" for b, block in enumerate(architecture.blocks) for o in range(len(block.ops))
    ]
    ones = (1,) * architecture.dimensions
    return {name: weight.view(*weight.shape, *ones) for name, weight in zip(names, pointwise, strict=True)}


def _largest_layers(encoding: Encoding, skeleton: Skeleton) -> list[Layer]:
    limits = encoding.limits
    outputs, kernel = limits.max_outputs, (limits.kernels[-1],) * limits.dimensions
    ones = (1,) * limits.dimensions
    stem = (STEM_KERNEL,) * limits.dimensions
    table = [Layer("stem", "convolution", skeleton.channels, limits.inputs[0], kernel=stem)]
    for b, channels in enumerate(limits.memory):
        for position in range(limits.positions):
            inputs = outputs if position % 2 else limits.bottleneck * outputs
            table.append(Layer(f"block{b}.conv{position}", "convolution", inputs, outputs, kernel=kernel))
        table.append(Layer(f"block{b}.norm", "norm", channels, channels))
        if b + 1 < len(limits.memory):
            table.append(Layer(f"block{b}.transition", "convolution", channels, limits.inputs[b + 1], kernel=ones))
    table.append(Layer("head", "linear", limits.memory[-1], skeleton.classes))
    return table
