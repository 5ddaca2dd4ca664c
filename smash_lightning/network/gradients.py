"""Autograd functions whose backward pass fills one gradient buffer.

Slicing a tensor once per op would make autograd allocate, zero and add a full-sized gradient for each slice. These
functions take all slices of a tensor at once, or pass one buffer through a block, and change only the slices in use.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Region = tuple[int | slice, ...]


class _Crop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, regions: tuple[Region, ...]) -> tuple[Tensor, ...]:
        ctx.shape, ctx.regions = tensor.shape, regions
        return tuple(tensor[region] for region in regions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].new_zeros(ctx.shape)
        for region, gradient in zip(ctx.regions, gradients, strict=True):
            total[region].add_(gradient)
        return total, None


def crop(tensor: Tensor, regions: tuple[Region, ...]) -> tuple[Tensor, ...]:
    """Views of `tensor`, one for each region; regions may overlap. None of them may be changed in place."""
    return _Crop.apply(tensor, regions)


class _UnitNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        norms = torch._foreach_add(torch._foreach_norm(tensors), 1e-12)
        units = torch._foreach_div(tensors, norms)
        ctx.save_for_backward(*norms, *units)
        return tuple(units)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        norms, units = ctx.saved_tensors[: len(gradients)], ctx.saved_tensors[len(gradients) :]
        # d(w / |w|) = (g - u <u, g>) / |w| with u = w / |w|
        along = [product.sum() for product in torch._foreach_mul(gradients, units)]
        across = torch._foreach_sub(gradients, torch._foreach_mul(units, along))
        return tuple(torch._foreach_div(across, norms))


def unit_norm(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Each tensor divided by its own Euclidean norm (the paper's simplified weight norm), all in a few operations."""
    return _UnitNorm.apply(*tensors)


class _Open(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, channels: int, networks: int, pooled: Tensor | None) -> Tensor:
        ctx.shape, inputs = x.shape, x.shape[1] // networks
        ctx.channels, ctx.pooled = channels, None if pooled is None else pooled.shape
        extra = 0 if pooled is None else pooled.shape[1] // networks
        memory = x.new_empty((x.numel() // inputs, channels + extra))
        memory[:, :inputs].copy_(_to_rows(x, memory.shape[0]))
        memory[:, inputs:channels].zero_()
        if pooled is not None:
            memory[:, channels:].copy_(_to_rows(pooled, memory.shape[0]))
        return memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, buffer: Tensor) -> tuple[Tensor, None, None, Tensor | None]:
        inputs = math.prod(ctx.shape) // buffer.shape[0]
        pooled = None if ctx.pooled is None else _to_images(buffer[:, ctx.channels :], ctx.pooled)
        return _to_images(buffer[:, :inputs], ctx.shape), None, None, pooled


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, memory: Tensor, channels: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        ctx.channels = channels
        ctx.mark_dirty(memory)
        return _to_images(memory.index_select(1, channels), shape), memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, buffer: Tensor) -> tuple[Tensor, None, None]:
        return buffer.index_add_(1, ctx.channels, _to_rows(gradient, buffer.shape[0])), None, None


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, memory: Tensor, y: Tensor, cycles: tuple[Tensor, ...]) -> Tensor:
        ctx.cycles, ctx.shape = cycles, y.shape
        ctx.mark_dirty(memory)
        rows = _to_rows(y, memory.shape[0])
        for channels in cycles:
            memory.index_add_(1, channels, rows[:, : len(channels)])
        return memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, buffer: Tensor) -> tuple[Tensor, Tensor, None]:
        gradient = buffer.index_select(1, ctx.cycles[0])
        for channels in ctx.cycles[1:]:
            gradient[:, : len(channels)].add_(buffer.index_select(1, channels))
        return buffer, _to_images(gradient, ctx.shape), None


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, memory: Tensor, y: Tensor, channels: Tensor, source: Tensor, writes: Tensor) -> Tensor:
        share = writes.to(memory.dtype).reciprocal()
        ctx.save_for_backward(channels, source, share)
        ctx.shape = y.shape
        ctx.mark_dirty(memory)
        content, written = memory.index_select(1, channels), _to_rows(y, memory.shape[0]).index_select(1, source)
        return memory.index_copy_(1, channels, torch.lerp(content, written, share))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, buffer: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        channels, source, share = ctx.saved_tensors
        content = buffer.index_select(1, channels)
        outputs = math.prod(ctx.shape) // buffer.shape[0]
        gradient = content.new_zeros(buffer.shape[0], outputs).index_add_(1, source, content * share)
        return buffer.index_copy_(1, channels, content * (1 - share)), _to_images(gradient, ctx.shape), None, None, None


def _to_rows(x: Tensor, rows: int) -> Tensor:
    """Images (batch, networks x channels, *space) as (pixels x networks, channels): a view if channels are last."""
    return x.movedim(1, -1).reshape(rows, -1)


def _to_images(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Inverse of `_to_rows`, for images of a batch and a space as in `shape`: with channels last."""
    return rows.reshape(shape[0], *shape[2:], -1).movedim(-1, 1)


open_memory = _Open.apply
"""(x, channels, networks, pooled): a block's banks as a matrix (pixels x networks, channels of one network), the first
of which are filled with x (batch, networks x inputs, *space). Further columns hold the images `pooled`, if any.

The memory and its gradient are changed in place by `read`, `add` and `average`, each of which returns the memory.
Use each returned memory once, and end with an operation whose backward pass makes a new gradient, such as a norm.
"""

read = _Read.apply
"""(memory, channels, shape): copies `channels` as images of a batch and a space as in `shape`, and the memory."""

add = _Add.apply
"""(memory, y, cycles): adds y (batch, networks x outputs, *space) to the channels of each cycle, the first of them to a
shorter one."""

average = _Average.apply
"""(memory, y, channels, source, writes): makes each of `channels` the mean of its `writes`, the last of which is
channel `source` of y."""


def close_memory(memory: Tensor, channels: int, shape: torch.Size) -> Tensor:
    """All banks as images (batch, networks x channels, *space)."""
    return _to_images(memory if memory.shape[1] == channels else memory[:, :channels], shape)
