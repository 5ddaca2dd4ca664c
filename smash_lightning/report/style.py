"""The common look of all figures, and how a chart becomes a file."""

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
TEXT = {"labelFontSize": 13, "labelColor": INK}
AXIS_TITLE = {"titleFontSize": 13, "titleFontWeight": 600, "titlePadding": 8, "titleColor": INK}
LINES = {"domainColor": GREY, "tickColor": GREY, "gridColor": RULE, "labelSeparation": 8}
LEGEND = {"titleFontSize": 13, "titleColor": INK, "symbolSize": 90, "labelLimit": 400, "orient": "top"}
HEADING = {"fontSize": 16, "color": INK, "offset": 14}
THEME: dict[str, Any] = {
    "font": "'Liberation Sans', Arial, 'Helvetica Neue', sans-serif",
    "title": HEADING | {"subtitleFontSize": 13, "subtitleColor": GREY, "subtitlePadding": 6},
    "axis": TEXT | AXIS_TITLE | LINES,
    "legend": TEXT | LEGEND | {"unselectedOpacity": 1},
    "header": TEXT | {"labelFontWeight": 600, "labelLimit": 500},
    "view": {"stroke": None},
}


def finish(chart: Chart, title: str, note: str = "") -> Chart:
    """Adds title, subtitle and the common look to a chart."""
    heading = alt.TitleParams(text=title, subtitle=textwrap.wrap(note, NOTE), anchor="start", frame="bounds")
    return chart.properties(title=heading, background="white", padding=8).configure(**THEME)


def group_encodings(
    column: str, groups: Sequence[str], title: str = "", columns: Any = alt.Undefined
) -> dict[str, Any]:
    """Colour and shape for groups in order, with a legend of that title and number of columns; one group needs none.

    Raises:
        ValueError: more groups than there are colours.
    """
    if len(groups) > len(COLOURS):
        raise ValueError(f"{len(groups)} groups in one figure cannot be distinguished: draw {len(COLOURS)} or fewer")
    legend = alt.Legend(symbolOpacity=1, title=title or None, columns=columns) if len(groups) > 1 else None
    colours = alt.Scale(domain=list(groups), range=list(COLOURS[: len(groups)]))
    shapes = alt.Scale(domain=list(groups), range=list(SHAPES[: len(groups)]))
    return {
        "color": alt.Color(f"{column}:N", scale=colours, legend=legend),
        "shape": alt.Shape(f"{column}:N", scale=shapes, legend=legend),
    }


def legend_switch(column: str, opacity: float) -> tuple[alt.Parameter, Any]:
    """A selection of hidden groups (a click on a legend entry hides that group or shows it again), and the opacity."""
    hidden = alt.selection_point(name="hidden", fields=[column], bind="legend", toggle="true", empty=False, clear=False)
    return hidden, alt.condition(hidden, alt.value(0), alt.value(opacity), empty=False)


def tooltips(details: Mapping[str, str], frame: pd.DataFrame) -> list[alt.Tooltip]:
    """Rows of the box that appears while the pointer is over a mark; columns that the frame lacks are skipped."""
    return [
        alt.Tooltip(column, type="quantitative", format=".4~g", title=title)
        if pd.api.types.is_float_dtype(frame[column])
        else alt.Tooltip(column, type="nominal", title=title)
        for column, title in details.items()
        if column in frame
    ]


def specification(chart: Chart) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, with its data in it."""
    with alt.data_transformers.enable("default", max_rows=None):
        return chart.to_dict()


def save(specified: dict[str, Any], path: Path) -> None:
    """Writes the specification of a chart as a PNG file."""
    with atomic_write(path) as partial:
        partial.write_bytes(vl_convert.vegalite_to_png(specified, scale=SCALE))
