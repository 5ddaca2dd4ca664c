"""The HyperNet: a fully convolutional DenseNet from c to a grid of weights (paper, section 3.3 and appendix)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.network.gradients import unit_norm

SLOPE = 0.02


class GridDenseNet(nn.Module):
    """Maps c (1, channels, rows, slices) to a grid (1, outputs, rows, slices).

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

    def forward(self, c: Tensor, z: Tensor | None) -> Tensor:
        """The grid of c. `z` (1, 1, rows, slices) is the noise, given exactly where there is a channel for it."""
        assert (z is not None) == self.noise
        filters = iter(unit_norm(tuple(self.filters)))
        c = c.to(self.filters[0].dtype)
        c = c if z is None else torch.cat([z, c], 1)
        y = F.conv2d(c, next(filters), padding=1)
        x = F.leaky_relu(torch.cat([c, y], 1) if self._keeps_c else y, SLOPE)
        # x is activated from here on: a channel passes the Leaky ReLU once, not once for each layer that reads it.
        for b, layers in enumerate(self._layers):
            for _ in range(layers):
                y = F.leaky_relu(F.conv2d(x, next(filters), padding=1), SLOPE)
                x = torch.cat([x, y], 1)
            if b + 1 < len(self._layers):
                x = F.leaky_relu(F.conv2d(x, next(filters), padding=1), SLOPE)
        return F.conv2d(x, next(filters))
