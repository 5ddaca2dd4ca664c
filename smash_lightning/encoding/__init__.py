"""How is an architecture written as a tensor, and read back (paper, section 3.3 and figure 3)?"""

from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Convolution, Limits, Op
from smash_lightning.architecture.definition import Meet
from smash_lightning.host_tables import Call, on_device

EMPTY = -1.0


@dataclass(frozen=True, slots=True)
class Field:
    """Consecutive channels of c for one property of an op, one for each of its values `options`."""

    first: int
    options: tuple[Any, ...]

    @property
    def channels(self) -> slice:
        """The field's channels."""
        return slice(self.first, self.first + len(self.options))

    def channel(self, value: Any) -> int:
        """The channel of `value`."""
        return self.first + self.options.index(value)


@dataclass(frozen=True, slots=True)
class Layout:
    """All fields of c, in order. It depends on the limits alone, so annealing never moves a channel."""

    fields: dict[str, Field]

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    @property
    def channels(self) -> int:
        """Channels of c, without noise."""
        return sum(len(field.options) for field in self.fields.values())


def layout(limits: Limits) -> Layout:
    """The fields of architectures within `limits`.

    In addition to the paper's, `start` marks the first slice of an op, and `width` is the width of a bank: without
    these, different architectures would have the same c. Options of a space that are off have no channels.
    """

    def if_several(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values if len(values) > 1 else ()

    one = (1,)
    options: dict[str, tuple[Any, ...]] = {
        "start": one,
        "read": tuple(range(limits.max_banks)),
        "write": tuple(range(limits.max_banks)),
        "block": tuple(range(len(limits.inputs))),
        "width": limits.widths,
        "units": tuple(range(1, limits.max_units + 1)),
    }
    for position in range(limits.positions):
        options[f"conv{position}.active"] = one
        for axis in range(limits.dimensions):
            options[f"conv{position}.kernel{axis}"] = limits.kernels
            options[f"conv{position}.dilation{axis}"] = limits.dilations
        options[f"conv{position}.groups"] = limits.groups
        options[f"conv{position}.nonlinearity"] = if_several(limits.nonlinearities)
    options["gate"] = one if limits.gates else ()
    options["activation"] = if_several(limits.activations)
    pooled = max(limits.memory[:-1], default=0) // limits.widths[0]
    options["pooled"] = tuple(range(pooled)) if limits.pooled_reads else ()
    fields, first = {}, 0
    for name, values in options.items():
        fields[name] = Field(first, values)
        first += len(values)
    return Layout(fields)


@dataclass(frozen=True, slots=True)
class Span:
    """The cells of an op in c: rows 0 to `rows`, slices `first` to `last`, both ends exclusive."""

    rows: int
    first: int
    last: int


@dataclass(frozen=True)
class Encoding:
    """Writes architectures within `limits` as c, of shape (1, channels, N_max / N, slices).

    A slice represents `depth_compression` x N consecutive input channels of the network's 1x1 convolutions, one op
    after the other through the whole network; a row represents N output channels. An op fills as many rows as its
    output has units of N channels; the other rows are empty (-1).

    Args:
        limits: bounds of the search space.
        depth_compression: the paper's D.
    """

    limits: Limits
    depth_compression: int
    layout: Layout = dataclass_field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", layout(self.limits))

    @property
    def slice_channels(self) -> int:
        """Input channels of a slice: D x N."""
        return self.depth_compression * self.limits.base

    def spans(self, architecture: Architecture) -> list[Span]:
        """The cells of each op, in order of execution."""
        spans, first = [], 0
        for block in architecture.blocks:
            for op in block.ops:
                last = first + -(-block.channels_read(op) // self.slice_channels)
                spans.append(Span(op.units * block.width // self.limits.base, first, last))
                first = last
        return spans

    def grid_shape(self, architecture: Architecture) -> tuple[int, int]:
        """Rows and slices of c."""
        return self.limits.max_units, self.spans(architecture)[-1].last

    def encode(self, architecture: Architecture, device: torch.device | str = "cpu") -> Tensor:
        """Writes c, in a number of tensor operations that does not grow with the depth of the network.

        Returns:
            Tensor (1, channels, rows, slices) of 1 where a channel is on and -1 elsewhere.

        Raises:
            ValueError: the architecture is outside the limits.
        """
        table = on_device(self.marks, architecture, device=torch.device(device))
        rows = torch.arange(self.limits.max_units, device=device)[:, None]
        return torch.where(rows < table[-1], table[:-1, None], EMPTY)[None]

    def tables(self, architecture: Architecture) -> list[Call]:
        """The tables on the host that `encode` needs."""
        return [(self.marks, (architecture,))]

    def marks(self, architecture: Architecture) -> np.ndarray:
        """The first row of c as (channels + 1, slices), and last for each slice the rows that are filled like it.

        Raises:
            ValueError: the architecture is outside the limits.
        """
        if reason := self.limits.violation(architecture):
            raise ValueError(f"architecture {architecture.fingerprint} cannot be encoded: {reason}")
        spans = self.spans(architecture)
        marks = np.full((self.layout.channels + 1, spans[-1].last), EMPTY, dtype=np.float32)
        blocks = [(b, block) for b, block in enumerate(architecture.blocks) for _ in block.ops]
        for (b, block), op, span in zip(blocks, architecture.ops(), spans, strict=True):
            self._mark(marks, b, block, op, span)
            marks[-1, span.first : span.last] = span.rows
        return marks

    def _mark(self, marks: np.ndarray, b: int, block: Block, op: Op, span: Span) -> None:
        at = self.layout
        marks[at["start"].first, span.first] = 1
        width, per_slice = block.width, self.slice_channels
        reads = [("read", bank, width) for bank in op.read]
        reads += [("pooled", bank, block.pooled_width) for bank in op.pooled]
        begin = 0
        for name, bank, channels in reads:
            # It is channels [begin, begin + channels) of what is read: it is marked in every slice that overlaps them.
            low, high = begin // per_slice, -(-(begin + channels) // per_slice)
            marks[at[name].channel(bank), span.first + low : span.first + high] = 1
            begin += channels
        values: list[tuple[str, Any]] = [("block", b), ("width", width), ("units", span.rows)]
        values += [("write", bank) for bank in op.write]
        values += [("activation", op.activation), *([("gate", 1)] if op.meet == "gate" else [])]
        for p, path in enumerate(op.paths):
            for s, c in enumerate(path):
                name = f"conv{2 * p + s}"
                values += [(f"{name}.active", 1), (f"{name}.groups", c.groups)]
                values += [(f"{name}.nonlinearity", c.nonlinearity)]
                values += [(f"{name}.kernel{axis}", kernel) for axis, kernel in enumerate(c.kernel)]
                values += [(f"{name}.dilation{axis}", dilation) for axis, dilation in enumerate(c.dilation)]
        on = [at[name].channel(value) for name, value in values if at[name].options]
        marks[on, span.first : span.last] = 1

    def decode(self, c: Tensor) -> Architecture:
        """Reads the architecture back: `decode(encode(a)) == a`.

        Raises:
            ValueError: c is not the encoding of an architecture.
        """
        marks = c[0, :, 0].cpu().numpy() > 0
        starts = np.flatnonzero(marks[self.layout["start"].first])
        if not len(starts):
            raise ValueError("c holds no op")
        blocks: dict[int, Block] = {}
        for first, last in zip(starts, [*starts[1:], marks.shape[1]], strict=True):
            marked = np.any(marks[:, first:last], axis=1)
            b, width = self._value(marked, "block"), self._value(marked, "width")
            block = blocks.get(b, Block(width, self.limits.inputs[b] // width, ()))
            if self._values(marked, "pooled") and b - 1 in blocks:
                block = replace(block, pooled_width=blocks[b - 1].width)
            blocks[b] = replace(block, ops=(*block.ops, self._op(marked, block)))
        return Architecture(tuple(block for _, block in sorted(blocks.items())))

    def _values(self, marked: np.ndarray, name: str) -> list[Any]:
        found = self.layout[name]
        return [value for value, mark in zip(found.options, marked[found.channels], strict=True) if mark]

    def _value(self, marked: np.ndarray, name: str, otherwise: Any = None) -> Any:
        """The one value that is marked, or `otherwise` where the field has no channels."""
        (value,) = self._values(marked, name) if self.layout[name].options else [otherwise]
        return value

    def _op(self, marked: np.ndarray, block: Block) -> Op:
        outputs = self._value(marked, "units") * self.limits.base
        paths: list[list[Convolution]] = [[], []]
        for position in range(self.limits.positions):
            if self._values(marked, f"conv{position}.active"):
                paths[position // 2].append(self._convolution(marked, f"conv{position}"))
        kept = tuple(tuple(path) for path in paths if path)
        read, write, pooled = (tuple(self._values(marked, name)) for name in ("read", "write", "pooled"))
        activation = self._value(marked, "activation", self.limits.activations[0])
        meet: Meet = "gate" if self._values(marked, "gate") else "sum"
        op = Op(read, write, outputs // block.width, None, kept, activation, meet=meet, pooled=pooled)
        return replace(op, bottleneck=self.limits.bottleneck_channels(block.channels_read(op), outputs))

    def _convolution(self, marked: np.ndarray, name: str) -> Convolution:
        axes = range(self.limits.dimensions)
        kernel = tuple(self._value(marked, f"{name}.kernel{axis}") for axis in axes)
        dilation = tuple(self._value(marked, f"{name}.dilation{axis}") for axis in axes)
        nonlinearity = self._value(marked, f"{name}.nonlinearity", self.limits.nonlinearities[0])
        return Convolution(kernel, dilation, self._value(marked, f"{name}.groups"), nonlinearity)
