"""The HyperNet: a fully convolutional DenseNet from c to a grid of weights (paper, section 3.3 and appendix)."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.cuda_graphs import recorded
from smash_lightning.network.gradients import unit_norm

SLOPE = 0.02
LEAST_SLICES = 64  # that a CUDA graph is recorded for
LARGE = 1 << 16  # values of c from which blocks read `at_once` on a CPU (docs/results/costs.md)


class GridDenseNet(nn.Module):
    """Maps c, after z if there is noise, (1, channels, rows, slices) to a grid (1, outputs, rows, slices).

    3x3 convolutions without bias, Leaky ReLU before each but the first, no BatchNorm; every filter tensor is divided by
    its norm. A first convolution maps c to `width` channels, each layer of a dense block adds `growth` channels, a
    convolution between blocks compresses them to `width`, and a 1x1 convolution makes the outputs.

    Args:
        channels: channels of c.
        outputs: channels of the grid.
        width: channels that enter each dense block. None is the paper's: c enters the first block as it is, and half
            the channels enter the next.
        depths: layers of each dense block.
        growth: channels that a layer adds.
        noise: whether a channel of Gaussian noise z is concatenated to c.
        generator: random stream of the initialization.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        width: int | None,
        depths: Sequence[int],
        growth: int,
        noise: bool,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.noise = noise
        # The first convolution maps c to `width` channels; without a width it is the first layer of the first block.
        self._keeps_c = width is None
        self._layers = [depth - (b == 0 and width is None) for b, depth in enumerate(depths)]
        shapes: list[tuple[int, int, int]] = []
        channels += int(noise)
        if width is not None:
            shapes.append((width, channels, 3))
            channels = width
        for b, depth in enumerate(depths):
            for _ in range(depth):
                shapes.append((growth, channels, 3))
                channels += growth
            if b + 1 < len(depths):
                compressed = channels // 2 if width is None else width
                shapes.append((compressed, channels, 3))
                channels = compressed
        shapes.append((outputs, channels, 1))
        self.filters = nn.ParameterList(
            nn.init.orthogonal_(torch.empty(o, i, k, k), generator=generator) for o, i, k in shapes
        )

    def with_noise(self, c: Tensor, z: Tensor | None) -> Tensor:
        """What the layers read: c in the type of the filters, after z, which is None without noise."""
        assert (z is not None) == self.noise
        c = c.to(self.filters[0].dtype)
        return c if z is None else torch.cat([z, c], 1)

    def forward(self, c: Tensor, present: Tensor | None = None) -> Tensor:
        """The grid of c, zero in absent slices.

        `present` (1, 1, 1, slices) is 0 for slices of zeros at the end of c that only fill it up to a static size, and
        1 for all others, whose grid is what it is without them; None is 1 for all.
        """
        filters = iter(unit_norm(tuple(self.filters)))
        y = _activated(_convolve(c, next(filters)), present)
        # A channel passes the Leaky ReLU once, where it is made, and not once for each layer that reads it.
        features = [F.leaky_relu(c, SLOPE), y] if self._keeps_c else [y]
        for b, layers in enumerate(self._layers):
            readers = [next(filters) for _ in range(layers + (b + 1 < len(self._layers)))]
            block = _Block(features, readers, at_once=c.is_cpu and c.numel() >= LARGE)
            for weight in readers[:layers]:
                block.add(_activated(block.convolve(weight), present))
            features = [_activated(block.convolve(weight), present) for weight in readers[layers:]]
        return F.conv2d(block.features(), next(filters))


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1)


def _activated(y: Tensor, present: Tensor | None) -> Tensor:
    # Absent slices are zeroed, as the next convolution would see them where it saw zeros.
    return F.leaky_relu(y if present is None else y * present, SLOPE)


class _Block:
    """The features of a dense block: what enters it, and what its layers add.

    Each of its `filters` reads all of them. `at_once` one convolution applies all filters to the first tensor that
    enters, and each then reads the rest alone: few wide convolutions instead of many narrow ones, and no gradient of c.
    """

    def __init__(self, entering: list[Tensor], filters: Sequence[Tensor], at_once: bool) -> None:
        self._entered: list[Tensor] = []
        self._parts: Iterator[Tensor] | None = None
        if at_once and filters:
            self._entered, entering = entering[:1], entering[1:]
            heads = [weight[:, : self._entered[0].shape[1]] for weight in filters]
            self._parts = iter(_convolve(self._entered[0], torch.cat(heads)).split([len(head) for head in heads], 1))
        self._rest = [_joined(entering)] if entering else []

    def convolve(self, weight: Tensor) -> Tensor:
        """What the next filter makes of the features."""
        if self._parts is None:
            return _convolve(self._rest[0], weight)
        part = next(self._parts)
        return part + _convolve(self._rest[0], weight[:, -self._rest[0].shape[1] :]) if self._rest else part

    def add(self, y: Tensor) -> None:
        """Adds those that a layer made."""
        self._rest = [_joined([*self._rest, y])]

    def features(self) -> Tensor:
        """All of them."""
        return _joined([*self._entered, *self._rest])


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat(tensors, 1) if len(tensors) > 1 else tensors[0]


class GraphedDenseNet:
    """The passes of a `GridDenseNet` as CUDA graphs, one for each power of two that c is filled up to."""

    def __init__(self, network: GridDenseNet) -> None:
        self.network = network
        self._graphs: dict[int, Callable[..., Tensor]] = {}

    def __call__(self, c: Tensor) -> Tensor:
        """The grid of c, as `GridDenseNet` makes it."""
        slices = c.shape[-1]
        size = max(LEAST_SLICES, 1 << (slices - 1).bit_length())
        filled = [F.pad(tensor, (0, size - slices)) for tensor in (c, c.new_ones(1, 1, 1, slices))]
        if size not in self._graphs:
            self._graphs[size] = recorded(self.network, *filled)
        return self._graphs[size](*filled)[..., :slices]
