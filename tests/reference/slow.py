"""The network and its generated weights, written in the simplest way: no table of layers, no functions of our own
for gradients, nothing in place. What the package computes must equal this."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Convolution, ImageSpec, Op, layers
from smash_lightning.hypernet import ConditionalHyperNet, SharedWeights

NONLINEAR = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


@dataclass(frozen=True)
class SlowNetwork:
    """Logits of images x (batch, channels, *size), with the statistics of the batch in every norm."""

    architecture: Architecture
    image_spec: ImageSpec
    weights: Mapping[str, Tensor]
    op_norm: bool

    def __call__(self, x: Tensor) -> Tensor:
        pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[self.architecture.dimensions]
        x = self.convolve("stem", x)
        if self.image_spec.stem_stride == 2:
            x = x[:, :, ::2, ::2] if self.architecture.dimensions == 2 else x[:, :, ::2, ::2, ::2]
        if not self.op_norm:
            x = torch.relu(x)
        banks: dict[int, Tensor] = {}
        for b, block in enumerate(self.architecture.blocks):
            banks = self.banks(block, b, x, {bank: pool(content, 2) for bank, content in banks.items()})
            x = torch.relu(self.norm(f"block{b}.norm", torch.cat([banks[i] for i in sorted(banks)], 1)))
            if b + 1 < len(self.architecture.blocks):
                x = pool(self.convolve(f"block{b}.transition", x), 2)
        return x.flatten(2).mean(2) @ self.weights["head.weight"].T + self.weights["head.bias"]

    def banks(self, block: Block, b: int, x: Tensor, pooled: dict[int, Tensor]) -> dict[int, Tensor]:
        banks = dict(enumerate(x.split(block.width, 1)))
        writes = dict.fromkeys(banks, 1)
        for o, op in enumerate(block.ops):
            h = torch.cat([*(banks[bank] for bank in op.read), *(pooled[bank] for bank in op.pooled)], 1)
            slices = self.op(op, f"block{b}.op{o}", h).split(block.width, 1)
            for j, bank in enumerate(op.write):
                new, before = slices[j % op.units], writes.get(bank, 0)
                if before == 0:
                    banks[bank] = new
                elif op.join == "sum":
                    banks[bank] = banks[bank] + new
                else:
                    banks[bank] = (banks[bank] * before + new) / (before + 1)
                writes[bank] = before + 1
        return banks

    def op(self, op: Op, name: str, h: Tensor) -> Tensor:
        if op.activation == "pre" and self.op_norm:
            h = self.norm(f"{name}.entry", h)
            h = h if op.bottleneck is None else torch.relu(h)
        if op.bottleneck is not None:
            h = self.convolve(f"{name}.pointwise", h)
            h = self.norm(f"{name}.pointwise_norm", h) if self.op_norm else h
            h = torch.relu(h) if op.activation == "post" else h
        first = {path[0].nonlinearity for path in op.paths}
        stem = op.bottleneck is None and not self.op_norm and first == {"relu"}  # whose output is activated already
        entered = {each: h if op.activation == "post" or stem else NONLINEAR[each](h) for each in first}  # once for all
        paths = [self.path(op, p, name, entered[path[0].nonlinearity]) for p, path in enumerate(op.paths)]
        if op.meet == "gate":
            return torch.tanh(paths[0]) * torch.sigmoid(paths[1])
        return sum(paths)  # type: ignore[return-value]

    def path(self, op: Op, p: int, name: str, h: Tensor) -> Tensor:
        for s, convolution in enumerate(op.paths[p]):
            nonlinear = NONLINEAR[convolution.nonlinearity]
            if op.activation == "pre" and s > 0:
                h = nonlinear(h)
            h = self.convolve(f"{name}.conv{2 * p + s}", h, convolution)
            last = s + 1 == len(op.paths[p])
            if self.op_norm and (op.activation == "post" or (op.bottleneck is None and not last)):
                h = self.norm(f"{name}.conv{2 * p + s}_norm", h)
            if op.activation == "post":
                h = nonlinear(h)
        return h

    def convolve(self, name: str, x: Tensor, convolution: Convolution | None = None) -> Tensor:
        plain = {2: F.conv2d, 3: F.conv3d}[self.architecture.dimensions]
        dilation, groups = (convolution.dilation, convolution.groups) if convolution else (1, 1)
        return plain(x, self.weights[f"{name}.weight"], padding="same", dilation=dilation, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        axes = (0, *range(2, x.ndim))
        centred = x - x.mean(axes, keepdim=True)
        unit = centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()
        scale, shift = (self.weights[f"{name}.{part}"].view(1, -1, *[1] * (x.ndim - 2)) for part in ("weight", "bias"))
        return unit * scale + shift


def slow_weights(
    source: ConditionalHyperNet,
    architecture: Architecture,
    z: Tensor | None,
    width: int | None,
    depths: tuple[int, ...],
) -> dict[str, Tensor]:
    """Every tensor of `source` for `architecture`, sliced by plain indexing."""
    grid = slow_grid(source, architecture, z, width, depths)
    weights, slices = slow_shared(source, architecture), 0
    for name, shape in layers(architecture, source.image_spec, source.limits.op_norm).parameters().items():
        if name.endswith("pointwise.weight"):
            matrix, used = slow_matrix(grid, source, shape[0], shape[1], slices)
            slices += used
            weights[name] = unit(matrix).reshape(shape)
    return weights


def slow_sharing(source: SharedWeights, architecture: Architecture) -> dict[str, Tensor]:
    """The same of weight sharing without a HyperNet: each op's 1x1, number by number."""
    weights = slow_shared(source, architecture)
    for b, block in enumerate(architecture.blocks):
        for o, op in enumerate(block.ops):
            assert op.bottleneck is not None
            columns = [bank * block.width + i for bank in op.read for i in range(block.width)]
            columns += [~(bank * block.pooled_width + i) for bank in op.pooled for i in range(block.pooled_width)]
            numbers = [source.pointwise[b][row, column] for row in range(op.bottleneck) for column in columns]
            shape = (op.bottleneck, len(columns), *[1] * architecture.dimensions)
            weights[f"block{b}.op{o}.pointwise.weight"] = unit(torch.stack(numbers)).view(shape)
    return weights


def slow_shared(source: ConditionalHyperNet | SharedWeights, architecture: Architecture) -> dict[str, Tensor]:
    """All tensors but the 1x1 of ops: leading channels, and the centre of the kernel."""
    weights = {}
    for name, shape in layers(architecture, source.image_spec, source.limits.op_norm).parameters().items():
        if not name.endswith("pointwise.weight"):
            tensor = source.shared[re.sub(r"\.op\d+", "", name).replace(".", "/")]
            for axis, size in enumerate(shape):
                tensor = tensor.narrow(axis, (tensor.shape[axis] - size) // 2 if axis > 1 else 0, size)
            weights[name] = tensor
    return weights


def unit(tensor: Tensor) -> Tensor:
    """Divided by its norm."""
    return tensor / tensor.square().sum().sqrt()


def slow_matrix(grid: Tensor, source: ConditionalHyperNet, outputs: int, inputs: int, first: int) -> tuple[Tensor, int]:
    """The 1x1 weight (outputs, inputs) that starts at slice `first`, cell by cell; and its number of slices."""
    limits, deep = source.encoding.limits, source.encoding.depth_compression * source.encoding.limits.base
    high = limits.bottleneck * limits.base
    rows, columns = -(-outputs // high), -(-inputs // deep)

    def cell(row: int, column: int) -> Tensor:
        return grid[0, :, row, first + column].reshape(deep, high).T

    grid = torch.cat([torch.cat([cell(r, s) for s in range(columns)], 1) for r in range(rows)], 0)
    return grid[:outputs, :inputs], columns


def slow_grid(
    source: ConditionalHyperNet,
    architecture: Architecture,
    z: Tensor | None,
    width: int | None,
    depths: tuple[int, ...],
) -> Tensor:
    """The grid: a DenseNet, each of whose layers activates all features before it."""
    filters = iter([unit(f) for f in source.hypernet.filters])
    c = source.encoding.encode(architecture).double()
    features = c if z is None else torch.cat([z.double(), c], 1)
    activated = features  # c itself is not activated
    if width is not None:
        features = F.conv2d(features, next(filters), padding=1)
        activated = F.leaky_relu(features, 0.02)
    for b, depth in enumerate(depths):
        for _ in range(depth):
            features = torch.cat([features, F.conv2d(activated, next(filters), padding=1)], 1)
            activated = F.leaky_relu(features, 0.02)
        if b + 1 < len(depths):
            features = F.conv2d(activated, next(filters), padding=1)
            activated = F.leaky_relu(features, 0.02)
    return F.conv2d(activated, next(filters))
