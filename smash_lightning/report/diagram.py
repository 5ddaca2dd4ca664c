"""The memory-bank diagram: what does a SMASH net look like? (paper, figures 1 to 3 and appendix).

Blocks stand side by side. In each, banks are vertical lanes and time runs downwards; an op is a node on a row of its
own, with one horizontal line above it that collects what it reads and one below it that distributes what it writes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Architecture, Block, Op, Skeleton, cost, layers
from smash_lightning.architecture.shapes import STEM_KERNEL
from smash_lightning.report.notation import (
    BAND,
    FAINT,
    INK,
    LANE,
    MARK,
    PILL,
    POINTWISE,
    QUIET,
    READ,
    STROKE,
    WRITE,
    by,
    convolution_label,
    draw_cap,
    draw_lane,
    draw_legend,
    draw_pill,
    draw_read,
    draw_sum_of_paths,
    draw_write,
    meetings,
)
from smash_lightning.report.svg import (
    FONT,
    LINE,
    SMALL,
    arrowhead,
    document,
    drawing,
    line,
    shape,
    text,
    text_width,
    tooltip,
)

PAD = 0.7 * FONT
INSET = 0.45 * FONT  # between the frame of a node and its convolutions, and between these
DROP = 0.9 * FONT  # from a line that reads down to the node, and from the node down to the line that writes
GAP = 2.4 * FONT  # between blocks: the way from one to the next runs here
BOX = 2 * LINE + PAD  # height of stem, transition and classifier
LEAST_WIDTH = 46 * FONT  # a narrow drawing, blown up to the width of a page, would shout
ENTRY = PAD + 2 * LINE + PAD + BOX / 2  # from a block's top to the middle of its stem or transition
CAPS = ENTRY + BOX / 2 + 2 * FONT + LANE / 2
FIRST_OP = CAPS + LANE / 2 + PAD


@dataclass(frozen=True, slots=True)
class _Panel:
    """One block's place and texts; `entry` is its stem or transition, `leaving` the classifier in the last block."""

    block: Block
    name: str
    heading: tuple[str, str]
    entry: tuple[str, str]
    leaving: tuple[str, str] | None
    left: float
    width: float
    content: float
    node_width: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def gutter(self) -> float:
        """Where the names of the ops begin."""
        return self.left + (self.width - self.content) / 2

    @property
    def node(self) -> float:
        """Left side of the nodes."""
        return self.gutter + self.content - self.node_width

    def lane(self, bank: int) -> float:
        return self.gutter + text_width("op 00", SMALL) + (bank + 0.5) * LANE

    @property
    def exit(self) -> float:
        """Where the block's banks leave it, below its top."""
        return FIRST_OP + sum(_row_height(op) for op in self.block.ops) + FONT

    @property
    def height(self) -> float:
        return self.exit + (PAD if self.leaving is None else 1.5 * FONT + BOX + PAD)


def architecture_svg(architecture: Architecture, skeleton: Skeleton | None = None, title: str = "Architecture") -> str:
    """Draws an architecture as a self-contained SVG: no script, no font, no reference to anything outside.

    Args:
        architecture: what to draw.
        skeleton: image and classifier around it; with it the drawing names resolutions, parameters and
            multiply-accumulates.
        title: heading; any text.

    Returns:
        One `svg` element, to be written to a file or put into a page; the same for equal arguments.

    Raises:
        ValueError: the skeleton does not fit the architecture.
    """
    panels = list(_panels(architecture, skeleton))
    width = max(panels[-1].right + PAD, LEAST_WIDTH)
    body = drawing()
    top = _draw_heading(body, title, _caption(architecture, skeleton), width)
    for panel in panels:
        _draw_panel(body, panel, top)
    for before, after in pairwise(panels):
        _draw_way(body, before, after, top)
    bottom = top + max(panel.height for panel in panels) + 1.5 * FONT
    bottom = draw_legend(body, architecture, PAD, bottom, width - PAD)
    return document(body, width, bottom + PAD, title)


def _panels(architecture: Architecture, skeleton: Skeleton | None) -> Iterator[_Panel]:
    sizes = [""] * len(architecture.blocks)
    if skeleton is not None:
        table = layers(architecture, skeleton, op_norm=True)
        sizes = [by(block.norm.size) + ", " for block in table.blocks]
    left = PAD
    for b, block in enumerate(architecture.blocks):
        last = b + 1 == len(architecture.blocks)
        heading = (f"Block {b}", f"{sizes[b]}{_count(block.banks, 'bank')} of {_count(block.width, 'channel')}")
        entry = _stem(block, skeleton) if b == 0 else _transition(block, architecture.dimensions)
        leaving = _classifier(block, skeleton) if last else None
        node = max(_node_width(op) for op in block.ops)
        channels = max(max(len(op.read), op.units) * block.width for op in block.ops)
        content = text_width("op 00", SMALL) + block.banks * LANE + text_width(f" {channels} ", SMALL) + node
        texts = [text_width(line) for line in (*heading, *entry, *(leaving or ()))]
        width = max(content, *texts) + 2 * PAD
        yield _Panel(block, f"block{b}", heading, entry, leaving, left, width, content, node)
        left += width + GAP


def _stem(block: Block, skeleton: Skeleton | None) -> tuple[str, str]:
    image = "image" if skeleton is None else f"image, {by(skeleton.size)}, {_count(skeleton.channels, 'channel')}"
    stride = "" if skeleton is None or skeleton.stem_stride == 1 else f", stride {skeleton.stem_stride}"
    axes = len(block.ops[0].paths[0][0].kernel)
    return image, f"{by((STEM_KERNEL,) * axes)}{stride} → {_count(block.inputs * block.width, 'channel')}"


def _transition(block: Block, axes: int) -> tuple[str, str]:
    channels = _count(block.inputs * block.width, "channel")
    return f"norm, ReLU, {by((1,) * axes)} → {channels}", f"average pooling {by((2,) * axes)}"


def _classifier(block: Block, skeleton: Skeleton | None) -> tuple[str, str]:
    classes = "classes" if skeleton is None else _count(skeleton.classes, "class", "classes")
    return "norm, ReLU, global average pooling", f"linear, {block.channels} → {classes}"


def _caption(architecture: Architecture, skeleton: Skeleton | None) -> str:
    parts = [_count(len(list(architecture.ops())), "op")]
    if skeleton is not None:
        size = cost(architecture, skeleton)
        parts = [f"{size.params:,} parameters", f"{size.macs / 1e6:,.3g} million multiply-accumulates", *parts]
    return ", ".join([*parts, f"fingerprint {architecture.fingerprint}"])


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _column_width(op: Op) -> float:
    return max(text_width(convolution_label(c), 0.9 * FONT) for path in op.paths for c in path) + PAD


def _node_width(op: Op) -> float:
    columns = len(op.paths) * (_column_width(op) + INSET) + INSET
    return max(columns, text_width(_pointwise_label(op), 0.9 * FONT) + PAD + 2 * INSET)


def _node_height(op: Op) -> float:
    rows = len(op.paths[0]) + (op.bottleneck is not None)
    return rows * (PILL + INSET) + INSET + (2 * MARK if len(op.paths) == 2 else 0)


def _row_height(op: Op) -> float:
    return _node_height(op) + 2 * DROP + 2.4 * MARK + INSET


def _pointwise_label(op: Op) -> str:
    axes = len(op.paths[0][0].kernel)
    return "" if op.bottleneck is None else f"{by((1,) * axes)} → {op.bottleneck}"


def _draw_heading(parent: Element, title: str, caption: str, width: float) -> float:
    large, y = 1.5 * FONT, PAD + LINE
    for content in textwrap.wrap(title, int((width - 2 * PAD) / text_width("n", large))):
        text(parent, (PAD, y), content, large, fill=INK, font_weight="bold")
        y += 1.4 * LINE
    for content in textwrap.wrap(caption, int((width - 2 * PAD) / text_width("n"))):
        text(parent, (PAD, y), content, fill=QUIET)
        y += LINE
    return y + PAD


def _draw_panel(parent: Element, panel: _Panel, top: float) -> None:
    group = shape(parent, "g", class_="block", data_name=panel.name)
    frame = {"x": panel.left, "y": top, "width": panel.width, "height": panel.height, "rx": PAD}
    shape(group, "rect", **frame, fill="none", stroke=FAINT)
    for n, content in enumerate(panel.heading):
        weight = "normal" if n else "bold"
        text(group, (panel.left + PAD, top + PAD + (n + 0.5) * LINE), content, fill=INK, font_weight=weight)
    _draw_box(group, panel, top + ENTRY - BOX / 2, panel.entry)
    _draw_inputs(group, panel, top)
    _draw_bands(group, panel, top)
    _draw_lanes(group, panel, top)
    filled, y = set(range(panel.block.inputs)), top + FIRST_OP
    for o, op in enumerate(panel.block.ops):
        _draw_op(group, panel, o, filled, y)
        filled |= set(op.write)
        y += _row_height(op)
    _draw_outputs(group, panel, top + panel.exit)


def _draw_box(parent: Element, panel: _Panel, top: float, lines: tuple[str, str]) -> None:
    box = {"x": panel.left + PAD, "y": top, "width": panel.width - 2 * PAD, "height": BOX, "rx": INSET}
    shape(parent, "rect", **box, fill=BAND, stroke=INK, stroke_width=0.5 * STROKE)
    for n, content in enumerate(lines):
        centre = (panel.left + panel.width / 2, top + PAD / 2 + (n + 0.5) * LINE)
        text(parent, centre, content, fill=INK, text_anchor="middle")
