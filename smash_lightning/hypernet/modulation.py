"""A say of the HyperNet in the learned tensors: gains of shared kernels, and of the norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.unpack import grid_channels

PARTS = ("kernels", "norms")


class Modulation(nn.Module):
    """Scales learned tensors by what the HyperNet's grid says of each op and of each block.

    Beyond the paper, where the grid makes the 1x1 convolutions alone. An op is summed up by the mean of its cells, a
    block by the mean of its ops. A linear layer that begins at zero, so that training begins as in the paper, makes of
    it: for "kernels", a gain of each output channel of each convolution; for "norms", a gain of each channel of the
    block's norm and something to add to its bias.

    Args:
        encoding: of the architectures.
        parts: "kernels", "norms" or both.
    """

    def __init__(self, encoding: Encoding, parts: Sequence[str]) -> None:
        super().__init__()
        assert set(parts) <= set(PARTS)
        self.encoding, limits = encoding, encoding.limits
        channels = grid_channels(encoding)
        self.kernels = _zero_linear(channels, limits.positions * limits.max_outputs) if "kernels" in parts else None
        self.norms = _zero_linear(channels, 2 * max(limits.memory)) if "norms" in parts else None

    def forward(self, architecture: Architecture, grid: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`weights` with those that the grid (1, channels, rows, slices) has a say in replaced."""
        ops = self._summaries(architecture, grid)
        changed = dict(weights)
        if self.kernels is not None:
            changed |= self._scaled_kernels(architecture, self.kernels(ops), weights)
        if self.norms is not None:
            counts = [len(block.ops) for block in architecture.blocks]
            blocks = torch.stack([part.mean(0) for part in ops.split(counts)])
            changed |= _scaled_norms(architecture, self.norms(blocks), weights)
        return changed

    def _summaries(self, architecture: Architecture, grid: Tensor) -> Tensor:
        """The mean of each op's cells, (ops, channels)."""
        _, _, rows, slices = grid.shape
        spans = self.encoding.spans(architecture)
        mask = torch.zeros(len(spans), rows, slices, dtype=grid.dtype)
        for row, span in zip(mask, spans, strict=True):
            row[: span.rows, span.first : span.last] = 1 / (span.rows * (span.last - span.first))
        return mask.to(grid).flatten(1) @ grid[0].flatten(1).T

    def _scaled_kernels(
        self, architecture: Architecture, gains: Tensor, weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        limits = self.encoding.limits
        table = (1 + gains).view(-1, limits.positions, limits.max_outputs)
        scaled = {}
        names = [f"block{b}.op{o}" for b, block in enumerate(architecture.blocks) for o in range(len(block.ops))]
        for name, op, gain in zip(names, architecture.ops(), table, strict=True):
            for p, path in enumerate(op.paths):
                for s in range(len(path)):
                    key = f"{name}.conv{2 * p + s}.weight"
                    kernel = weights[key]
                    scaled[key] = kernel * gain[2 * p + s, : len(kernel)].view(-1, *[1] * (kernel.ndim - 1))
        return scaled


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def _scaled_norms(architecture: Architecture, table: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    scaled = {}
    for b, (block, row) in enumerate(zip(architecture.blocks, table, strict=True)):
        gain, shift = row.view(2, -1)[:, : block.channels]
        name = f"block{b}.norm"
        scaled[f"{name}.weight"] = weights[f"{name}.weight"] * (1 + gain)
        scaled[f"{name}.bias"] = weights[f"{name}.bias"] + shift
    return scaled
