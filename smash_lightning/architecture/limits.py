"""Bounds on the architectures of a space, which determine the size of the encoding and of shared tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

from smash_lightning.architecture.definition import Activation, Architecture, Block, Nonlinearity, Op


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on every architecture of a space.

    Args:
        dimensions: spatial axes, 2 or 3.
        base: the paper's N, channels in a unit; every width is a multiple of it.
        max_units: the paper's N_max / N, most units of an op's output.
        inputs: channels of each block's input.
        memory: most channels of each block's banks together.
        widths: bank widths that occur, in channels, ascending.
        positions: convolutions that an op may have: 1, or 4 (two paths of two).
        kernels: kernel sizes that occur on an axis, ascending.
        dilations: dilations that occur on an axis, ascending.
        groups: channel groups that occur, ascending.
        bottleneck: most channels after the 1x1, as a multiple of the op's output channels.
        bottleneck_capped: whether the 1x1 never widens what it reads (SMASHv2) or always fills `bottleneck` (SMASHv1).
        nonlinearities: before convolutions.
        gates: whether two paths may meet in a gate.
        activations: of ops.
        pooled_reads: whether ops may read banks of the block before.
        op_norm: whether ops have BatchNorm under a HyperNet. It is the same for all ops, and so has no channel of c.
    """

    dimensions: int
    base: int
    max_units: int
    inputs: tuple[int, ...]
    memory: tuple[int, ...]
    widths: tuple[int, ...]
    positions: int
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: tuple[int, ...]
    bottleneck: int
    bottleneck_capped: bool
    nonlinearities: tuple[Nonlinearity, ...] = ("relu",)
    gates: bool = False
    activations: tuple[Activation, ...] = ("pre",)
    pooled_reads: bool = False
    op_norm: bool = False

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.memory) or not self.inputs:
            raise ValueError(f"inputs {self.inputs} and memory {self.memory} need one value for each block")
        for width in self.widths:
            if width % self.base or width > self.max_outputs:
                raise ValueError(f"bank width {width} must be a multiple of {self.base}, at most {self.max_outputs}")
            for b, (inputs, memory) in enumerate(zip(self.inputs, self.memory, strict=True)):
                if inputs % width or memory < inputs:
                    raise ValueError(
                        f"block {b}: banks of {width} channels do not fit inputs {inputs}, memory {memory}"
                    )

    @property
    def max_outputs(self) -> int:
        """The paper's N_max: most channels of an op's output."""
        return self.base * self.max_units

    @property
    def max_banks(self) -> int:
        """Most banks in a block."""
        return max(self.memory) // self.widths[0]

    @property
    def readable(self) -> tuple[int, ...]:
        """Most channels of each block's banks, together with those of the block before where ops may read them."""
        before = (0, *self.memory) if self.pooled_reads else (0,) * len(self.memory)
        return tuple(map(sum, zip(self.memory, before, strict=False)))

    def bottleneck_channels(self, inputs: int, outputs: int) -> int:
        """Channels after the 1x1 of an op with `inputs` and `outputs` channels."""
        full = self.bottleneck * outputs
        return min(inputs, full) if self.bottleneck_capped else full

    def violation(self, architecture: Architecture) -> str | None:
        """The reason why `architecture` is outside the bounds, with block and op; None if it is inside."""
        if architecture.dimensions != self.dimensions:
            return f"it is {architecture.dimensions}D, the space is {self.dimensions}D"
        if architecture.stem is not None or architecture.design is not None:
            return "what leads to its blocks is not the paper's transition"
        if len(architecture.blocks) != len(self.inputs):
            return f"it has {len(architecture.blocks)} blocks, the space has {len(self.inputs)}"
        for b, block in enumerate(architecture.blocks):
            if reason := self._block_violation(block, b):
                return f"block {b}: {reason}"
            for o, op in enumerate(block.ops):
                if reason := self._op_violation(op, block):
                    return f"block {b}, op {o}: {reason}"
        return None

    def _block_violation(self, block: Block, b: int) -> str | None:
        if block.width not in self.widths:
            return f"bank width {block.width} is not one of {list(self.widths)}"
        if block.input_channels != self.inputs[b]:
            return f"its input has {block.input_channels} channels, not {self.inputs[b]}"
        if block.pooled_width and not self.pooled_reads:
            return "its ops read banks of the block before"
        if block.channels > self.memory[b]:
            return f"its banks hold {block.channels} channels, more than {self.memory[b]}"
        return None

    def _op_violation(self, op: Op, block: Block) -> str | None:
        inputs, outputs = block.channels_read(op), op.units * block.width
        convolutions = [c for path in op.paths for c in path]
        meets = ("sum", "gate") if self.gates else ("sum",)
        given: list[tuple[str, Sequence[object], Sequence[object]]] = [
            ("activation", [op.activation], self.activations),
            ("join", [op.join], ["sum"]),
            ("meet", [op.meet], meets),
        ]
        for c in convolutions:
            given += [("kernel", c.kernel, self.kernels), ("dilation", c.dilation, self.dilations)]
            given += [("groups", [c.groups], self.groups), ("nonlinearity", [c.nonlinearity], self.nonlinearities)]
        for name, values, known in given:
            if outside := [value for value in values if value not in known]:
                return f"{name} {outside[0]} is not one of {list(known)}"
        if outputs > self.max_outputs:
            return f"its output has {outputs} channels, more than {self.max_outputs}"
        if op.bottleneck != (expected := self.bottleneck_channels(inputs, outputs)):
            return f"its 1x1 has {op.bottleneck} channels, not {expected}"
        if len(convolutions) > self.positions:
            return f"it has {len(convolutions)} convolutions, more than {self.positions}"
        return None
