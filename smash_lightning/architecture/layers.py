"""The table of an architecture's layers: names, shapes and sizes.

Network, HyperNet, cost and drawing are all computed from it.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from smash_lightning.architecture.definition import Architecture, Block, Meet, Nonlinearity, Op

STEM_KERNEL = 3
FRACTAL = ("fractalnet", "fractalnet-doubling")  # designs


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Everything around the blocks: the image, the stem and the classifier.

    Args:
        channels: channels of the image.
        size: spatial size of the image in pixels, one value per axis (two axes or three).
        classes: outputs of the classifier.
        stem_stride: 2 halves the resolution in the stem (the paper's STL-10), 1 keeps it.
    """

    channels: int
    size: tuple[int, ...]
    classes: int
    stem_stride: int = 1

    @property
    def dimensions(self) -> int:
        """Spatial axes: 2 or 3."""
        return len(self.size)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with parameters. `size` is the spatial size of its output."""

    name: str
    kind: Literal["convolution", "norm", "linear"]
    inputs: int
    outputs: int
    size: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    stride: int = 1

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter tensor."""
        if self.kind == "convolution":
            return {f"{self.name}.weight": (self.outputs, self.inputs // self.groups, *self.kernel)}
        weight = (self.outputs,) if self.kind == "norm" else (self.outputs, self.inputs)
        return {f"{self.name}.weight": weight, f"{self.name}.bias": (self.outputs,)}

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image; those of norms and additions are not counted, as usual."""
        if self.kind == "norm":
            return 0
        return self.outputs * (self.inputs // self.groups) * math.prod(self.kernel) * math.prod(self.size)


@dataclass(frozen=True, slots=True)
class Stage:
    """A convolution, a norm if it is not None, and a nonlinearity if it is not None."""

    convolution: Layer
    norm: Layer | None
    nonlinearity: Nonlinearity | None


@dataclass(frozen=True, slots=True)
class OpLayers:
    """The layers of one op; iteration is flat.

    `entry` is a norm before all else; what the paths read is activated by a ReLU, or by `starts`, one for each.
    """

    entry: Layer | None
    pointwise: Stage | None
    paths: tuple[tuple[Stage, ...], ...]
    starts: tuple[Nonlinearity, ...]
    meet: Meet

    def __iter__(self) -> Iterator[Layer]:
        if self.entry is not None:
            yield self.entry
        first = () if self.pointwise is None else (self.pointwise,)
        yield from _of_stages((*first, *(stage for path in self.paths for stage in path)))


@dataclass(frozen=True, slots=True)
class Transition:
    """To the next block: a convolution of the pooled input; or of the input, added to the mean of `residual` paths.

    With a `norm` after the convolution, pooling is by the maximum, `doubling` precedes the convolution if it is not
    None, and a ReLU follows; or, with paths, the convolution reads the input and the input shifted by one pixel.
    """

    shortcut: Layer
    residual: tuple[tuple[Stage, ...], ...] = ()
    norm: Layer | None = None
    doubling: Stage | None = None

    def __iter__(self) -> Iterator[Layer]:
        before = () if self.doubling is None else (self.doubling,)
        yield from _of_stages((*before, Stage(self.shortcut, self.norm, None), *itertools.chain(*self.residual)))


@dataclass(frozen=True, slots=True)
class BlockLayers:
    """The layers of one block, or of a stem with a norm; the last block has no transition.

    Blocks of FractalNet and Shake-Shake end without a norm. `outputs` is the number of channels that a block keeps.
    """

    ops: tuple[OpLayers, ...]
    norm: Layer | None
    transition: Transition | None
    outputs: int

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size of the block."""
        return self.ops[0].paths[0][0].convolution.size


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers of a network, nested as they are executed; iteration is flat, in that order.

    `entry` is what follows the stem where the design is not the paper's; `pooled` whether max pooling precedes the
    head.
    """

    stem: Layer
    entry: BlockLayers | None
    blocks: tuple[BlockLayers, ...]
    head: Layer
    pooled: bool

    def __iter__(self) -> Iterator[Layer]:
        yield self.stem
        for block in self.blocks if self.entry is None else (self.entry, *self.blocks):
            for op in block.ops:
                yield from op
            if block.norm is not None:
                yield block.norm
            if block.transition is not None:
                yield from block.transition
        yield self.head

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter tensor of the network."""
        return {name: shape for layer in self for name, shape in layer.parameters.items()}


@lru_cache(maxsize=512)
def layers(architecture: Architecture, image_spec: ImageSpec, op_norm: bool) -> Layers:
    """The table of an architecture's layers.

    Args:
        architecture: what to lay out.
        image_spec: image, stem and classifier around it.
        op_norm: whether ops have BatchNorm. They have it in a standalone network (the first two convolutions in series
            are normalized, as in the paper), but under a HyperNet only as an option of the space, as its statistics
            cannot be generated.

    Raises:
        ValueError: the images are too small for so many blocks, or have other axes than the architecture.
    """
    if architecture.dimensions != image_spec.dimensions:
        raise ValueError(f"a {architecture.dimensions}D architecture cannot read images of size {image_spec.size}")
    size = tuple((s - 1) // image_spec.stem_stride + 1 for s in image_spec.size)
    blocks, residual, design = architecture.blocks, architecture.stem is not None, architecture.design
    channels = architecture.stem or blocks[0].input_channels
    stem = _convolution("stem", image_spec.channels, channels, size, STEM_KERNEL, image_spec.stem_stride)
    fractal, shake = design in FRACTAL, design == "shake-shake"
    entry = None
    if residual or fractal:
        first = _residual("stem", channels, blocks[0].input_channels, size, 1, shake) if residual else None
        entry = BlockLayers((), _norm("stem.norm", channels, size), first, channels)
    table = []
    for b, block in enumerate(blocks):
        ops = tuple(_op_layers(op, block, size, f"block{b}.op{o}", op_norm) for o, op in enumerate(block.ops))
        kept = block.width if fractal else block.channels
        norm = _norm(f"block{b}.norm", kept, size) if design is None else None
        transition: Transition | None = None
        if b + 1 < len(blocks) or fractal:
            size = tuple((s + residual) // 2 for s in size)
        if b + 1 < len(blocks):
            name, outputs = f"block{b}", blocks[b + 1].input_channels
            if residual:
                transition = _residual(name, kept, outputs, size, 2, shake)
            elif fractal:
                inputs = blocks[b + 1].width if design == "fractalnet-doubling" else kept
                wider = inputs != kept
                doubling = _stage(_convolution(f"{name}.doubling", kept, inputs, size, 1)) if wider else None
                made = _stage(_convolution(f"{name}.transition", inputs, outputs, size, STEM_KERNEL))
                transition = Transition(made.convolution, (), made.norm, doubling)
            else:
                transition = Transition(_convolution(f"{name}.transition", kept, outputs, size, 1))
        table.append(BlockLayers(ops, norm, transition, kept))
    if not all(size):
        raise ValueError(f"images of size {image_spec.size} are too small for {len(blocks)} blocks: use fewer blocks")
    head = Layer("head", "linear", table[-1].outputs, image_spec.classes)
    return Layers(stem, entry, tuple(table), head, fractal)


def _of_stages(stages: Iterable[Stage]) -> Iterator[Layer]:
    for stage in stages:
        yield stage.convolution
        if stage.norm is not None:
            yield stage.norm


def _convolution(name: str, inputs: int, outputs: int, size: tuple[int, ...], kernel: int, stride: int = 1) -> Layer:
    """A convolution outside ops, or the 1x1 convolution of an op."""
    axes = len(size)
    return Layer(name, "convolution", inputs, outputs, size, (kernel,) * axes, (1,) * axes, stride=stride)


def _norm(name: str, channels: int, size: tuple[int, ...]) -> Layer:
    return Layer(name, "norm", channels, channels, size)


def _stage(layer: Layer, normalized: bool = True, last: bool = False) -> Stage:
    """A convolution outside ops, with a ReLU unless it is the last one of a path."""
    norm = _norm(f"{layer.name}_norm", layer.outputs, layer.size) if normalized else None
    return Stage(layer, norm, None if last else "relu")


def _residual(name: str, inputs: int, outputs: int, size: tuple[int, ...], stride: int, shake: bool) -> Transition:
    """The first residual block of a group, after its ReLU, and norm where it has one: with one path, or two (shake)."""
    shortcut = _convolution(f"{name}.transition", inputs, outputs, size, 1, stride)
    paths = []
    for p in range(1 + shake):
        first = _convolution(f"{name}.conv{2 * p}", inputs, outputs, size, STEM_KERNEL, stride)
        second = _convolution(f"{name}.conv{2 * p + 1}", outputs, outputs, size, STEM_KERNEL)
        paths.append((_stage(first), _stage(second, shake, last=True)))
    if not shake:
        return Transition(shortcut, tuple(paths))
    shortcut = replace(shortcut, inputs=2 * inputs, groups=2)
    return Transition(shortcut, tuple(paths), _norm(f"{shortcut.name}_norm", outputs, size))


def _op_layers(op: Op, block: Block, size: tuple[int, ...], name: str, op_norm: bool) -> OpLayers:
    """The layers of an op of `block` on images of `size`, with names that begin with `name`."""
    inputs, outputs = block.channels_read(op), op.units * block.width
    post, split = op.activation == "post", op.activation == "split"

    def norm(where: str, channels: int, present: bool) -> Layer | None:
        return _norm(f"{name}.{where}", channels, size) if op_norm and present else None

    entry = norm("entry", inputs, op.activation == "pre")
    starts = tuple(path[0].nonlinearity for path in op.paths)
    starts = starts if split or (not post and {*starts} != {"relu"}) else ()
    pointwise, channels = None, inputs
    if op.bottleneck is not None:
        channels = op.bottleneck
        layer = _convolution(f"{name}.pointwise", inputs, channels, size, 1)
        pointwise = Stage(layer, norm("pointwise_norm", channels, True), None if starts else "relu")
    paths = []
    for p, path in enumerate(op.paths):
        stages: list[Stage] = []
        for s, c in enumerate(path):
            last = s + 1 == len(path)
            where = f"conv{2 * p + s}"
            before = outputs if s else channels
            layer = Layer(f"{name}.{where}", "convolution", before, outputs, size, c.kernel, c.dilation, c.groups)
            normalized = post or split or (pointwise is None and not last)
            after = c.nonlinearity if post else None if last else path[s + 1].nonlinearity
            stages.append(Stage(layer, norm(f"{where}_norm", outputs, normalized), after))
        paths.append(tuple(stages))
    return OpLayers(entry, pointwise, tuple(paths), starts, op.meet)


@dataclass(frozen=True, slots=True)
class Cost:
    """Trainable parameters, multiply-accumulates of one image's forward pass, and number of ops."""

    params: int
    macs: int
    ops: int


@lru_cache(maxsize=4096)  # a ranking needs the same costs repeatedly
def cost(architecture: Architecture, image_spec: ImageSpec) -> Cost:
    """Cost of the standalone network of `architecture`, from the table that the network itself executes."""
    table = layers(architecture, image_spec, op_norm=True)
    params = sum(math.prod(shape) for shape in table.parameters().values())
    return Cost(params, sum(layer.macs for layer in table), sum(1 for _ in architecture.ops()))
