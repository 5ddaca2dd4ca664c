"""One self-contained HTML page: no request to anywhere, readable without scripts, escaped, for phone and desktop."""

from __future__ import annotations

import base64
import functools
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import jinja2
import pandas as pd
import vl_convert

from smash_lightning.report.style import Chart, specification, svg

DIGITS = 4  # significant ones of a column's middle value
MISSING = "\N{EN DASH}"


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart: a static picture that scripts replace by the interactive chart.

    Args:
        name: unique in the page; letters, digits and underscores.
        chart: the chart.
        alt: what it shows, for those who cannot see it.
        caption: lines below it.
    """

    name: str
    chart: Chart
    alt: str
    caption: str = ""

    @functools.cached_property
    def specification(self) -> dict[str, Any]:
        """The chart's specification, with its data."""
        return specification(self.chart)

    @property
    def picture(self) -> str:
        """The chart as SVG in base64."""
        return base64.b64encode(svg(self.chart).encode()).decode()


@dataclass(frozen=True, eq=False)
class Table:
    """A frame as a table; numbers are right-aligned, with as many decimals as give the middle one four digits.

    Args:
        caption: what the table holds, with units.
        frame: a column per heading; None and NaN are shown as a dash.
        folded: shows only the caption until it is opened, for long tables.
    """

    caption: str
    frame: pd.DataFrame
    folded: bool = False

    @functools.cached_property
    def columns(self) -> list[tuple[str, bool, list[str]]]:
        """Each column's heading, whether it is numeric, and its cells."""
        return [(str(name), *_cells(list(column))) for name, column in self.frame.items()]


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading: what is not given is not shown, the rest in the order of the arguments.

    Args:
        title: the heading.
        paragraphs: plain text.
        steps: recommendations, as (heading, sentence).
        facts: short figures, as (what it is, value).
        figures: charts.
        tables: tables.
        drawings: SVG drawings of our own, as (caption, svg); the first is open, the others are folded.
        texts: text whose line breaks count, folded, as (caption, text).
    """

    title: str
    paragraphs: Sequence[str] = ()
    steps: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    drawings: Sequence[tuple[str, str]] = ()
    texts: Sequence[tuple[str, str]] = field(default=())


def render(title: str, sections: Sequence[Section], drawings: Mapping[str, str] | None = None) -> str:
    """The page as text, to be written in UTF-8.

    Args:
        title: heading of the page and name of its tab.
        sections: from top to bottom; the first is the summary.
        drawings: SVG drawings by fingerprint, shown while the pointer is over that architecture's point in a chart.
    """
    loader = jinja2.PackageLoader("smash_lightning.report", "")
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template.filters["drawing_width"] = lambda svg: round(1.25 * float(svg.split('viewBox="0 0 ', 1)[1].split()[0]))
    figures = [figure for section in sections for figure in section.figures]
    return template.get_template("report.html.jinja").render(
        title=title,
        sections=sections,
        specifications={figure.name: figure.specification for figure in figures},
        vega=_vega() if figures else "",
        drawings=base64.b64encode(zlib.compress(json.dumps(dict(drawings or {})).encode(), 9)).decode(),
    )


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, of the version that draws the static pictures."""
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub requires a snippet
    return bundle.replace("</script", "<\\/script")


def _cells(values: Sequence[Any]) -> tuple[bool, list[str]]:
    """Whether a column is numeric, and its cells as text."""
    values = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    present = [value for value in values if value is not None]
    if not present or any(isinstance(value, str) for value in present):
        return False, [MISSING if value is None else str(value) for value in values]
    decimals = _decimals(present)
    return True, [MISSING if value is None else _number(value, decimals) for value in values]


def _decimals(numbers: Sequence[float]) -> int:
    sizes = [abs(number) for number in numbers if math.isfinite(number) and number]
    if not sizes or all(float(number).is_integer() for number in numbers if math.isfinite(number)):
        return 0
    return min(max(DIGITS - 1 - math.floor(math.log10(median(sizes))), 0), 8)


def _number(value: float, decimals: int) -> str:
    text = "\N{INFINITY}" if math.isinf(value) else f"{abs(value):,.{decimals}f}"
    return f"\N{MINUS SIGN}{text}" if value < 0 else text
