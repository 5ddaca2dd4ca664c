"""An architecture as a value: memory banks, and the ops that read and write them (paper, section 3.2)."""

import hashlib
import itertools
import json
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NotRequired, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from smash_lightning.files import parse, read_text

Nonlinearity = Literal["relu", "tanh", "sigmoid"]
Activation = Literal["pre", "post", "split"]
Meet = Literal["sum", "mean", "gate"]
Design = Literal["fractalnet", "fractalnet-doubling", "shake-shake"]
Number = Annotated[int, Field(le=65_536)]  # of an architecture in a file, as larger sizes are none


@dataclass(frozen=True, slots=True)
class Convolution:
    """One k x k convolution of an op: kernel and dilation per spatial axis, and channel groups.

    The nonlinearity is before it, or after it where the op has post-activation.
    """

    kernel: tuple[Number, ...]
    dilation: tuple[Number, ...]
    groups: Number = 1
    nonlinearity: Annotated[Nonlinearity, Field(exclude_if=lambda value: value == "relu")] = "relu"


@dataclass(frozen=True, slots=True)
class Op:
    """Reads banks, transforms them, adds the result to banks (paper, figure 2).

    Args:
        read: banks that are read, in ascending order; they are concatenated on channels in this order.
        write: banks that are written, in ascending order. Bank `write[j]` receives output slice `j mod units`.
        units: width of the output, in banks.
        bottleneck: channels after the leading 1x1 convolution; None where there is none.
        paths: one or two parallel paths of one or two convolutions.
        activation: "pre" (norm and ReLU before a convolution, as in the paper), "post" (after it, as in FractalNet), or
            "split" (ReLU before it and norm after it, as in Shake-Shake).
        join: how the output is combined with the content of a bank: "sum", or "mean" over all writes to the bank.
        meet: how the outputs of two paths are combined: "sum", "mean" as in Shake-Shake, or "gate", the hyperbolic
            tangent of the first times the sigmoid of the second.
        pooled: banks of the block before that are read as well, by average pooling to half their resolution, in
            ascending order; they follow those in `read`.
    """

    read: tuple[Number, ...]
    write: tuple[Number, ...]
    units: Number
    bottleneck: Number | None
    paths: tuple[tuple[Convolution, ...], ...]
    activation: Activation = "pre"
    join: Literal["sum", "mean"] = "sum"
    meet: Annotated[Meet, Field(exclude_if=lambda value: value == "sum")] = "sum"
    pooled: Annotated[tuple[Number, ...], Field(exclude_if=lambda value: not value)] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Ops over one set of banks, at one resolution.

    Args:
        width: channels in a bank.
        inputs: banks that hold the block's input; the ops fill the others.
        ops: in order of execution.
        pooled_width: channels in a bank of the block before, where an op reads its banks; 0 where none does.
    """

    width: Number
    inputs: Number
    ops: tuple[Op, ...]
    pooled_width: Annotated[Number, Field(exclude_if=lambda value: value == 0)] = 0

    @property
    def banks(self) -> int:
        """Banks that are filled when the block ends."""
        return max([self.inputs] + [op.write[-1] + 1 for op in self.ops])

    @property
    def input_channels(self) -> int:
        """Channels of the block's input."""
        return self.inputs * self.width

    @property
    def channels(self) -> int:
        """Channels of the block's output: all its filled banks."""
        return self.banks * self.width

    def channels_read(self, op: Op) -> int:
        """Channels that one of the ops reads."""
        return len(op.read) * self.width + len(op.pooled) * self.pooled_width


@dataclass(frozen=True, slots=True)
class Architecture:
    """Blocks at successively halved resolution.

    Args:
        blocks: in order of execution.
        stem: None for the paper's transitions: the stem's output is the first block's input, and a 1x1 convolution and
            average pooling lead to each next block. Or the channels of the stem of a wide residual network (Zagoruyko
            and Komodakis 2016), in which a residual block with a 1x1 convolution as its shortcut leads to every block,
            with stride 2 from the second one on.
        design: what is between the blocks, where it is not the above: "fractalnet" (Larsson et al. 2017: a
            convolution with norm and ReLU leads to each block, and the first bank of a block is its output, followed by
            max pooling), "fractalnet-doubling" (the same with a 1x1 convolution, norm and ReLU before that convolution
            where the next block has other channels), or "shake-shake" (Gastaldi 2017: like a wide residual network,
            with two residual paths, of which the mean is taken, and a shortcut of two 1x1 convolutions).

    Raises:
        ValueError: the description is inconsistent; the message has block, op and fault.
    """

    blocks: tuple[Block, ...]
    stem: int | None = None
    design: Design | None = None

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("an architecture needs at least one block")
        if self.stem is not None and self.stem < 1:
            raise ValueError(f"the stem must have at least 1 channel, got {self.stem}")
        if self.design is not None and (self.design == "shake-shake") != (self.stem is not None):
            raise ValueError(f"design {self.design}: a stem is given for shake-shake, and not for fractalnet")
        axes = {len(c.kernel) for op in self.ops() for path in op.paths for c in path}
        if not axes <= {2} and not axes <= {3}:
            raise ValueError(f"convolutions must all be 2D or all 3D, found kernels with {short(sorted(axes))} axes")
        for b, block in enumerate(self.blocks):
            _check_block(block, f"block {b}")
            self._check_pooled(b, block)

    def _check_pooled(self, b: int, block: Block) -> None:
        banks, before = {bank for op in block.ops for bank in op.pooled}, self.blocks[b - 1]
        if (banks or block.pooled_width) and (b == 0 or self.stem is not None or self.design is not None):
            raise ValueError(f"block {b}: only ops after a transition as in the paper read banks of the block before")
        if block.pooled_width != (expected := before.width if banks else 0):
            raise ValueError(f"block {b}: pooled_width is {block.pooled_width}, not {expected}")
        if banks and max(banks) >= before.banks:
            raise ValueError(f"block {b}: reads bank {max(banks)} of block {b - 1}, which has {before.banks}")

    @property
    def dimensions(self) -> int:
        """Spatial axes: 2 or 3."""
        return next(len(c.kernel) for op in self.ops() for path in op.paths for c in path)

    def ops(self) -> Iterator[Op]:
        """Every op, in order of execution."""
        return (op for block in self.blocks for op in block.ops)

    def inflated(self) -> "Architecture":
        """A 2D architecture in three dimensions: 3 x 5 kernels become 3 x 3 x 5 (Carreira and Zisserman 2017).

        The new axis is the first one. With the weights of two dimensions in the middle of each kernel along it, and
        zeros elsewhere, the outputs for volumes of equal slices are those for one slice.
        """

        def convolution(c: Convolution) -> Convolution:
            return replace(c, kernel=c.kernel[:1] + c.kernel, dilation=c.dilation[:1] + c.dilation)

        def op(op: Op) -> Op:
            return replace(op, paths=tuple(tuple(map(convolution, path)) for path in op.paths))

        return replace(self, blocks=tuple(replace(each, ops=tuple(map(op, each.ops))) for each in self.blocks))

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify this architecture: equal values have equal fingerprints."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """One line of JSON, the same for equal architectures."""
        plain: _Json = {"format": 1, "blocks": self.blocks}
        if self.stem is not None:
            plain["stem"] = self.stem
        if self.design is not None:
            plain["design"] = self.design
        return _JSON.dump_json(plain).decode()

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Inverse of `to_json`.

        Raises:
            ValueError: not JSON, a missing or unknown key, a wrong type, or an impossible architecture.
        """
        try:
            plain = _JSON.validate_json(text, strict=True)
            parse(text)  # which refuses keys that occur twice
            return cls(plain["blocks"], plain.get("stem"), plain.get("design"))
        except ValidationError as error:
            fault = error.errors(include_input=False, include_context=False, include_url=False)[0]
            where = ".".join(repr(part).strip("'")[:40] for part in fault["loc"]) or "JSON"
            raise ValueError(f"architecture: {where}: {fault['msg']}") from None


def load_architecture(path: str | Path, dimensions: int = 2) -> Architecture:
    """Reads the architecture that a JSON file is, or has as `architecture`, as the file of a search that diverged.

    One of two dimensions is inflated where `dimensions` is 3.

    Raises:
        ValueError: the file is missing or holds no architecture; the message has its path.
    """
    text = read_text(Path(path))
    try:
        if '"architecture"' in text:
            text = json.dumps(parse(text)["architecture"])
        architecture = Architecture.from_json(text)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return architecture.inflated() if architecture.dimensions < dimensions else architecture


def _check_block(block: Block, where: str) -> None:
    if block.width < 1 or block.inputs < 1:
        raise ValueError(f"{where}: width ({block.width}) and inputs ({block.inputs}) must be at least 1")
    if not block.ops:
        raise ValueError(f"{where}: needs at least one op")
    filled: set[int] = set()  # banks that are no input; a set of the inputs could be larger than any memory
    for o, op in enumerate(block.ops):
        _check_op(op, block, filled, f"{where}, op {o}")
        filled |= {bank for bank in op.write if bank >= block.inputs}
    if len(filled) < block.banks - block.inputs:
        missing = next(bank for bank in itertools.count(block.inputs) if bank not in filled)
        raise ValueError(f"{where}: bank {missing} is never filled, though bank {block.banks - 1} is")


def _check_op(op: Op, block: Block, filled: set[int], where: str) -> None:
    for name, banks in (("read", op.read), ("write", op.write), ("pooled", op.pooled)):
        if not (banks or name == "pooled") or list(banks) != sorted(set(banks)) or min(banks, default=0) < 0:
            raise ValueError(f"{where}: {name} must list banks in ascending order, once each, got {short(banks)}")
    if empty := [bank for bank in op.read if bank >= block.inputs and bank not in filled]:
        raise ValueError(f"{where}: reads bank {empty[0]}, which is not filled yet")
    if not 1 <= op.units <= len(op.write):
        raise ValueError(f"{where}: has {op.units} units for {len(op.write)} written banks; needs 1 to {len(op.write)}")
    if op.bottleneck is not None and op.bottleneck < 1:
        raise ValueError(f"{where}: bottleneck must be at least 1 channel, or null for no 1x1 convolution")
    for name, known in (("activation", get_args(Activation)), ("join", ("sum", "mean")), ("meet", get_args(Meet))):
        _require_known(name, getattr(op, name), known, where)
    if not 1 <= len(op.paths) <= 2 or not all(1 <= len(path) <= 2 for path in op.paths):
        raise ValueError(f"{where}: needs one or two paths of one or two convolutions each")
    if len(op.paths) == 2 and len(op.paths[0]) < len(op.paths[1]):
        raise ValueError(f"{where}: the longer path comes first")
    if len(op.paths) == 1 and op.meet != "sum":
        raise ValueError(f"{where}: one path has nothing to meet by {op.meet}")
    outputs = op.units * block.width
    for path in op.paths:
        channels = block.channels_read(op) if op.bottleneck is None else op.bottleneck
        for convolution in path:
            _check_convolution(convolution, channels, outputs, where)
            channels = outputs


def _require_known(name: str, value: str, known: Sequence[str], where: str) -> None:
    if value not in known:
        raise ValueError(f"{where}: {name} must be one of {', '.join(known)}, got {value!r}")


def _check_convolution(convolution: Convolution, inputs: int, outputs: int, where: str) -> None:
    _require_known("nonlinearity", convolution.nonlinearity, get_args(Nonlinearity), where)
    if len(convolution.kernel) != len(convolution.dilation):
        kernel, dilation = short(convolution.kernel), short(convolution.dilation)
        raise ValueError(f"{where}: kernel {kernel} and dilation {dilation} differ in axes")
    if any(k < 1 or k % 2 == 0 for k in convolution.kernel):
        raise ValueError(f"{where}: kernel sizes must be odd, got {short(convolution.kernel)}")
    if any(d < 1 for d in convolution.dilation):
        raise ValueError(f"{where}: dilations must be at least 1, got {short(convolution.dilation)}")
    if convolution.groups < 1 or inputs % convolution.groups or outputs % convolution.groups:
        raise ValueError(f"{where}: {convolution.groups} groups do not divide {inputs} inputs and {outputs} outputs")


def short(numbers: Sequence[int]) -> str:
    """The first of many numbers, for a message."""
    return reprlib.repr(list(numbers))


@with_config(ConfigDict(extra="forbid"))
class _Json(TypedDict):
    """The JSON of an architecture."""

    format: Annotated[int, Field(ge=1, le=1)]  # a literal would equal true and 1.0
    blocks: tuple[Block, ...]
    stem: NotRequired[Number]
    design: NotRequired[Design]


_JSON = TypeAdapter(_Json)
