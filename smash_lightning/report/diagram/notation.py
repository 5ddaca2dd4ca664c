"""The signs of the memory-bank diagram: colours, marks and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.etree.ElementTree import Element

from smash_lightning.architecture import Convolution, Op
from smash_lightning.report.diagram.svg import FONT, SMALL, TIMES, line, polygon, shape, text

# Blue and vermilion differ for every common colour blindness (Okabe and Ito); the marks differ in form as well.
READ, WRITE = "#0067a5", "#c44e00"
INK, QUIET, FAINT, BAND = "#1f2933", "#5b6673", "#b4bcc6", "#f3f5f7"
POINTWISE = "#fdf0bf"

STROKE = 0.14 * FONT
LANE = 1.25 * FONT  # between two lanes: the two digits of a bank's number fit
MARK = 0.42 * FONT  # radius of a mark: those on neighbouring lanes do not touch
PILL = 1.35 * FONT  # height of a convolution

Meeting = Literal["fill", "sum", "mean"]
"""How an op's output meets a bank: it fills an empty one, or is added to it, or enters its mean."""


def meetings(op: Op, filled: set[int]) -> dict[int, Meeting]:
    """How `op` meets each bank that it writes, where the banks in `filled` hold something."""
    return {bank: op.join if bank in filled else "fill" for bank in op.write}


def convolution_label(convolution: Convolution) -> str:
    """Kernel; dilation and groups where they are not 1: `3x3 d2 g4`."""
    dilation = sorted(set(convolution.dilation))
    parts = [by(convolution.kernel)]
    if dilation != [1]:
        parts.append(f"d{dilation[0] if len(dilation) == 1 else by(convolution.dilation)}")
    if convolution.groups != 1:
        parts.append(f"g{convolution.groups}")
    return " ".join(parts)


def pointwise_label(op: Op) -> str:
    """The 1x1 convolution and its output channels; empty where there is none."""
    return "" if op.bottleneck is None else f"{by((1,) * len(op.paths[0][0].kernel))} → {op.bottleneck}"


def sentence(op: Op, width: int, filled: set[int]) -> str:
    """An op in words, where banks have `width` channels and those in `filled` hold something."""
    paths = " beside ".join(" then ".join(map(convolution_label, path)) for path in op.paths)
    steps = [pointwise_label(op)] * (op.bottleneck is not None) + [paths]
    verbs = {"fill": "fills", "sum": "adds to", "mean": "joins the mean of"}
    written = meetings(op, filled)
    ends = [
        f"{verb} {_banks([bank for bank in written if written[bank] == meeting])}"
        for meeting, verb in verbs.items()
        if meeting in written.values()
    ]
    read = f"reads {_banks(op.read)} ({len(op.read) * width} channels)"
    return f"{read}; {'; '.join(steps)}; {' and '.join(ends)} ({op.units * width} channels)"


def _banks(banks: Sequence[int]) -> str:
    return f"{'bank' if len(banks) == 1 else 'banks'} {', '.join(map(str, banks))}"


def by(sizes: tuple[int, ...]) -> str:
    """Sizes on each axis: `3x5`."""
    return TIMES.join(map(str, sizes))


def draw_cap(parent: Element, x: float, y: float, bank: int, is_input: bool) -> None:
    """The head of a lane: the bank's number, on dark ground where the bank holds the block's input."""
    side = 0.86 * LANE
    ground, edge, ink = (INK, INK, "white") if is_input else ("white", FAINT, QUIET)
    corner = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side, "rx": 0.2 * side}
    shape(parent, "rect", **corner, fill=ground, stroke=edge, stroke_width=0.5 * STROKE)
    text(parent, (x, y), str(bank), 0.9 * SMALL, fill=ink, text_anchor="middle")


def draw_lane(parent: Element, x: float, top: float, bottom: float, filled: bool) -> None:
    """A stretch of a bank's lane."""
    stroke: dict[str, float | str] = {"stroke": QUIET, "stroke_width": 1.4 * STROKE}
    if not filled:
        stroke = {"stroke": FAINT, "stroke_width": 0.6 * STROKE, "stroke_dasharray": "2 3"}
    line(parent, [(x, top), (x, bottom)], **stroke)


def draw_dot(parent: Element, x: float, y: float, colour: str) -> None:
    """A bank is read."""
    shape(parent, "circle", cx=x, cy=y, r=0.7 * MARK, fill=colour)


def draw_meeting(parent: Element, x: float, y: float, meeting: Meeting) -> None:
    """A bank is written: a triangle fills it, a ring with a plus adds to it, a ring with a mu takes the mean."""
    if meeting == "fill":
        polygon(parent, [(x - MARK, y - 0.8 * MARK), (x + MARK, y - 0.8 * MARK), (x, y + MARK)], WRITE)
        return
    shape(parent, "circle", cx=x, cy=y, r=MARK, fill="white", stroke=WRITE, stroke_width=0.7 * STROKE)
    if meeting == "sum":
        _draw_plus(parent, x, y, WRITE)
    else:
        text(parent, (x, y), "μ", 0.8 * SMALL, fill=WRITE, text_anchor="middle", font_weight="bold")


def draw_sum_of_paths(parent: Element, x: float, y: float) -> None:
    """Two paths of an op are added."""
    shape(parent, "circle", cx=x, cy=y, r=MARK, fill="white", stroke=INK, stroke_width=0.5 * STROKE)
    _draw_plus(parent, x, y, INK)


def draw_pill(parent: Element, left: float, top: float, width: float, label: str, ground: str = "white") -> None:
    """A convolution of an op."""
    box = {"x": left, "y": top, "width": width, "height": PILL, "rx": 0.35 * PILL}
    shape(parent, "rect", **box, fill=ground, stroke=INK, stroke_width=0.5 * STROKE)
    text(parent, (left + width / 2, top + PILL / 2), label, 0.9 * FONT, fill=INK, text_anchor="middle")


def _draw_plus(parent: Element, x: float, y: float, colour: str) -> None:
    arm = 0.6 * MARK
    for points in ([(x - arm, y), (x + arm, y)], [(x, y - arm), (x, y + arm)]):
        line(parent, points, stroke=colour, stroke_width=0.7 * STROKE)
