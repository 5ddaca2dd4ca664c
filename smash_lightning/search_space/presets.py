"""Published networks written as memory-bank architectures (paper, section 3.2).

Each block is the textbook's; stem, transitions and classifier are those of `ImageSpec`, the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from smash_lightning.architecture import Architecture, Block, Convolution, Op

KERNEL = 3
WRN_CHANNELS = 16
DENSENET_BOTTLENECK = 4
DENSENET_STEM = 2


def resnet(depth: int = 16, channels: int = 16, blocks: int = 3, banks: int = 1, dimensions: int = 2) -> Architecture:
    """Pre-activation residual network (He et al. 2016, "Identity mappings"; Zagoruyko and Komodakis 2016).

    An op is one residual block: norm, ReLU, 3x3, norm, ReLU, 3x3, added to its input.
    The output of a block is in all its banks.

    Args:
        depth: stem, two convolutions an op, transitions and classifier: 6n + 4 for n ops in each of three blocks.
        channels: channels of the first block; each later block has twice as many.
        blocks: number of blocks.
        banks: banks over which the channels of a block are spread.
        dimensions: spatial axes, 2 or 3.

    Raises:
        ValueError: an argument is not a whole number from 1, or two do not fit each other.
    """
    _check("resnet", channels=channels, banks=banks)
    ops = _ops_per_block("resnet", depth, blocks)
    every = tuple(range(banks))
    convolution = _convolution("resnet", dimensions)
    op = Op(every, every, banks, bottleneck=None, paths=((convolution, convolution),))
    widths = _bank_widths("resnet", channels, blocks, banks)
    return Architecture(tuple(Block(width, banks, (op,) * ops) for width in widths))


def wrn(depth: int = 16, width: int = 2, dimensions: int = 2) -> Architecture:
    """Wide residual network under its published name: WRN-40-4 is `wrn(40, 4)`.

    Args:
        depth: 6n + 4 for n residual blocks in each of the three blocks.
        width: widening factor; the blocks have 16, 32 and 64 times as many channels.
        dimensions: spatial axes, 2 or 3.

    Raises:
        ValueError: an argument is not a whole number from 1, or the depth is not 6n + 4.
    """
    _check("wrn", width=width)
    _ops_per_block("wrn", depth, 3)
    return resnet(depth, WRN_CHANNELS * width, dimensions=dimensions)


def densenet(
    depth: int = 40, growth: int = 12, blocks: int = 3, compression: float = 0.5, dimensions: int = 2
) -> Architecture:
    """DenseNet-BC (Huang et al. 2017): DenseNet-BC-100 with growth 12 is `densenet(100, 12)`.

    An op reads all banks before it (norm, ReLU, 1x1 to four times the growth, norm, ReLU, 3x3) and fills the next one.
    The output of a block is in all its banks. The stem gives two banks; a transition keeps the share `compression`
    of the banks, rounded down to whole banks where the textbook rounds down to whole channels.

    Args:
        depth: stem, two convolutions an op, transitions and classifier: 6n + 4 for n ops in each of three blocks.
        growth: channels that an op adds, which is the width of a bank.
        blocks: number of blocks.
        compression: share of the banks that a transition keeps, above 0 and at most 1.
        dimensions: spatial axes, 2 or 3.

    Raises:
        ValueError: an argument is out of range, or depth and blocks do not fit each other.
    """
    _check("densenet", growth=growth)
    if not 0 < compression <= 1:
        raise ValueError(f"densenet: compression must be above 0 and at most 1, got {compression!r}")
    paths = ((_convolution("densenet", dimensions),),)
    ops, bottleneck = _ops_per_block("densenet", depth, blocks), DENSENET_BOTTLENECK * growth
    inputs, built = DENSENET_STEM, []
    for _ in range(blocks):
        banks = inputs + ops
        layers = tuple(Op(tuple(range(new)), (new,), 1, bottleneck, paths) for new in range(inputs, banks))
        built.append(Block(growth, inputs, layers))
        inputs = max(1, int(compression * banks))
    return Architecture(tuple(built))


def fractalnet(
    columns: int = 3, channels: int = 16, blocks: int = 3, banks: int = 1, dimensions: int = 2
) -> Architecture:
    """FractalNet (Larsson et al. 2017): f_1 = conv, f_{C+1} = join(f_C after f_C, conv), one f_C for each block.

    An op is one conv: convolution, norm, ReLU. A block of C columns is 2^(C-1) convs deep, and each of these depths
    has one group of banks: a conv reads the group of the depth where it starts, and writes to that where it ends.
    So convs that end at the same depth write to one group, which is their mean, as in the paper's figure: joins that
    directly follow each other are one join of all their columns. Ops run by the depth at which they end, and there
    from the shortest column to the longest. The output of a block is in its last `banks` banks; the groups before it
    hold the inner joins, and before these the block's input.

    Args:
        columns: C, at least 1.
        channels: channels of the first block's columns; each later block has twice as many.
        blocks: number of blocks; the network has blocks x 2^(C-1) convs on its longest path.
        banks: banks in a group, over which the channels of a column are spread.
        dimensions: spatial axes, 2 or 3.

    Raises:
        ValueError: an argument is not a whole number from 1, or the channels cannot be spread over the banks.
    """
    _check("fractalnet", columns=columns, channels=channels, blocks=blocks, banks=banks)
    paths = ((_convolution("fractalnet", dimensions),),)

    def group(depth: int) -> tuple[int, ...]:
        return tuple(range(depth * banks, (depth + 1) * banks))

    ops = tuple(
        Op(group(begin), group(end), banks, bottleneck=None, paths=paths, activation="post", join="mean")
        for begin, end in _fractal(columns, 0)
    )
    widths = _bank_widths("fractalnet", channels, blocks, banks)
    return Architecture(tuple(Block(width, banks, ops) for width in widths))


def _fractal(columns: int, begin: int) -> Iterator[tuple[int, int]]:
    """First and last depth of each conv of f_columns, in order of execution."""
    depth = 2 ** (columns - 1)
    if columns > 1:
        yield from _fractal(columns - 1, begin)
        yield from _fractal(columns - 1, begin + depth // 2)
    yield begin, begin + depth


def _convolution(preset: str, dimensions: int) -> Convolution:
    if dimensions not in (2, 3):
        raise ValueError(f"{preset}: dimensions must be 2 or 3, got {dimensions!r}")
    return Convolution((KERNEL,) * dimensions, (1,) * dimensions)


def _ops_per_block(preset: str, depth: int, blocks: int) -> int:
    _check(preset, depth=depth, blocks=blocks)
    slope, offset = 2 * blocks, blocks + 1
    ops, remainder = divmod(depth - offset, slope)
    if ops < 1 or remainder:
        examples = f"{slope + offset}, {2 * slope + offset}, {3 * slope + offset}"
        raise ValueError(
            f"{preset}: depth {depth} does not fit {blocks} blocks: use {slope}n + {offset} ({examples}, ...)"
        )
    return ops


def _bank_widths(preset: str, channels: int, blocks: int, banks: int) -> list[int]:
    if channels % banks:
        raise ValueError(
            f"{preset}: {channels} channels cannot be spread over {banks} banks: use a multiple of {banks}"
        )
    return [channels // banks * 2**b for b in range(blocks)]


def _check(preset: str, **counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{preset}: {name} must be a whole number from 1, got {value!r}")


PRESETS: Mapping[str, Callable[..., Architecture]] = MappingProxyType(
    {"resnet": resnet, "wrn": wrn, "densenet": densenet, "fractalnet": fractalnet}
)
"""The presets by name; each can be called without arguments for a small network."""
