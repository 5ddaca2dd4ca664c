"""A little SVG: shapes as XML elements, numbers rounded and text escaped; no ids, scripts or style sheets."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import category
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

FONT = 11.0  # height of normal text in user units; every other length of a drawing derives from it
SMALL = 0.8 * FONT
LINE = 1.35 * FONT  # distance between two lines of text
TIMES = "\N{MULTIPLICATION SIGN}"
NARROW, BROAD = frozenset(" .,:;'()fijlrtI"), frozenset(f"mwMW{TIMES}→")

Point = tuple[float, float]


def document(content: Element, width: float, height: float, title: str) -> str:
    """The finished drawing on white ground; it fills the width of its page and keeps its proportions."""
    root = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_plain(width)} {_plain(height)}", "width": "100%"}
    described = {"role": "img", "aria-label": _printable(title)}
    svg = Element("svg", root | described | {"font-family": "system-ui, 'Helvetica Neue', Arial, sans-serif"})
    shape(svg, "rect", width=width, height=height, fill="white")
    svg.append(content)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def shape(parent: Element, tag: str, **attributes: float | str) -> Element:
    """Adds an element. In an attribute's name `_` becomes `-`, and `class_` becomes `class`."""
    named = {name.rstrip("_").replace("_", "-"): _plain(value) for name, value in attributes.items()}
    return ElementTree.SubElement(parent, tag, named)


def line(parent: Element, points: Iterable[Point], **attributes: float | str) -> Element:
    """Adds an open line through points."""
    return shape(parent, "polyline", points=_joined(points), fill="none", **attributes)


def polygon(parent: Element, points: Iterable[Point], fill: str) -> Element:
    """Adds a filled polygon."""
    return shape(parent, "polygon", points=_joined(points), fill=fill)


def arrowhead(parent: Element, tip: Point, colour: str, down: bool = True) -> None:
    """Adds an arrowhead that points down, or else to the right."""
    x, y = tip
    long, half = 0.5 * FONT, 0.3 * FONT
    base = [(x - half, y - long), (x + half, y - long)] if down else [(x - long, y - half), (x - long, y + half)]
    polygon(parent, [tip, *base], colour)


def text(parent: Element, at: Point, content: str, size: float = FONT, **attributes: float | str) -> None:
    """Adds one line of text, vertically centred on `at`."""
    shape(parent, "text", x=at[0], y=at[1] + 0.36 * size, font_size=size, **attributes).text = _printable(content)


def text_width(content: str, size: float = FONT) -> float:
    """Width of a text in user units, whatever the font: about that of DejaVu Sans, the widest of the usual ones."""
    return size * sum(0.4 if c in NARROW else 0.9 if c in BROAD else 0.64 for c in content)


def _printable(content: str) -> str:
    """XML cannot hold control characters and lone surrogates, not even escaped."""
    if content.isprintable():
        return content
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in ("Cc", "Cs", "Cn") else c for c in content)


def _plain(value: float | str) -> str:
    return _printable(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def _joined(points: Iterable[Point]) -> str:
    return " ".join(f"{_plain(x)},{_plain(y)}" for x, y in points)
