"""Where everything stands in the memory-bank diagram, and what the boxes around the blocks say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smash_lightning.architecture import Architecture, Block, ImageSpec, Op, cost, layers
from smash_lightning.architecture.layers import STEM_KERNEL
from smash_lightning.report.diagram.notation import LANE, MARK, PILL, by, convolution_label, pointwise_label
from smash_lightning.report.diagram.svg import FONT, LINE, SMALL, text_width

PAD = 0.7 * FONT
INSET = 0.4 * FONT  # between the frame of a node and its convolutions, and between these
DROP = 0.85 * FONT  # from the line that reads down to the node, and from the node down to the line that writes
GAP = 2.4 * FONT  # between blocks: the way from one to the next runs here
BOX = 2 * LINE + PAD  # height of stem, transition and classifier
OP_NAME = text_width("op 00", SMALL) + PAD

# Below a block's top:
ENTRY = PAD + 2 * LINE + PAD  # stem or transition
INPUTS = ENTRY + BOX + FONT  # the line that fills the input banks
CAPS = INPUTS + 0.9 * FONT + LANE / 2  # numbers of the banks
FIRST_OP = CAPS + LANE / 2 + PAD


@dataclass(frozen=True, slots=True)
class Row:
    """An op's place: its band, and in it the line that reads, the node, the line that writes."""

    op: Op
    top: float

    @property
    def read(self) -> float:
        """Height of the line that reads."""
        return self.top + 1.2 * MARK

    @property
    def node(self) -> float:
        """Top of the node."""
        return self.read + DROP

    @property
    def node_height(self) -> float:
        """Its rows of convolutions, and the way to the sum of its paths where there are two."""
        rows = len(self.op.paths[0]) + (self.op.bottleneck is not None)
        return rows * (PILL + INSET) + INSET + (MARK + INSET if len(self.op.paths) == 2 else 0)

    @property
    def write(self) -> float:
        """Height of the line that writes."""
        return self.node + self.node_height + DROP

    @property
    def bottom(self) -> float:
        """End of the band; small figures under the marks still fit."""
        return self.write + 1.6 * MARK


@dataclass(frozen=True, slots=True)
class Panel:
    """One block's place and texts, heights counted from the block's top.

    Args:
        block: what is drawn.
        name: `block0`, as in the table of layers.
        heading: two lines.
        entry: two lines for the stem or the transition before the block.
        leaving: two lines for the classifier after the last block.
        left: left side.
        width: width, its texts included.
        content: width of names, lanes and nodes, centred in it.
        column: width of a convolution in a node.
        node_width: width of a node.
    """

    block: Block
    name: str
    heading: tuple[str, str]
    entry: tuple[str, str]
    leaving: tuple[str, str] | None
    left: float
    width: float
    content: float
    column: float
    node_width: float

    @property
    def right(self) -> float:
        """Right side."""
        return self.left + self.width

    @property
    def names(self) -> float:
        """Where the names of the ops begin."""
        return self.left + 1.5 * PAD

    @property
    def lanes(self) -> float:
        """Left side of the lanes."""
        return self.left + (self.width - self.content) / 2 + OP_NAME

    @property
    def node(self) -> float:
        """Left side of the nodes."""
        return self.lanes + self.content - OP_NAME - self.node_width

    def lane(self, bank: int) -> float:
        """Middle of a bank's lane."""
        return self.lanes + (bank + 0.5) * LANE

    def rows(self) -> Iterator[Row]:
        """The ops from top to bottom."""
        top = FIRST_OP
        for op in self.block.ops:
            row = Row(op, top)
            yield row
            top = row.bottom + INSET

    @property
    def outputs(self) -> float:
        """The line that collects all banks at the block's end."""
        return list(self.rows())[-1].bottom + 1.3 * FONT

    @property
    def classifier(self) -> float:
        """Top of the classifier."""
        return self.outputs + 1.5 * FONT

    @property
    def height(self) -> float:
        """Height of the panel."""
        return PAD + (self.outputs if self.leaving is None else self.classifier + BOX)


def panels(architecture: Architecture, image_spec: ImageSpec | None) -> Iterator[Panel]:
    """The blocks from left to right."""
    blocks, left = architecture.blocks, PAD
    sizes = [""] * len(blocks)
    if image_spec is not None:
        table = layers(architecture, image_spec, op_norm=True)
        sizes = [by(block.norm.size) + ", " for block in table.blocks]
    for b, block in enumerate(blocks):
        heading = (f"Block {b}", f"{sizes[b]}{_count(block.banks, 'bank')} of {_count(block.width, 'channel')}")
        entry = _transition(block, architecture.dimensions) if b else _stem(block, architecture.dimensions, image_spec)
        leaving = _classifier(block, image_spec) if b + 1 == len(blocks) else None
        column = PAD + max(
            text_width(convolution_label(c), 0.9 * FONT) for op in block.ops for p in op.paths for c in p
        )
        node = INSET + max(len(op.paths) for op in block.ops) * (column + INSET)
        node = max(node, PAD + 2 * INSET + max(text_width(pointwise_label(op), 0.9 * FONT) for op in block.ops))
        channels = max(max(len(op.read), op.units) * block.width for op in block.ops)
        content = OP_NAME + block.banks * LANE + text_width(str(channels), SMALL) + 2 * PAD + node
        texts = [text_width(content) for content in (*heading, *entry, *(leaving or ()))]
        width = max(content + PAD, max(texts) + 2 * PAD) + 2 * PAD
        yield Panel(block, f"block{b}", heading, entry, leaving, left, width, content, column, node)
        left += width + GAP


def caption(architecture: Architecture, image_spec: ImageSpec | None) -> str:
    """Size and name of the architecture."""
    parts = [
        _count(sum(1 for _ in architecture.ops()), "op"),
        f"fingerprint\N{NO-BREAK SPACE}{architecture.fingerprint}",
    ]
    if image_spec is not None:
        size = cost(architecture, image_spec)
        parts = [f"{size.params:,} parameters", f"{size.macs / 1e6:,.2f} million multiply-accumulates", *parts]
    return ", ".join(parts)


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
