"""Published networks written as memory-bank architectures (paper, section 3.2).

All are the textbook's networks except for `resnet`, of which each block is; its stem and transitions are those of the
paper's own networks. An argument that is out of range or does not fit the others is a ValueError.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, wraps
from typing import Annotated, Literal, ParamSpec

from pydantic import Field, ValidationError, validate_call
from pydantic import PositiveInt as Count

from smash_lightning.architecture import Architecture, Block, Convolution, Op
from smash_lightning.option_types import Share, message_of

KERNEL = 3
WRN_CHANNELS = 16
DENSENET_BOTTLENECK = 4
DENSENET_STEM = 2
FRACTALNET_DOUBLINGS = 3
Axes = Literal[2, 3]
Parameters = ParamSpec("Parameters")


def checked(function: Callable[Parameters, Architecture]) -> Callable[Parameters, Architecture]:
    """The function with arguments that are checked against their annotations."""
    validated, names = validate_call(config={"strict": True})(function), list(inspect.signature(function).parameters)

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Architecture:
        try:
            return validated(*args, **kwargs)
        except ValidationError as error:
            wrong = error.errors()[0]
            place = wrong["loc"][0]
            name = names[place] if isinstance(place, int) and place < len(names) else place
            raise ValueError(message_of(f"{function.__name__}: {name}", wrong["input"], error)) from None

    return call


@checked
def resnet(
    depth: Count = 16, channels: Count = 16, blocks: Count = 3, banks: Count = 1, dimensions: Axes = 2
) -> Architecture:
    """Pre-activation residual network (He et al. 2016, "Identity mappings"; Zagoruyko and Komodakis 2016).

    An op is one residual block: norm, ReLU, 3x3, norm, ReLU, 3x3, added to its input.
    The output of a block is in all its banks.
    """
    ops = _ops_per_block("resnet", depth, blocks, blocks + 1)
    every = tuple(range(banks))
    convolution = _convolution(dimensions)
    op = Op(every, every, banks, bottleneck=None, paths=((convolution, convolution),))
    widths = _bank_widths("resnet", channels, blocks, banks)
    return Architecture(tuple(Block(width, banks, (op,) * ops) for width in widths))


@checked
def wrn(depth: Count = 16, width: Count = 2, dimensions: Axes = 2) -> Architecture:
    """Wide residual network under its published name: WRN-40-4 is `wrn(40, 4)`.

    The first residual block of each group, which changes the number of channels, is the way to the group's block.
    """
    _ops_per_block("wrn", depth, 3, 4, least=2)  # with one, there are no blocks of one size
    return Architecture(resnet(depth - 6, WRN_CHANNELS * width, dimensions=dimensions).blocks, stem=WRN_CHANNELS)


@checked
def densenet(
    depth: Count = 40, growth: Count = 12, blocks: Count = 3, compression: Share = 0.5, dimensions: Axes = 2
) -> Architecture:
    """DenseNet-BC (Huang et al. 2017): DenseNet-BC-100 with growth 12 is `densenet(100, 12)`.

    An op reads all banks before it (norm, ReLU, 1x1 to four times the growth, norm, ReLU, 3x3) and fills the next ones.
    The output of a block is in all its banks. The stem gives twice the growth; a transition keeps the share
    `compression` of the channels, rounded down. Banks are as wide as this permits, the growth or a divisor of it.
    """
    paths = ((_convolution(dimensions),),)
    ops, bottleneck = _ops_per_block("densenet", depth, blocks, blocks + 1), DENSENET_BOTTLENECK * growth
    channels, built = DENSENET_STEM * growth, []
    for _ in range(blocks):
        width = math.gcd(channels, growth)
        inputs, units = channels // width, growth // width
        first = (inputs + op * units for op in range(ops))
        layers = (Op(tuple(range(new)), tuple(range(new, new + units)), units, bottleneck, paths) for new in first)
        built.append(Block(width, inputs, tuple(layers)))
        channels = max(1, int(compression * (channels + ops * growth)))
    return Architecture(tuple(built))


@checked
def fractalnet(
    columns: Annotated[int, Field(ge=2, le=8)] = 3, channels: Count = 16, blocks: Count = 3, dimensions: Axes = 2
) -> Architecture:
    """FractalNet (Larsson et al. 2017): f_1 = conv, f_{C+1} = join(f_C after f_C, conv), one f_C for each block.

    That of 21 layers is `fractalnet(3, 64, 5)`. A conv is a convolution, norm and ReLU, a join is the mean, and max
    pooling follows each block. Channels double from block to block, up to the fourth.

    A block is 2^(C-1) convs deep, and each of these depths has a bank: an op is a conv that reads the bank of the depth
    where it starts and writes to that where it ends, which is the mean of all of them: joins that directly follow each
    other are one. The C convs that read the input of the block are one convolution before it, to its input banks; the
    first of these is that of the last depth, the block's output.
    """
    bank = {2**depth: columns - 1 - depth for depth in range(columns)}
    paths, ops = ((_convolution(dimensions),),), []
    for begin, end in _fractal(columns, 0):
        if begin:
            write = bank.setdefault(end, len(bank))
            ops.append(Op((bank[begin],), (write,), 1, bottleneck=None, paths=paths, activation="post", join="mean"))
    widths = (channels * 2 ** min(b, FRACTALNET_DOUBLINGS) for b in range(blocks))
    return Architecture(tuple(Block(width, columns, tuple(ops)) for width in widths), design="fractalnet")


@checked
def fractalnet_doubling(
    columns: Annotated[int, Field(ge=2, le=8)] = 3, channels: Count = 16, blocks: Count = 3, dimensions: Axes = 2
) -> Architecture:
    """FractalNet of which the channels double by a 1x1 convolution, norm and ReLU before each wider block.

    In `fractalnet`, all convolutions that read a block's input double them. Larsson et al. 2017 do not describe this
    layer; of 21 layers, the network here is the one with the published 38.6M parameters (Huang et al. 2017, table 2).
    """
    return replace(fractalnet(columns, channels, blocks, dimensions), design="fractalnet-doubling")


@checked
def shake(depth: Count = 14, channels: Count = 16, dimensions: Axes = 2) -> Architecture:
    """Shake-Shake (Gastaldi 2017): that of 26 2x96d is `shake(26, 96)`.

    An op is one residual block of two paths: ReLU, 3x3, norm, ReLU, 3x3, norm, of which the mean is added to its input;
    `retrain.shake` makes it a random one. The first residual block of each group is the way to the group's block.
    """
    ops = _ops_per_block("shake", depth, 3, 2, least=2)
    paths = ((_convolution(dimensions),) * 2,) * 2
    op = Op((0,), (0,), 1, bottleneck=None, paths=paths, activation="split", meet="mean")
    blocks = tuple(Block(channels * 2**b, 1, (op,) * (ops - 1)) for b in range(3))
    return Architecture(blocks, WRN_CHANNELS, "shake-shake")


def _fractal(columns: int, begin: int) -> Iterator[tuple[int, int]]:
    """First and last depth of each conv of f_columns, in order of execution."""
    depth = 2 ** (columns - 1)
    if columns > 1:
        yield from _fractal(columns - 1, begin)
        yield from _fractal(columns - 1, begin + depth // 2)
    yield begin, begin + depth


def _convolution(dimensions: int) -> Convolution:
    return Convolution((KERNEL,) * dimensions, (1,) * dimensions)


def _ops_per_block(preset: str, depth: int, blocks: int, others: int, least: int = 1) -> int:
    """Ops of each block in a network of `depth` layers: two for each op, and `others`."""
    ops, remainder = divmod(depth - others, 2 * blocks)
    if ops < least or remainder:
        examples = ", ".join(str(2 * blocks * (least + more) + others) for more in range(3))
        raise ValueError(
            f"{preset}: depth {depth} does not fit {blocks} blocks: use {2 * blocks}n + {others}, n of at least {least}"
            f" ({examples}, ...)"
        )
    return ops


def _bank_widths(preset: str, channels: int, blocks: int, banks: int) -> list[int]:
    if channels % banks:
        raise ValueError(
            f"{preset}: {channels} channels cannot be spread over {banks} banks: use a multiple of {banks}"
        )
    return [channels // banks * 2**b for b in range(blocks)]


PRESETS: dict[str, Callable[..., Architecture]] = {
    "resnet": resnet,
    "wrn": wrn,
    "densenet": densenet,
    "fractalnet": fractalnet,
    "fractalnet-doubling": fractalnet_doubling,
    "shake": shake,
}
"""The presets by name; each can be called without arguments for a small network."""


ALIASES = {"densenet-bc": "densenet", "shake-shake": "shake"}


def preset(name: str) -> Callable[..., Architecture]:
    """The function of a preset by its name, with the sizes in it as first arguments: wrn-16-2, shake-shake-26-96.

    Raises:
        ValueError: there is no such preset, or it has fewer arguments.
    """
    base, *sizes = re.split(r"-(?=\d)", name)
    base = ALIASES.get(base, base)
    known = base in PRESETS and len(sizes) < len(inspect.signature(PRESETS[base]).parameters)  # not `dimensions`
    if not known or not all(size.isdecimal() and int(size) for size in sizes):
        raise ValueError(
            f"no such preset: choose one of {', '.join(PRESETS)}, with sizes as in wrn-16-2 or densenet-bc-40-12"
        )
    return partial(PRESETS[base], *map(int, sizes))
