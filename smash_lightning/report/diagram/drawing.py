"""The memory-bank diagram (paper, figures 1 to 3 and appendix), drawn from its layout.

Blocks are side by side. In each, banks are vertical lanes and time runs downwards; an op is a node on a row of its own,
with one horizontal line above it that collects what it reads and one below it that distributes what it writes.
"""

from __future__ import annotations

import textwrap
from itertools import pairwise
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.report.diagram import marks
from smash_lightning.report.diagram.layout import BOX, CAPS, ENTRY, GAP, INPUTS, INSET, PAD, Panel, Row, caption, panels
from smash_lightning.report.diagram.legend import draw_legend
from smash_lightning.report.diagram.marks import BAND, FAINT, GREY, INK, LANE, MARK, PILL, READ, STROKE, WRITE
from smash_lightning.report.diagram.svg import FONT, LINE, SMALL, arrowhead, document, line, shape, text, text_width

LEAST_WIDTH = 46 * FONT  # a narrower drawing is too large when it fills the width of a page


def architecture_svg(
    architecture: Architecture, image_spec: ImageSpec | None = None, title: str = "Architecture", legend: bool = True
) -> str:
    """Draws an architecture as a self-contained SVG: no script, no font, no reference to anything outside.

    Args:
        architecture: what to draw.
        image_spec: image and classifier around it; with it the drawing shows resolutions, parameters and
            multiply-accumulates.
        title: heading; any text.
        legend: whether to explain the marks.

    Returns:
        One `svg` element, to be written to a file or put into a page; the same for equal arguments.

    Raises:
        ValueError: `image_spec` does not fit the architecture.
    """
    title = " ".join(title.split())
    placed = list(panels(architecture, image_spec))
    width = max(placed[-1].right + PAD, LEAST_WIDTH)
    body = Element("g")
    top = _draw_heading(body, title, caption(architecture, image_spec), width)
    for b, panel in enumerate(placed):
        _draw_panel(shape(body, "g", transform=f"translate(0 {top:.1f})"), panel, f"block{b}")
    for before, after in pairwise(placed):
        _draw_connection(shape(body, "g", transform=f"translate(0 {top:.1f})"), before, after)
    bottom = top + max(panel.height for panel in placed) + 2 * PAD
    if legend:
        bottom = draw_legend(body, architecture, PAD, bottom, width - PAD)
    return document(body, width, bottom + PAD, title)


def _draw_heading(parent: Element, title: str, sizes: str, width: float) -> float:
    large, y = 1.5 * FONT, PAD + LINE
    for content in textwrap.wrap(title, int((width - 2 * PAD) / text_width("n", large))):
        text(parent, (PAD, y), content, large, fill=INK, font_weight="bold")
        y += 1.4 * LINE
    for content in textwrap.wrap(sizes, int((width - 2 * PAD) / text_width("n"))):
        text(parent, (PAD, y), content, fill=GREY)
        y += LINE
    return y + PAD / 2


def _draw_panel(parent: Element, panel: Panel, name: str) -> None:
    frame = {"x": panel.left, "y": 0.0, "width": panel.width, "height": panel.height, "rx": PAD}
    shape(parent, "rect", **frame, fill="none", stroke=FAINT)
    for n, content in enumerate(panel.heading):
        place = (panel.left + PAD, PAD + (n + 0.5) * LINE)
        text(parent, place, content, fill=INK, font_weight="normal" if n else "bold")
    _draw_box(parent, panel, ENTRY, panel.entry)
    _draw_inputs(parent, panel)
    _draw_lanes(parent, panel)
    for o, row in enumerate(panel.rows):
        _draw_op(shape(parent, "g", class_="op", data_name=f"{name}.op{o}"), panel, o, row)
    _draw_outputs(parent, panel)


def _draw_box(parent: Element, panel: Panel, top: float, lines: tuple[str, str]) -> None:
    box = {"x": panel.left + PAD, "y": top, "width": panel.width - 2 * PAD, "height": BOX, "rx": INSET}
    shape(parent, "rect", **box, fill=BAND, stroke=INK, stroke_width=0.5 * STROKE)
    for n, content in enumerate(lines):
        centre = (panel.left + panel.width / 2, top + PAD / 2 + (n + 0.5) * LINE)
        text(parent, centre, content, fill=INK, text_anchor="middle")


def _draw_inputs(parent: Element, panel: Panel) -> None:
    """From the stem or transition into the input banks."""
    ends = [panel.lane(bank) for bank in range(panel.block.inputs)]
    line(parent, [(ends[0], ENTRY + BOX), (ends[0], INPUTS), (ends[-1], INPUTS)], stroke=INK, stroke_width=STROKE)
    for x in ends:
        tip = CAPS - LANE / 2
        line(parent, [(x, INPUTS), (x, tip - 0.4 * FONT)], stroke=INK, stroke_width=STROKE)
        arrowhead(parent, (x, tip), INK)


def _draw_lanes(parent: Element, panel: Panel) -> None:
    """The bands of the ops, and over them each bank from its cap to the block's end: faint until it is filled."""
    fill = dict.fromkeys(range(panel.block.inputs), CAPS)
    for row in panel.rows:
        band = {"x": panel.left + PAD, "y": row.top, "width": panel.width - 2 * PAD, "height": row.bottom - row.top}
        shape(parent, "rect", **band, rx=INSET, fill=BAND)
        fill = {bank: row.write for bank in row.op.write} | fill
    for bank in range(panel.block.banks):
        x = panel.lane(bank)
        if fill[bank] > CAPS:
            marks.draw_lane(parent, x, CAPS, fill[bank], filled=False)
        marks.draw_lane(parent, x, fill[bank], panel.outputs, filled=True)
        marks.draw_cap(parent, x, CAPS, bank, is_input=bank < panel.block.inputs)


def _draw_op(group: Element, panel: Panel, number: int, row: Row) -> None:
    op, width = row.op, panel.block.width
    shape(group, "title").text = marks.sentence(op, row.joins, width)
    names, middle, numbers = panel.left + 1.5 * PAD, panel.node + panel.node_width / 2, panel.node - PAD / 2
    text(group, (names, row.node + 0.5 * SMALL), f"op {number}", SMALL, fill=GREY)
    if op.activation == "post":
        text(group, (names, row.node + 1.7 * SMALL), "post", SMALL, fill=GREY)
    way = [(panel.lane(op.read[0]), row.read), (middle, row.read), (middle, row.node - 0.4 * FONT)]
    line(group, way, stroke=READ, stroke_width=STROKE)
    arrowhead(group, (middle, row.node), READ)
    label = str(len(op.read) * width)
    text(group, (numbers, row.read + 0.6 * SMALL), label, SMALL, fill=READ, text_anchor="end")
    for bank in op.read:
        mark = shape(group, "g", class_="read", data_bank=str(bank))
        marks.draw_dot(mark, panel.lane(bank), row.read, READ)
    way = [(middle, row.node + row.node_height), (middle, row.write), (panel.lane(op.write[0]), row.write)]
    line(group, way, stroke=WRITE, stroke_width=STROKE)
    text(group, (numbers, row.write - 0.7 * SMALL), str(op.units * width), SMALL, fill=WRITE, text_anchor="end")
    for j, (bank, join) in enumerate(row.joins.items()):
        x = panel.lane(bank)
        mark = shape(group, "g", class_=f"write {join}", data_bank=str(bank))
        marks.draw_join(mark, x, row.write, join)
        if op.units < len(op.write):
            text(mark, (x + MARK, row.write + 1.4 * MARK), str(j % op.units), 0.7 * SMALL, fill=WRITE)
    _draw_node(group, panel, row)


def _draw_node(parent: Element, panel: Panel, row: Row) -> None:
    """Flow runs downwards: the 1x1, the paths side by side, their sum."""
    op, column, middle = row.op, panel.column, panel.node + panel.node_width / 2
    frame = {"x": panel.node, "y": row.node, "width": panel.node_width, "height": row.node_height, "rx": INSET}
    shape(parent, "rect", **frame, fill="white", stroke=GREY, stroke_width=0.5 * STROKE)
    end, first = row.node + row.node_height, row.node + INSET
    fork = row.node
    if op.bottleneck is not None:
        fork, first = first + PILL, first + PILL + INSET
    for p, path in enumerate(op.paths):
        x = middle + (p - (len(op.paths) - 1) / 2) * (column + INSET)
        way = [(middle, fork), (x, fork + INSET / 2), (x, end - MARK - INSET), (middle, end)]
        line(parent, way, stroke=INK, stroke_width=0.5 * STROKE)
        for s, convolution in enumerate(path):
            top = first + s * (PILL + INSET)
            marks.draw_pill(parent, x - column / 2, top, column, marks.convolution_label(convolution))
    if op.bottleneck is not None:
        label, left, width = marks.pointwise_label(op), panel.node + INSET, panel.node_width - 2 * INSET
        marks.draw_pill(parent, left, row.node + INSET, width, label, marks.POINTWISE)
        line(parent, [(middle, row.node), (middle, row.node + INSET)], stroke=INK, stroke_width=0.5 * STROKE)
    if len(op.paths) == 2:
        marks.draw_plus(parent, middle, end)


def _draw_outputs(parent: Element, panel: Panel) -> None:
    """All banks are read at the block's end, by the classifier or the next block."""
    y, last = panel.outputs, panel.lane(panel.block.banks - 1)
    line(parent, [(panel.lane(0), y), (last, y)], stroke=INK, stroke_width=STROKE)
    for bank in range(panel.block.banks):
        marks.draw_dot(parent, panel.lane(bank), y, INK)
    if panel.exit is not None:
        x = panel.lane(0)
        line(parent, [(x, y), (x, panel.classifier - 0.4 * FONT)], stroke=INK, stroke_width=STROKE)
        arrowhead(parent, (x, panel.classifier), INK)
        _draw_box(parent, panel, panel.classifier, panel.exit)


def _draw_connection(parent: Element, before: Panel, after: Panel) -> None:
    """From the last banks of one block to the transition of the next."""
    between, entry = before.right + GAP / 2, ENTRY + BOX / 2
    start, tip = before.lane(before.block.banks - 1), after.left + PAD
    way = [(start, before.outputs), (between, before.outputs), (between, entry), (tip - 0.4 * FONT, entry)]
    line(parent, way, stroke=INK, stroke_width=STROKE)
    arrowhead(parent, (tip, entry), INK, down=False)
    label = f"{before.block.channels} channels"
    text(parent, (before.right - PAD, before.outputs - 0.6 * SMALL), label, SMALL, fill=INK, text_anchor="end")
