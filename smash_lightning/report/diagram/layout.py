"""Positions in the memory-bank diagram, and the texts of the boxes around the blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smash_lightning.architecture import Architecture, Block, ImageSpec, Op, cost, layers
from smash_lightning.architecture.layers import STEM_KERNEL
from smash_lightning.report.diagram.marks import (
    LANE,
    MARK,
    PILL,
    Join,
    by,
    convolution_label,
    ops_with_joins,
    pointwise_label,
)
from smash_lightning.report.diagram.svg import FONT, LINE, SMALL, text_width

PAD = 0.7 * FONT
INSET = 0.4 * FONT  # between the frame of a node and its convolutions, and between these
DROP = 0.85 * FONT  # from the line that reads down to the node, and from the node down to the line that writes
GAP = 2.4 * FONT  # between blocks: the line from one to the next runs here
BOX = 2 * LINE + PAD  # height of stem, transition and classifier
OP_NAME = text_width("op 00", SMALL) + PAD
# Below a block's top:
ENTRY = PAD + 2 * LINE + PAD  # stem or transition
INPUTS = ENTRY + BOX + FONT  # the line that fills the input banks
CAPS = INPUTS + 0.9 * FONT + LANE / 2  # numbers of the banks
FIRST_OP = CAPS + LANE / 2 + PAD


@dataclass(frozen=True, slots=True)
class Row:
    """An op's vertical positions: its band, and in it the line that reads, the node, the line that writes."""

    op: Op
    joins: dict[int, Join]
    top: float
    read: float
    node: float
    node_height: float
    write: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One block's positions and texts: x in the drawing, heights counted from the block's top.

    `lanes` and `node` are the left sides of the lanes and of the nodes, `column` is the width of a convolution.
    """

    block: Block
    heading: tuple[str, str]
    entry: tuple[str, str]
    exit: tuple[str, str] | None
    left: float
    width: float
    lanes: float
    node: float
    node_width: float
    column: float
    rows: tuple[Row, ...]

    @property
    def right(self) -> float:
        """Right side."""
        return self.left + self.width

    @property
    def outputs(self) -> float:
        """The line that collects all banks at the block's end."""
        return self.rows[-1].bottom + 1.3 * FONT

    @property
    def classifier(self) -> float:
        """Top of the classifier."""
        return self.outputs + 1.5 * FONT

    @property
    def height(self) -> float:
        """Height of the panel."""
        return PAD + (self.outputs if self.exit is None else self.classifier + BOX)

    def lane(self, bank: int) -> float:
        """Middle of a bank's lane."""
        return self.lanes + (bank + 0.5) * LANE


def panels(architecture: Architecture, image_spec: ImageSpec | None) -> Iterator[Panel]:
    """The blocks from left to right."""
    blocks, left = architecture.blocks, PAD
    sizes = [""] * len(blocks)
    if image_spec is not None:
        sizes = [by(block.norm.size) + ", " for block in layers(architecture, image_spec, op_norm=True).blocks]
    for b, block in enumerate(blocks):
        heading = (f"Block {b}", f"{sizes[b]}{_count(block.banks, 'bank')} of {_count(block.width, 'channel')}")
        entry = _transition(block, architecture.dimensions) if b else _stem(block, architecture.dimensions, image_spec)
        end = _classifier(block, image_spec) if b + 1 == len(blocks) else None
        labels = [convolution_label(one) for op in block.ops for path in op.paths for one in path]
        column = PAD + max(text_width(label, 0.9 * FONT) for label in labels)
        node = INSET + max(len(op.paths) for op in block.ops) * (column + INSET)
        node = max(node, PAD + 2 * INSET + max(text_width(pointwise_label(op), 0.9 * FONT) for op in block.ops))
        channels = max(max(len(op.read), op.units) * block.width for op in block.ops)
        content = OP_NAME + block.banks * LANE + text_width(str(channels), SMALL) + 2 * PAD + node
        texts = [text_width(line) for line in (*heading, *entry, *(end or ()))]
        width = max(content + PAD, max(texts) + 2 * PAD) + 2 * PAD
        names = left + (width - content) / 2
        rows = tuple(_rows(block))
        yield Panel(
            block, heading, entry, end, left, width, names + OP_NAME, names + content - node, node, column, rows
        )
        left += width + GAP


def caption(architecture: Architecture, image_spec: ImageSpec | None) -> str:
    """Size and fingerprint of the architecture."""
    ops = _count(sum(1 for _ in architecture.ops()), "op")
    parts = [ops, f"fingerprint\N{NO-BREAK SPACE}{architecture.fingerprint}"]
    if image_spec is not None:
        size = cost(architecture, image_spec)
        parts = [f"{size.params:,} parameters", f"{size.macs / 1e6:,.2f} million multiply-accumulates", *parts]
    return ", ".join(parts)


def _rows(block: Block) -> Iterator[Row]:
    top = FIRST_OP
    for op, joins in ops_with_joins(block):
        read = top + 1.2 * MARK
        count = len(op.paths[0]) + (op.bottleneck is not None)  # of convolutions below one another
        height = count * (PILL + INSET) + INSET + (MARK + INSET if len(op.paths) == 2 else 0)
        write = read + DROP + height + DROP
        yield Row(op, joins, top, read, read + DROP, height, write, write + 1.6 * MARK)
        top = write + 1.6 * MARK + INSET


def _stem(block: Block, axes: int, image_spec: ImageSpec | None) -> tuple[str, str]:
    image, stride = "image", ""
    if image_spec is not None:
        image = f"image {by(image_spec.size)}, {_count(image_spec.channels, 'channel')}"
        stride = f", stride {image_spec.stem_stride}" if image_spec.stem_stride > 1 else ""
    return image, f"stem {by((STEM_KERNEL,) * axes)}{stride} → {_count(block.inputs * block.width, 'channel')}"


def _transition(block: Block, axes: int) -> tuple[str, str]:
    channels = _count(block.inputs * block.width, "channel")
    return f"norm, ReLU, {by((1,) * axes)} → {channels}", f"average pooling {by((2,) * axes)}"


def _classifier(block: Block, image_spec: ImageSpec | None) -> tuple[str, str]:
    classes = "classes" if image_spec is None else f"{image_spec.classes} classes"
    return "norm, ReLU, global average pooling", f"linear, {block.channels} → {classes}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
