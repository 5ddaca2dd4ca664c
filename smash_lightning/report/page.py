"""One self-contained HTML page: no script, no request to anywhere, readable on a desk and on a phone.

A page is made of sections, a section of parts; each part is a frozen value that knows its HTML. All text is escaped.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Protocol
from xml.etree import ElementTree

from smash_lightning.report.page_style import STYLE

Value = float | int | str | None
PNG = b"\x89PNG\r\n\x1a\n"
SHORT = 28  # characters of a cell that stay on one line
DIGITS = 4  # significant ones of a column's middle value
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the browser itself forbids requests


class Part(Protocol):
    """A part of a section."""

    def html(self) -> str:
        """The part as HTML."""


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a heading; without a title they follow what stands before."""

    title: str
    parts: tuple[Part, ...]

    def html(self) -> str:
        """The section as HTML."""
        heading = f"<h2>{escape(self.title)}</h2>\n" if self.title else ""
        return f"<section>\n{heading}{_joined(self.parts)}\n</section>"


@dataclass(frozen=True, slots=True)
class Paragraphs:
    """Plain text, one string a paragraph."""

    texts: tuple[str, ...]

    def html(self) -> str:
        """The paragraphs as HTML."""
        return "\n".join(f"<p>{escape(text)}</p>" for text in self.texts)


@dataclass(frozen=True, slots=True)
class Facts:
    """Short figures side by side, as (what it is, value), such as ("seeds", "3")."""

    items: tuple[tuple[str, str], ...]

    def html(self) -> str:
        """The figures as HTML."""
        items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in self.items)
        return f"<dl>{items}</dl>"


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG picture.

    Args:
        png: the file's bytes.
        alt: what it shows, for those who cannot see it.
        caption: a line below it.
    """

    png: bytes
    alt: str
    caption: str = ""

    def html(self) -> str:
        """The picture as HTML.

        Raises:
            ValueError: the bytes are not a PNG file.
        """
        if not self.png.startswith(PNG):
            raise ValueError(f"the picture {self.alt!r} is not a PNG file")
        width, height = (int.from_bytes(self.png[at : at + 4], "big") for at in (16, 20))
        data = base64.b64encode(self.png).decode()
        least = 0.4 * width  # below it the text in a plot cannot be read, so that a phone scrolls instead
        image = f'<img src="data:image/png;base64,{data}" alt="{escape(self.alt)}" width="{width}" height="{height}"'
        return _figure(f'{image} style="min-width:{least:.0f}px">', self.alt, self.caption)


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG drawing, put into the page as it is: it must be one's own, without ids and without references.

    Args:
        svg: one `svg` element with a viewBox.
        alt: what it shows, for those who cannot see it.
        caption: a line below it.
        folded: shows only `alt` until it is opened.
    """

    svg: str
    alt: str
    caption: str = ""
    folded: bool = False

    def html(self) -> str:
        """The drawing as HTML.

        Raises:
            ValueError: not an SVG element with a viewBox.
        """
        try:
            root = ElementTree.fromstring(self.svg)
            width = float(root.attrib["viewBox"].split()[2])
        except (ElementTree.ParseError, LookupError, ValueError):
            raise ValueError(f"the drawing {self.alt!r} is not an svg element with a viewBox") from None
        size = f"min-width:{0.9 * width:.0f}px;max-width:{1.4 * width:.0f}px"  # its text about as large as the page's
        svg = self.svg[self.svg.index("<svg") :].strip()
        box = f'<div class="drawing" role="img" aria-label="{escape(self.alt)}" style="{size}">{svg}</div>'
        if self.folded:
            return _folded(self.alt, _scrolling(box, self.alt))
        return _figure(box, self.alt, self.caption)


@dataclass(frozen=True, slots=True)
class Table:
    """A table; a column of numbers stands to the right, its middle value with four digits unless all have fewer.

    Args:
        columns: headings.
        rows: values; None and NaN are shown as a dash.
        caption: what the table holds, with units.
        folded: shows only the caption until it is opened: for long tables.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    caption: str
    folded: bool = False

    def html(self) -> str:
        """The table as HTML.

        Raises:
            ValueError: a row with more or fewer values than columns.
        """
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.caption!r}: a row of {len(row)} for {len(self.columns)} columns")
        columns = [_cells([row[i] for row in self.rows]) for i in range(len(self.columns))]
        sides = [side for side, _ in columns]
        head = "".join(
            f'<th scope="col"{side}>{escape(name)}</th>' for name, side in zip(self.columns, sides, strict=True)
        )
        lines = zip(*(cells for _, cells in columns), strict=True)
        body = "\n".join(f"<tr>{''.join(line)}</tr>" for line in lines)
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
        if self.folded:
            return _folded(self.caption, _scrolling(table, self.caption))
        return _figure(table, self.caption, self.caption, above=True)


@dataclass(frozen=True, slots=True)
class Preformatted:
    """Text whose line breaks count, such as a configuration.

    Args:
        text: the text.
        caption: what it is.
        folded: shows only the caption until it is opened.
    """

    text: str
    caption: str
    folded: bool = False

    def html(self) -> str:
        """The text as HTML."""
        text = f"<pre>{escape(self.text)}</pre>"
        if self.folded:
            return _folded(self.caption, _scrolling(text, self.caption))
        return _figure(text, self.caption, self.caption, above=True)


def report_page(title: str, sections: Sequence[Section]) -> str:
    """The page as text, to be written in UTF-8.

    Args:
        title: heading of the page and name of its tab.
        sections: from top to bottom; the first is the summary and set in larger type.

    Raises:
        ValueError: a part whose content is not what it should be.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_joined(sections)}
</main>
</body>
</html>
"""


def _joined(parts: Sequence[Part]) -> str:
    return "\n".join(part.html() for part in parts)


def _figure(content: str, name: str, caption: str, above: bool = False) -> str:
    shown = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    parts = (shown, _scrolling(content, name)) if above else (_scrolling(content, name), shown)
    return f"<figure>{''.join(parts)}</figure>"


def _folded(caption: str, content: str) -> str:
    return f"<details><summary>{escape(caption)}</summary>{content}</details>"


def _scrolling(content: str, name: str) -> str:
    # It takes the focus, so that arrow keys scroll it.
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{content}</div>'


def _cells(values: Sequence[Value]) -> tuple[str, list[str]]:
    """The side on which a column stands, as attribute, and its cells."""
    numbers = [value for value in values if isinstance(value, int | float)]
    if not numbers or any(isinstance(value, str) for value in values):
        texts = ["\N{EN DASH}" if value is None else str(value) for value in values]
        return "", [f"<td{_wrapping(text)}>{escape(text)}</td>" for text in texts]
    side, decimals = ' class="number"', _decimals(numbers)
    return side, [f"<td{side}>{_number(value, decimals)}</td>" for value in values]


def _wrapping(text: str) -> str:
    return ' class="long"' if len(text) > SHORT else ""


def _decimals(numbers: Sequence[float]) -> int:
    if all(isinstance(number, int) for number in numbers):
        return 0
    finite = [number for number in numbers if math.isfinite(number)]
    sizes = [abs(number) for number in finite if number]
    if not sizes:
        return 0
    # The middle one, as a single loss that exploded must not leave the others without digits.
    most = min(max(DIGITS - 1 - math.floor(math.log10(median(sizes))), 0), 8)
    # 6.7 beside 7.25 is 6.70, but 6.7 beside 7.9 gains no zeros.
    return next(d for d in range(most + 1) if all(round(n, d) == round(n, most) for n in finite))


def _number(value: Value, decimals: int) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "\N{EN DASH}"
    text = "\N{INFINITY}" if math.isinf(value) else f"{abs(value):,.{decimals}f}"
    return f"\N{MINUS SIGN}{text}" if value < 0 else text
