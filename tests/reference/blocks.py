"""Textbook blocks and networks, written as their papers have them: no banks, no table of layers, in 2 or 3 dimensions.

Each module registers its layers in the order in which a memory-bank architecture executes them, so that the n-th
parameter of the one belongs to the n-th parameter of the other.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, kernel: int, dimensions: int, stride: int = 1) -> nn.Module:
    kind = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    return kind(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def norm(channels: int, dimensions: int) -> nn.Module:
    return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions](channels)


class PreActivationBlock(nn.Module):
    """BN-ReLU-3x3-BN-ReLU-3x3, plus the identity (He et al. 2016, "Identity mappings", figure 4e)."""

    def __init__(self, channels: int, dimensions: int = 2) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            norm(channels, dimensions),
            nn.ReLU(),
            convolution(channels, channels, 3, dimensions),
            norm(channels, dimensions),
            nn.ReLU(),
            convolution(channels, channels, 3, dimensions),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


class ResidualBlocks(nn.Sequential):
    """`count` residual blocks, one after the other, at one resolution."""

    def __init__(self, count: int, channels: int, dimensions: int = 2) -> None:
        super().__init__(*(PreActivationBlock(channels, dimensions) for _ in range(count)))


class WideningBlock(nn.Module):
    """First residual block of a group: BN-ReLU, then 3x3-BN-ReLU-3x3 plus a 1x1 (Zagoruyko and Komodakis 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int, dimensions: int = 2) -> None:
        super().__init__()
        self.activation = nn.Sequential(norm(inputs, dimensions), nn.ReLU())
        self.shortcut = convolution(inputs, outputs, 1, dimensions, stride)
        self.residual = nn.Sequential(
            convolution(inputs, outputs, 3, dimensions, stride),
            norm(outputs, dimensions),
            nn.ReLU(),
            convolution(outputs, outputs, 3, dimensions),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(x)
        return self.shortcut(h) + self.residual(h)


def classifier(channels: int, classes: int, dimensions: int) -> nn.Sequential:
    pool = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dimensions](1)
    return nn.Sequential(norm(channels, dimensions), nn.ReLU(), pool, nn.Flatten(), nn.Linear(channels, classes))


def wide_resnet(depth: int, width: int, classes: int, dimensions: int = 2) -> nn.Sequential:
    """WRN-depth-width (Zagoruyko and Komodakis 2016, table 1)."""
    parts: list[nn.Module] = [convolution(3, 16, 3, dimensions)]
    channels = [16, 16 * width, 32 * width, 64 * width]
    for group in range(3):
        before, after = channels[group : group + 2]
        parts.append(WideningBlock(before, after, 2 if group else 1, dimensions))
        parts.append(ResidualBlocks((depth - 4) // 6 - 1, after, dimensions))
    return nn.Sequential(*parts, classifier(channels[-1], classes, dimensions))


def densenet_bc(depth: int, growth: int, classes: int, dimensions: int = 2) -> nn.Sequential:
    """DenseNet-BC of three blocks (Huang et al. 2017, section 4.1), compression .5."""
    pool = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[dimensions]
    parts: list[nn.Module] = [convolution(3, 2 * growth, 3, dimensions)]
    layers, channels = (depth - 4) // 6, 2 * growth
    for block in range(3):
        parts.append(DenseBlock(layers, channels, growth, dimensions))
        channels += layers * growth
        if block < 2:
            parts += [norm(channels, dimensions), nn.ReLU()]
            parts += [convolution(channels, channels // 2, 1, dimensions), pool(2)]
            channels //= 2
    return nn.Sequential(*parts, classifier(channels, classes, dimensions))


class DenseBottleneckLayer(nn.Module):
    """BN-ReLU-1x1-BN-ReLU-3x3, appended to its input (Huang et al. 2017, section 3, DenseNet-B)."""

    def __init__(self, inputs: int, growth: int, dimensions: int = 2) -> None:
        super().__init__()
        self.new_features = nn.Sequential(
            norm(inputs, dimensions),
            nn.ReLU(),
            convolution(inputs, 4 * growth, 1, dimensions),
            norm(4 * growth, dimensions),
            nn.ReLU(),
            convolution(4 * growth, growth, 3, dimensions),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.new_features(x)], dim=1)


class DenseBlock(nn.Sequential):
    """`count` dense layers: (batch, inputs, *space) to (batch, inputs + count * growth, *space)."""

    def __init__(self, count: int, inputs: int, growth: int, dimensions: int = 2) -> None:
        super().__init__(*(DenseBottleneckLayer(inputs + i * growth, growth, dimensions) for i in range(count)))


class FractalBlock(nn.Module):
    """f_1 = conv, f_{C+1} = join(f_C after f_C, conv) with conv = convolution-BN-ReLU (Larsson et al. 2017, figure 1).

    Joins that directly follow each other are one: the element-wise mean of all columns that end there.
    """

    def __init__(self, columns: int, inputs: int, channels: int, dimensions: int) -> None:
        super().__init__()
        self.upper = FractalBlock(columns - 1, inputs, channels, dimensions) if columns > 1 else None
        self.lower = FractalBlock(columns - 1, channels, channels, dimensions) if columns > 1 else None
        self.conv = nn.Sequential(convolution(inputs, channels, 3, dimensions), norm(channels, dimensions), nn.ReLU())

    def columns(self, x: Tensor) -> list[Tensor]:
        """The columns that end at the block's end, before they are joined."""
        if self.upper is None or self.lower is None:
            return [self.conv(x)]
        return [*self.lower.columns(self.upper(x)), self.conv(x)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(self.columns(x)).mean(dim=0)

    def order(self) -> Iterator[list[nn.Parameter]]:
        """Parameters in the order of the memory-bank architecture: those of all convs that read the block's input,
        which are one convolution there; then of the others, column by column.
        """
        block, convs = self, [self.conv]
        while block.upper is not None:
            block = block.upper
            convs.append(block.conv)
        yield from map(list, zip(*(conv.parameters() for conv in convs), strict=True))
        yield from ([parameter] for conv in self.later() for parameter in conv.parameters())

    def later(self) -> Iterator[nn.Module]:
        """The convs that do not read the block's input."""
        if self.upper is not None and self.lower is not None:
            yield from [*self.upper.later(), *self.lower.every()]

    def every(self) -> Iterator[nn.Module]:
        """All convs."""
        if self.upper is not None and self.lower is not None:
            yield from [*self.upper.every(), *self.lower.every()]
        yield self.conv


def fractal_net(
    columns: int, channels: list[int], classes: int, dimensions: int = 2, doubling: bool = False
) -> nn.Sequential:
    """FractalNet (Larsson et al. 2017, section 4): max pooling after each block, and a linear layer.

    With `doubling`, a 1x1 convolution before a block doubles the channels, not the convolutions that read its input.
    """
    pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dimensions](2)
    average = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dimensions](1)  # of one pixel, for images of 2^blocks
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise([3, *channels]):
        if doubling and after == 2 * before:
            parts += [convolution(before, after, 1, dimensions), norm(after, dimensions), nn.ReLU()]
            before = after
        parts += [FractalBlock(columns, before, after, dimensions), pool]
    return nn.Sequential(*parts, average, nn.Flatten(), nn.Linear(channels[-1], classes))


class TwoPathShortcut(nn.Module):
    """Half of the outputs from the image, half from the image moved by one pixel (Gastaldi 2017, section 2.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int, dimensions: int) -> None:
        super().__init__()
        self.both = convolution(inputs, outputs, 1, dimensions)
        self.norm = norm(outputs, dimensions)
        self.stride, self.dimensions = stride, dimensions

    def forward(self, x: Tensor) -> Tensor:
        plain = {2: nn.functional.conv2d, 3: nn.functional.conv3d}[self.dimensions]
        h, (first, second) = torch.relu(x), self.both.weight.chunk(2)
        moved = nn.functional.pad(h, (1, -1) * self.dimensions)
        return self.norm(torch.cat([plain(h, first, None, self.stride), plain(moved, second, None, self.stride)], 1))


class ShakeBlock(nn.Module):
    """Two residual branches ReLU-3x3-BN-ReLU-3x3-BN with factors of one half, as in evaluation (Gastaldi 2017)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dimensions: int = 2) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if inputs == outputs else TwoPathShortcut(inputs, outputs, stride, dimensions)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                convolution(inputs, outputs, 3, dimensions, stride),
                norm(outputs, dimensions),
                nn.ReLU(),
                convolution(outputs, outputs, 3, dimensions),
                norm(outputs, dimensions),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + 0.5 * self.branches[0](x) + 0.5 * self.branches[1](x)


def shake_shake(depth: int, width: int, classes: int, dimensions: int = 2) -> nn.Sequential:
    """Shake-Shake of `depth` layers and 2 x `width`d (Gastaldi 2017, table 1)."""
    parts: list[nn.Module] = [convolution(3, 16, 3, dimensions), norm(16, dimensions)]
    channels = [16, width, 2 * width, 4 * width]
    for group, (before, after) in enumerate(itertools.pairwise(channels)):
        parts.append(ShakeBlock(before, after, 2 if group else 1, dimensions))
        parts += [ShakeBlock(after, after, dimensions=dimensions) for _ in range((depth - 2) // 6 - 1)]
    average = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dimensions](1)
    return nn.Sequential(*parts, nn.ReLU(), average, nn.Flatten(), nn.Linear(channels[-1], classes))
