"""The marks of the memory-bank diagram: colours, symbols and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Block, Convolution, Op
from smash_lightning.report.diagram.svg import FONT, SMALL, TIMES, line, polygon, shape, text

# Blue and vermilion differ with every common colour blindness (Okabe and Ito); the marks differ in form as well.
READ, WRITE = "#0067a5", "#c44e00"
INK, GREY, FAINT, BAND, POINTWISE = "#1f2933", "#5b6673", "#b4bcc6", "#f3f5f7", "#fdf0bf"
STROKE = 0.14 * FONT
LANE = 1.25 * FONT  # distance of two lanes: the two digits of a bank's number fit
MARK = 0.42 * FONT  # radius of a mark: those on neighbouring lanes do not touch
PILL = 1.35 * FONT  # height of a convolution

Join = Literal["fill", "sum", "mean"]
"""What an op's output does to a bank: it fills an empty one, is added to it, or enters its mean."""
MEANINGS: dict[Join, str] = {
    "fill": "op fills the bank",
    "sum": "op adds to the bank",
    "mean": "bank becomes the mean of all that was written to it",
}


def ops_with_joins(block: Block) -> Iterator[tuple[Op, dict[int, Join]]]:
    """Each op of a block with what it does to each bank that it writes."""
    filled = set(range(block.inputs))
    for op in block.ops:
        yield op, {bank: op.join if bank in filled else "fill" for bank in op.write}
        filled |= set(op.write)


def by(sizes: tuple[int, ...]) -> str:
    """Sizes on each axis: `3x5`."""
    return TIMES.join(map(str, sizes))


def convolution_label(convolution: Convolution) -> str:
    """Kernel; dilation and groups where they are not 1: `3x3 d2 g4`."""
    dilation = sorted(set(convolution.dilation))
    spread = f" d{dilation[0] if len(dilation) == 1 else by(convolution.dilation)}" if dilation != [1] else ""
    return by(convolution.kernel) + spread + (f" g{convolution.groups}" if convolution.groups != 1 else "")


def pointwise_label(op: Op) -> str:
    """The 1x1 convolution and its output channels; empty where there is none."""
    return "" if op.bottleneck is None else f"{by((1,) * len(op.paths[0][0].kernel))} → {op.bottleneck}"


def sentence(op: Op, joins: dict[int, Join], width: int) -> str:
    """An op in words, where banks have `width` channels."""
    paths = " in parallel with ".join(" then ".join(map(convolution_label, path)) for path in op.paths)
    steps = [pointwise_label(op), paths] if op.bottleneck is not None else [paths]
    ends = []
    for join, verb in (("fill", "fills"), ("sum", "adds to"), ("mean", "joins the mean of")):
        if banks := [bank for bank, one in joins.items() if one == join]:
            ends.append(f"{verb} {_banks(banks)}")
    read = f"reads {_banks(op.read)} ({len(op.read) * width} channels)"
    return f"{read}; {'; '.join(steps)}; {' and '.join(ends)} ({op.units * width} channels)"


def draw_cap(parent: Element, x: float, y: float, bank: int, is_input: bool) -> None:
    """The head of a lane: the bank's number, on dark ground where the bank holds the block's input."""
    side = 0.86 * LANE
    ground, edge, ink = (INK, INK, "white") if is_input else ("white", FAINT, GREY)
    corner = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side, "rx": 0.2 * side}
    shape(parent, "rect", **corner, fill=ground, stroke=edge, stroke_width=0.5 * STROKE)
    text(parent, (x, y), str(bank), 0.9 * SMALL, fill=ink, text_anchor="middle")


def draw_lane(parent: Element, x: float, top: float, bottom: float, filled: bool) -> None:
    """A stretch of a bank's lane."""
    stroke: dict[str, float | str] = {"stroke": GREY, "stroke_width": 1.4 * STROKE}
    if not filled:
        stroke = {"stroke": FAINT, "stroke_width": 0.6 * STROKE, "stroke_dasharray": "2 3"}
    line(parent, [(x, top), (x, bottom)], **stroke)


def draw_dot(parent: Element, x: float, y: float, colour: str) -> None:
    """A bank is read."""
    shape(parent, "circle", cx=x, cy=y, r=0.7 * MARK, fill=colour)


def draw_join(parent: Element, x: float, y: float, join: Join) -> None:
    """A bank is written: a triangle fills it, a ring with a plus adds to it, a ring with a mu takes the mean."""
    if join == "fill":
        polygon(parent, [(x - MARK, y - 0.8 * MARK), (x + MARK, y - 0.8 * MARK), (x, y + MARK)], WRITE)
    elif join == "sum":
        draw_plus(parent, x, y, WRITE, 0.7 * STROKE)
    else:
        shape(parent, "circle", cx=x, cy=y, r=MARK, fill="white", stroke=WRITE, stroke_width=0.7 * STROKE)
        text(parent, (x, y), "μ", 0.8 * SMALL, fill=WRITE, text_anchor="middle", font_weight="bold")


def draw_plus(parent: Element, x: float, y: float, colour: str = INK, stroke: float = 0.5 * STROKE) -> None:
    """A ring with a plus."""
    shape(parent, "circle", cx=x, cy=y, r=MARK, fill="white", stroke=colour, stroke_width=stroke)
    length = 0.6 * MARK
    for points in ([(x - length, y), (x + length, y)], [(x, y - length), (x, y + length)]):
        line(parent, points, stroke=colour, stroke_width=0.7 * STROKE)


def draw_pill(parent: Element, left: float, top: float, width: float, label: str, ground: str = "white") -> None:
    """A convolution of an op."""
    box = {"x": left, "y": top, "width": width, "height": PILL, "rx": 0.35 * PILL}
    shape(parent, "rect", **box, fill=ground, stroke=INK, stroke_width=0.5 * STROKE)
    text(parent, (left + width / 2, top + PILL / 2), label, 0.9 * FONT, fill=INK, text_anchor="middle")


def _banks(banks: Sequence[int]) -> str:
    return f"{'bank' if len(banks) == 1 else 'banks'} {', '.join(map(str, banks))}"
