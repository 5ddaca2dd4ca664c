"""The signs of the memory-bank diagram: colours, marks, labels, and the legend that explains those that occur."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Architecture, Convolution, Op
from smash_lightning.report.svg import FONT, LINE, SMALL, line, polygon, shape, text, text_width

# Blue and vermilion differ for every common colour blindness (Okabe and Ito); the marks differ in form as well.
READ, WRITE = "#0067a5", "#c44e00"
INK, QUIET, FAINT, BAND = "#1f2933", "#5b6673", "#b4bcc6", "#f3f5f7"
POINTWISE = "#fdf0bf"

STROKE = 0.14 * FONT
LANE = 1.25 * FONT  # between two lanes: the two digits of a bank's number fit
MARK = 0.42 * FONT  # radius of a mark: those on neighbouring lanes do not touch
PILL = 1.4 * FONT  # height of a convolution

Meeting = Literal["fill", "sum", "mean"]
"""How an op's output meets a bank: it fills an empty one, or is added to it, or enters its mean."""


def meetings(op: Op, filled: set[int]) -> dict[int, Meeting]:
    """How `op` meets each bank that it writes, where the banks in `filled` hold something."""
    return {bank: op.join if bank in filled else "fill" for bank in op.write}


def convolution_label(convolution: Convolution) -> str:
    """Kernel; dilation and groups where they are not 1: `3×3 d2 g4`."""
    dilation = sorted(set(convolution.dilation))
    parts = [by(convolution.kernel)]
    if dilation != [1]:
        parts.append(f"d{dilation[0] if len(dilation) == 1 else by(convolution.dilation)}")
    if convolution.groups != 1:
        parts.append(f"g{convolution.groups}")
    return " ".join(parts)


def by(sizes: tuple[int, ...]) -> str:
    """Sizes on each axis: `3×5`."""
    return "×".join(map(str, sizes))


def draw_cap(parent: Element, x: float, y: float, bank: int, is_input: bool) -> None:
    """The head of a lane: the bank's number, on dark ground where the bank holds the block's input."""
    side = 0.95 * LANE
    ground, ink = (INK, "white") if is_input else ("white", QUIET)
    corner = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side, "rx": 0.2 * side}
    shape(parent, "rect", **corner, fill=ground, stroke=INK if is_input else FAINT)
    text(parent, (x, y), str(bank), 0.9 * SMALL, fill=ink, text_anchor="middle")


def draw_lane(parent: Element, x: float, top: float, bottom: float, filled: bool) -> None:
    """A stretch of a bank's lane."""
    stroke: dict[str, float | str] = {"stroke": QUIET, "stroke_width": 1.4 * STROKE}
    if not filled:
        stroke = {"stroke": FAINT, "stroke_width": 0.5 * STROKE, "stroke_dasharray": "2 3"}
    line(parent, [(x, top), (x, bottom)], **stroke)


def draw_read(parent: Element, x: float, y: float, bank: int) -> None:
    """A bank is read: a dot."""
    shape(parent, "circle", class_="read", data_bank=str(bank), cx=x, cy=y, r=0.7 * MARK, fill=READ)


def draw_write(parent: Element, x: float, y: float, bank: int, meeting: Meeting) -> None:
    """A bank is written: a triangle fills it, a ring with a plus adds to it, a ring with a bar takes the mean."""
    mark = shape(parent, "g", class_=f"write {meeting}", data_bank=str(bank))
    if meeting == "fill":
        polygon(mark, [(x - MARK, y - 0.8 * MARK), (x + MARK, y - 0.8 * MARK), (x, y + MARK)], WRITE)
        return
    shape(mark, "circle", cx=x, cy=y, r=MARK, fill="white", stroke=WRITE, stroke_width=0.7 * STROKE)
    if meeting == "sum":
        draw_plus(mark, x, y, WRITE)
    else:
        text(mark, (x, y), "μ", 0.8 * SMALL, fill=WRITE, text_anchor="middle", font_weight="bold")


def draw_plus(parent: Element, x: float, y: float, colour: str) -> None:
    """The cross of an addition."""
    arm = 0.6 * MARK
    for points in ([(x - arm, y), (x + arm, y)], [(x, y - arm), (x, y + arm)]):
        line(parent, points, stroke=colour, stroke_width=0.7 * STROKE)


def draw_sum_of_paths(parent: Element, x: float, y: float) -> None:
    """Two paths of an op are added."""
    shape(parent, "circle", cx=x, cy=y, r=MARK, fill="white", stroke=INK, stroke_width=0.5 * STROKE)
    draw_plus(parent, x, y, INK)


def draw_pill(parent: Element, left: float, top: float, width: float, label: str, ground: str = "white") -> None:
    """A convolution of an op."""
    box = {"x": left, "y": top, "width": width, "height": PILL, "rx": 0.35 * PILL}
    shape(parent, "rect", **box, fill=ground, stroke=INK, stroke_width=0.5 * STROKE)
    text(parent, (left + width / 2, top + PILL / 2), label, 0.9 * FONT, fill=INK, text_anchor="middle")


def draw_legend(parent: Element, architecture: Architecture, left: float, top: float, right: float) -> float:
    """Explains the signs that occur in `architecture`, in as many lines as it takes; returns where it ends."""
    step = 1.5 * LINE
    shape(parent, "line", x1=left, x2=right, y1=top, y2=top, stroke=FAINT, stroke_width=0.5 * STROKE)
    x, y = left, top + step
    for width, draw, meaning in _signs(architecture):
        needed = width + 0.5 * FONT + text_width(meaning, 0.95 * FONT)
        if x > left and x + needed > right:
            x, y = left, y + step
        draw(parent, x, y)
        text(parent, (x + width + 0.5 * FONT, y), meaning, 0.95 * FONT, fill=INK)
        x += needed + 1.5 * FONT
    return y + step / 2


Sign = tuple[float, Callable[[Element, float, float], None], str]
"""Width, how to draw it with its left end at (x, y), and its meaning."""


def _signs(architecture: Architecture) -> Iterator[Sign]:
    ops, long, half = list(architecture.ops()), 2.4 * FONT, 0.5 * LANE
    occurring, reused = _occurring_meetings(architecture), any(op.units < len(op.write) for op in ops)

    def lane(filled: bool) -> Callable[[Element, float, float], None]:
        return lambda g, x, y: draw_lane(g, x + half, y - half, y + half, filled)

    def write(meeting: Meeting) -> Callable[[Element, float, float], None]:
        def draw(g: Element, x: float, y: float) -> None:
            line(g, [(x + half, y), (x + long, y)], stroke=WRITE, stroke_width=STROKE)
            draw_write(shape(g, "g"), x + half, y, 0, meeting)

        return draw

    def read(g: Element, x: float, y: float) -> None:
        line(g, [(x + half, y), (x + long, y)], stroke=READ, stroke_width=STROKE)
        draw_read(g, x + half, y, 0)

    def box(label: str, ground: str) -> tuple[float, Callable[[Element, float, float], None]]:
        width = text_width(label) + FONT
        return width, lambda g, x, y: draw_pill(g, x, y - PILL / 2, width, label, ground)

    yield LANE, lambda g, x, y: draw_cap(g, x + half, y, 0, is_input=True), "bank that holds the block's input"
    yield LANE, lane(False), "bank, still empty"
    yield LANE, lane(True), "bank, filled"
    yield long, read, "op reads the bank (channels above the line)"
    yield long, write("fill"), "op fills the bank"
    if "sum" in occurring:
        yield long, write("sum"), "op adds to the bank"
    if "mean" in occurring:
        yield long, write("mean"), "bank becomes the mean of all that was written to it"
    if reused:
        yield long, lambda g, x, y: text(g, (x + half, y), "0 1 0", SMALL, fill=WRITE), "slice of the output, used again"
    if any(op.bottleneck is not None for op in ops):
        yield *box("1×1 → 8", POINTWISE), "1×1 convolution and its output channels"
    yield *box("3×3 d2 g4", "white"), "convolution: kernel, dilation 2, 4 groups (where not 1)"
    if any(len(op.paths) == 2 for op in ops):
        yield 2 * MARK, lambda g, x, y: draw_sum_of_paths(g, x + MARK, y), "paths are added"
    if any(op.activation == "pre" for op in ops):
        yield 0, lambda g, x, y: None, "Norm and ReLU come before a convolution" + _where(ops, "pre")
    if any(op.activation == "post" for op in ops):
        yield 0, lambda g, x, y: None, "Norm and ReLU come after a convolution" + _where(ops, "post")


def _where(ops: list[Op], activation: str) -> str:
    mixed = len({op.activation for op in ops}) > 1
    return f" in ops marked {activation}." if mixed else "."


def _occurring_meetings(architecture: Architecture) -> set[Meeting]:
    occurring: set[Meeting] = set()
    for block in architecture.blocks:
        filled = set(range(block.inputs))
        for op in block.ops:
            occurring |= set(meetings(op, filled).values())
            filled |= set(op.write)
    return occurring
