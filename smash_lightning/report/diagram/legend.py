"""The legend of the memory-bank diagram: the signs that occur in an architecture, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Architecture, Convolution, Op
from smash_lightning.report.diagram import notation
from smash_lightning.report.diagram.notation import FAINT, INK, LANE, MARK, PILL, READ, STROKE, WRITE, Meeting
from smash_lightning.report.diagram.svg import FONT, LINE, SMALL, line, shape, text, text_width

Draw = Callable[[Element, float, float], object]
"""Draws a sign into a parent, its left end at (x, y)."""
Sign = tuple[float, Draw, str]
"""A sign's width, how to draw it, and its meaning."""

HALF = LANE / 2
LONG = 2.4 * FONT
BETWEEN = 0.5 * FONT
TEXT = 0.95 * FONT


def draw_legend(parent: Element, architecture: Architecture, left: float, top: float, right: float) -> float:
    """Explains the signs that occur in `architecture`, in as many lines as it takes; returns where it ends."""
    step = 1.5 * LINE
    shape(parent, "line", x1=left, x2=right, y1=top, y2=top, stroke=FAINT, stroke_width=0.5 * STROKE)
    x, y = left, top + step
    for width, draw, meaning in chain(_bank_signs(architecture), _mark_signs(architecture), _op_signs(architecture)):
        start = width + BETWEEN if width else 0
        end = start + text_width(meaning, TEXT)
        if x > left and x + end > right:
            x, y = left, y + step
        draw(parent, x, y)
        text(parent, (x + start, y), meaning, TEXT, fill=INK)
        x += end + 3 * BETWEEN
    return y + step / 2


def _bank_signs(architecture: Architecture) -> Iterator[Sign]:
    yield LANE, lambda g, x, y: notation.draw_cap(g, x + HALF, y, 0, is_input=True), "bank that holds the block's input"
    if any(block.banks > block.inputs for block in architecture.blocks):
        yield LANE, lambda g, x, y: notation.draw_lane(g, x + HALF, y - HALF, y + HALF, False), "bank, still empty"
    yield LANE, lambda g, x, y: notation.draw_lane(g, x + HALF, y - HALF, y + HALF, True), "bank, filled"


def _mark_signs(architecture: Architecture) -> Iterator[Sign]:
    yield LONG, _read, "op reads the bank"
    meanings: dict[Meeting, str] = {
        "fill": "op fills the bank",
        "sum": "op adds to the bank",
        "mean": "bank becomes the mean of all that was written to it",
    }
    occurring = _meetings(architecture)
    for meeting, meaning in meanings.items():
        if meeting in occurring:
            yield LONG, _write(meeting), meaning
    yield LONG, _channels, "channels read and written"
    if any(op.units < len(op.write) for op in architecture.ops()):
        slices = "0 1 0"
        yield text_width(slices, SMALL), _remark(slices, WRITE), "which slice of the output, where slices are reused"


def _op_signs(architecture: Architecture) -> Iterator[Sign]:
    ops, axes = list(architecture.ops()), architecture.dimensions
    example = Convolution((3,) * axes, (2,) * axes, groups=4)
    if any(op.bottleneck is not None for op in ops):
        pointwise = Op((0,), (0,), 1, bottleneck=8, paths=((example,),))
        label = notation.pointwise_label(pointwise)
        yield *_pill(label, notation.POINTWISE), "pointwise convolution and its output channels"
    yield *_pill(notation.convolution_label(example)), "convolution: kernel, dilation 2, 4 groups (where not 1)"
    if any(len(op.paths) == 2 for op in ops):
        yield 2 * MARK, lambda g, x, y: notation.draw_sum_of_paths(g, x + MARK, y), "paths are added"
    activations = {op.activation for op in ops}
    if "pre" in activations:
        unless = ", unless marked post" if "post" in activations else ""
        yield 0, lambda g, x, y: None, f"norm and ReLU come before a convolution{unless}"
    if "post" in activations:
        yield text_width("post", SMALL), _remark("post", notation.QUIET), "norm and ReLU come after a convolution"


def _read(parent: Element, x: float, y: float) -> None:
    line(parent, [(x + HALF, y), (x + LONG, y)], stroke=READ, stroke_width=STROKE)
    notation.draw_dot(parent, x + HALF, y, READ)


def _write(meeting: Meeting) -> Draw:
    def draw(parent: Element, x: float, y: float) -> None:
        line(parent, [(x + HALF, y), (x + LONG, y)], stroke=WRITE, stroke_width=STROKE)
        notation.draw_meeting(parent, x + HALF, y, meeting)

    return draw


def _channels(parent: Element, x: float, y: float) -> None:
    text(parent, (x, y), "16", SMALL, fill=READ)
    text(parent, (x + LONG / 2, y), "8", SMALL, fill=WRITE)


def _remark(content: str, colour: str) -> Draw:
    return lambda parent, x, y: text(parent, (x, y), content, SMALL, fill=colour)


def _pill(label: str, ground: str = "white") -> tuple[float, Draw]:
    width = text_width(label) + FONT
    return width, lambda parent, x, y: notation.draw_pill(parent, x, y - PILL / 2, width, label, ground)


def _meetings(architecture: Architecture) -> set[Meeting]:
    occurring: set[Meeting] = set()
    for block in architecture.blocks:
        filled = set(range(block.inputs))
        for op in block.ops:
            occurring |= set(notation.meetings(op, filled).values())
            filled |= set(op.write)
    return occurring
