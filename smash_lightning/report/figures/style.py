"""The common look of all figures, and how a chart becomes a file."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from smash_lightning.files import atomic_write

Chart = alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart | alt.Chart

# Okabe and Ito's colours differ with every common colour blindness; shapes differ as well.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#5b6673"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, GREY, BLACK)
SHAPES = ("circle", "triangle-up", "square", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
INK, RULE = "#1f2933", "#dde2e7"
WIDTH = 720  # pixels of a chart with one panel, labels not included
RESPONSIVE = {"responsive": True}  # a page may change the width
SCALE = 2.0  # pixels of a PNG file per pixel of the chart
NOTE = 120  # characters of a line of the subtitle
FONT = "'Liberation Sans', Arial, 'Helvetica Neue', sans-serif"


def finish(chart: Chart, title: str, note: str = "") -> Chart:
    """Adds title, subtitle and the common look to a chart."""
    heading = alt.TitleParams(text=title, subtitle=textwrap.wrap(note, NOTE), anchor="start", frame="bounds")
    axis = {"labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": 600, "titlePadding": 8, "labelSeparation": 8}
    colours = {"labelColor": INK, "titleColor": INK, "domainColor": GREY, "tickColor": GREY, "gridColor": RULE}
    legend = {
        "labelFontSize": 13,
        "titleFontSize": 13,
        "symbolSize": 90,
        "labelLimit": 400,
        "orient": "top",
        "unselectedOpacity": 1,
    }
    return (
        chart.properties(title=heading, background="white", padding=8)
        .configure(font=FONT)
        .configure_title(fontSize=16, subtitleFontSize=13, subtitleColor=GREY, color=INK, offset=14, subtitlePadding=6)
        .configure_axis(**axis, **colours)
        .configure_legend(**legend, labelColor=INK, titleColor=INK)
        .configure_header(labelFontSize=13, labelFontWeight=600, labelColor=INK, labelLimit=500)
        .configure_view(stroke=None)
    )


def group_scales(groups: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    """Scales of colour and shape for groups in order.

    Raises:
        ValueError: more groups than there are colours.
    """
    if len(groups) > len(COLOURS):
        raise ValueError(f"{len(groups)} groups in one figure cannot be distinguished: draw {len(COLOURS)} or fewer")
    names, count = list(groups), len(groups)
    return (alt.Scale(domain=names, range=list(COLOURS[:count])), alt.Scale(domain=names, range=list(SHAPES[:count])))


def legend_switch(column: str) -> alt.Parameter:
    """A selection of hidden groups: a click on a legend entry hides that group or shows it again."""
    return alt.selection_point(name="hidden", fields=[column], bind="legend", toggle="true", empty=False, clear=False)


def tooltips(details: Mapping[str, str], frame: pd.DataFrame) -> list[alt.Tooltip]:
    """Rows of the box that appears while the pointer is over a mark; columns that the frame lacks are skipped."""
    found = {column: title for column, title in details.items() if column in frame}
    numeric = {column for column in found if pd.api.types.is_float_dtype(frame[column])}
    return [
        alt.Tooltip(column, type="quantitative", format=".4~g", title=title)
        if column in numeric
        else alt.Tooltip(column, type="nominal", title=title)
        for column, title in found.items()
    ]


def interval_text(value: float | None, low: float, high: float, decimals: int = 2) -> str:
    """An estimate with its interval, as in '0.57 [0.35, 0.74]'; 'undefined' for None and NaN."""
    if value is None or math.isnan(value):
        return "undefined"
    first, lower, upper = (_rounded(number, decimals) for number in (value, low, high))
    return f"{first} [{lower}, {upper}]"


def decimals_for(widths: pd.Series[float]) -> int:
    """Decimals that show two digits of the usual width of an interval: nats need more of them than coefficients."""
    middle = widths[widths > 0].median()
    return 2 if math.isnan(middle) else min(max(1 - math.floor(math.log10(middle)), 0), 8)


def specification(chart: Chart) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, with its data in it."""
    with alt.data_transformers.enable("default", max_rows=None):
        return chart.to_dict()


def svg(chart: Chart) -> str:
    """The chart as an SVG drawing."""
    return vl_convert.vegalite_to_svg(specification(chart))


def save(chart: Chart, path: Path) -> None:
    """Writes a chart as a whole: .png, .svg, .html (interactive, without requests) or .json (the specification).

    Raises:
        ValueError: another kind of file.
    """
    if path.suffix not in (".png", ".svg", ".html", ".json"):
        raise ValueError(f"{path}: a chart is written as .png, .svg, .html or .json")
    if path.suffix == ".png":
        content = vl_convert.vegalite_to_png(specification(chart), scale=SCALE)
    elif path.suffix == ".svg":
        content = svg(chart).encode()
    elif path.suffix == ".html":
        content = vl_convert.vegalite_to_html(specification(chart), bundle=True).encode()
    else:
        content = json.dumps(specification(chart)).encode()
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def _rounded(number: float, decimals: int) -> str:
    text = f"{number:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")
