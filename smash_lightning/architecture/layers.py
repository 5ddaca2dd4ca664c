"""The table of an architecture's layers: names, shapes and sizes.

Network, HyperNet, cost and drawing are all computed from it.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from smash_lightning.architecture.definition import Architecture, Op

STEM_KERNEL = 3


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
    """A convolution, a norm if it is not None, and a ReLU if `activate`."""

    convolution: Layer
    norm: Layer | None
    activate: bool


@dataclass(frozen=True, slots=True)
class OpLayers:
    """The layers of one op; iteration is flat. `entry` is a norm, followed by a ReLU, before all else."""

    entry: Layer | None
    pointwise: Stage | None
    paths: tuple[tuple[Stage, ...], ...]

    def __iter__(self) -> Iterator[Layer]:
        if self.entry is not None:
            yield self.entry
        first = () if self.pointwise is None else (self.pointwise,)
        yield from _of_stages((*first, *(stage for path in self.paths for stage in path)))


@dataclass(frozen=True, slots=True)
class Transition:
    """To the next block: a 1x1 convolution of the pooled input; or of the input, added to a `residual`."""

    shortcut: Layer
    residual: tuple[Stage, ...] = ()

    def __iter__(self) -> Iterator[Layer]:
        yield self.shortcut
        yield from _of_stages(self.residual)


@dataclass(frozen=True, slots=True)
class BlockLayers:
    """The layers of one block, or of the stem of a wide residual network; the last block has no transition."""

    ops: tuple[OpLayers, ...]
    norm: Layer
    transition: Transition | None


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers of a network, nested as they are executed; iteration is flat, in that order.

    `entry` is what follows the stem of a wide residual network.
    """

    stem: Layer
    entry: BlockLayers | None
    blocks: tuple[BlockLayers, ...]
    head: Layer

    def __iter__(self) -> Iterator[Layer]:
        yield self.stem
        for block in self.blocks if self.entry is None else (self.entry, *self.blocks):
            for op in block.ops:
                yield from op
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
            are normalized, as in the paper), but not under a HyperNet, as its statistics cannot be generated.

    Raises:
        ValueError: the images are too small for so many blocks, or have other axes than the architecture.
    """
    axes = image_spec.dimensions
    if architecture.dimensions != axes:
        raise ValueError(f"a {architecture.dimensions}D architecture cannot read images of size {image_spec.size}")
    size = tuple((s - 1) // image_spec.stem_stride + 1 for s in image_spec.size)
    blocks, residual = architecture.blocks, architecture.stem is not None
    channels = architecture.stem or blocks[0].input_channels
    kernel, ones, stride = (STEM_KERNEL,) * axes, (1,) * axes, image_spec.stem_stride
    stem = Layer("stem", "convolution", image_spec.channels, channels, size, kernel, ones, stride=stride)
    entry = None
    if residual:
        widening = _transition("stem", channels, blocks[0].input_channels, size, stride=1)
        entry = BlockLayers((), Layer("stem.norm", "norm", channels, channels, size), widening)
    table = []
    for b, block in enumerate(blocks):
        ops = tuple(_op_layers(op, block.width, size, f"block{b}.op{o}", op_norm) for o, op in enumerate(block.ops))
        norm = Layer(f"block{b}.norm", "norm", block.channels, block.channels, size)
        transition: Transition | None = None
        if b + 1 < len(blocks):
            size = tuple((s + residual) // 2 for s in size)
            outputs = blocks[b + 1].input_channels
            if residual:
                transition = _transition(f"block{b}", block.channels, outputs, size, stride=2)
            else:
                transition = Transition(_pointwise(f"block{b}.transition", block.channels, outputs, size))
        table.append(BlockLayers(ops, norm, transition))
    if not all(size):
        raise ValueError(f"images of size {image_spec.size} are too small for {len(blocks)} blocks: use fewer blocks")
    head = Layer("head", "linear", blocks[-1].channels, image_spec.classes)
    return Layers(stem, entry, tuple(table), head)


def _of_stages(stages: Iterable[Stage]) -> Iterator[Layer]:
    for stage in stages:
        yield stage.convolution
        if stage.norm is not None:
            yield stage.norm


def _pointwise(name: str, inputs: int, outputs: int, size: tuple[int, ...], stride: int = 1) -> Layer:
    return Layer(name, "convolution", inputs, outputs, size, (1,) * len(size), (1,) * len(size), stride=stride)


def _transition(name: str, inputs: int, outputs: int, size: tuple[int, ...], stride: int) -> Transition:
    """A residual block of a wide residual network after its first norm and ReLU."""
    kernel, ones = (STEM_KERNEL,) * len(size), (1,) * len(size)
    first = Layer(f"{name}.conv0", "convolution", inputs, outputs, size, kernel, ones, stride=stride)
    norm = Layer(f"{name}.conv0_norm", "norm", outputs, outputs, size)
    last = Layer(f"{name}.conv1", "convolution", outputs, outputs, size, kernel, ones)
    shortcut = _pointwise(f"{name}.transition", inputs, outputs, size, stride)
    return Transition(shortcut, (Stage(first, norm, activate=True), Stage(last, None, activate=False)))


def _op_layers(op: Op, width: int, size: tuple[int, ...], name: str, op_norm: bool) -> OpLayers:
    """The layers of an op in banks of `width` channels on images of `size`, with names that begin with `name`."""
    inputs, outputs = len(op.read) * width, op.units * width
    post = op.activation == "post"

    def norm(where: str, channels: int, present: bool) -> Layer | None:
        return Layer(f"{name}.{where}", "norm", channels, channels, size) if op_norm and present else None

    entry = norm("entry", inputs, not post)
    pointwise, channels = None, inputs
    if op.bottleneck is not None:
        channels = op.bottleneck
        layer = _pointwise(f"{name}.pointwise", inputs, channels, size)
        pointwise = Stage(layer, norm("pointwise_norm", channels, True), True)
    paths = []
    for p, path in enumerate(op.paths):
        stages: list[Stage] = []
        for s, c in enumerate(path):
            last = s + 1 == len(path)
            where = f"conv{2 * p + s}"
            before = outputs if s else channels
            layer = Layer(f"{name}.{where}", "convolution", before, outputs, size, c.kernel, c.dilation, c.groups)
            normalized = post or (pointwise is None and not last)
            stages.append(Stage(layer, norm(f"{where}_norm", outputs, normalized), post or not last))
        paths.append(tuple(stages))
    return OpLayers(entry, pointwise, tuple(paths))


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
