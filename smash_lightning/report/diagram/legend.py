"""The legend of the memory-bank diagram: the marks that occur in an architecture, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Architecture, Convolution, Op
from smash_lightning.report.diagram import marks
from smash_lightning.report.diagram.marks import FAINT, GREY, INK, LANE, MARK, MEANINGS, PILL, READ, STROKE, WRITE
from smash_lightning.report.diagram.svg import FONT, LINE, SMALL, line, shape, text, text_width

Entry = tuple[float, Callable[[Element, float, float], object], str]
"""A mark's width, a function that draws it into a parent with its left end at (x, y), and its meaning."""
HALF, LONG, SPACE, TEXT = LANE / 2, 2.4 * FONT, 0.5 * FONT, 0.95 * FONT


def draw_legend(parent: Element, architecture: Architecture, left: float, top: float, right: float) -> float:
    """Explains the marks that occur in `architecture`, in as many lines as it takes; returns the y of its end."""
    step = 1.5 * LINE
    shape(parent, "line", x1=left, x2=right, y1=top, y2=top, stroke=FAINT, stroke_width=0.5 * STROKE)
    x, y = left, top + step
    for width, draw, meaning in chain(_banks(architecture), _lines(architecture), _nodes(architecture)):
        start = width + SPACE if width else 0
        end = start + text_width(meaning, TEXT)
        if x > left and x + end > right:
            x, y = left, y + step
        draw(parent, x, y)
        text(parent, (x + start, y), meaning, TEXT, fill=INK)
        x += end + 3 * SPACE
    return y + step / 2


def _banks(architecture: Architecture) -> Iterator[Entry]:
    yield LANE, lambda g, x, y: marks.draw_cap(g, x + HALF, y, 0, is_input=True), "bank that holds the block's input"
    if any(block.banks > block.inputs for block in architecture.blocks):
        yield LANE, lambda g, x, y: marks.draw_lane(g, x + HALF, y - HALF, y + HALF, False), "bank, still empty"
    yield LANE, lambda g, x, y: marks.draw_lane(g, x + HALF, y - HALF, y + HALF, True), "bank, filled"


def _lines(architecture: Architecture) -> Iterator[Entry]:
    yield LONG, lambda g, x, y: _line(g, x, y, None), "op reads the bank"
    occurring = {j for block in architecture.blocks for _, joins in marks.ops_with_joins(block) for j in joins.values()}
    for join, meaning in MEANINGS.items():
        if join in occurring:
            yield LONG, lambda g, x, y, join=join: _line(g, x, y, join), meaning  # type: ignore[misc]
    yield LONG, _channels, "channels read and written"
    if any(op.units < len(op.write) for op in architecture.ops()):
        yield *_word("0 1 0", WRITE), "which slice of the output, where slices are reused"


def _nodes(architecture: Architecture) -> Iterator[Entry]:
    ops, axes = list(architecture.ops()), architecture.dimensions
    example = Convolution((3,) * axes, (2,) * axes, groups=4)
    if any(op.bottleneck is not None for op in ops):
        pointwise = Op((0,), (0,), 1, bottleneck=8, paths=((example,),))
        label = marks.pointwise_label(pointwise)
        yield *_pill(label, marks.POINTWISE), "pointwise convolution and its output channels"
    yield *_pill(marks.convolution_label(example)), "convolution: kernel, dilation 2, 4 groups (where not 1)"
    if any(len(op.paths) == 2 for op in ops):
        yield 2 * MARK, lambda g, x, y: marks.draw_plus(g, x + MARK, y), "paths are added"
    activations = {op.activation for op in ops}
    if "pre" in activations:
        unless = ", unless marked post" if "post" in activations else ""
        yield 0, lambda g, x, y: None, f"norm and ReLU come before a convolution{unless}"
    if "post" in activations:
        yield *_word("post", GREY), "norm and ReLU come after a convolution"


def _line(parent: Element, x: float, y: float, join: marks.Join | None) -> None:
    line(parent, [(x + HALF, y), (x + LONG, y)], stroke=WRITE if join else READ, stroke_width=STROKE)
    if join:
        marks.draw_join(parent, x + HALF, y, join)
    else:
        marks.draw_dot(parent, x + HALF, y, READ)


def _channels(parent: Element, x: float, y: float) -> None:
    text(parent, (x, y), "16", SMALL, fill=READ)
    text(parent, (x + LONG / 2, y), "8", SMALL, fill=WRITE)


def _word(content: str, colour: str) -> tuple[float, Callable[[Element, float, float], object]]:
    return text_width(content, SMALL), lambda g, x, y: text(g, (x, y), content, SMALL, fill=colour)


def _pill(label: str, ground: str = "white") -> tuple[float, Callable[[Element, float, float], object]]:
    width = text_width(label) + FONT
    return width, lambda g, x, y: marks.draw_pill(g, x, y - PILL / 2, width, label, ground)
