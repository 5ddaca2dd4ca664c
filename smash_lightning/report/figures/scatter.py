"""One quantity against another: a point per architecture, in groups, with error bars and a fitted line."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from smash_lightning.report.figures.style import (
    BLUE,
    RESPONSIVE,
    WIDTH,
    Chart,
    finish,
    group_scales,
    legend_switch,
    tooltips,
)


def scatter(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    note: str = "",
    legend: str = "",
    details: Mapping[str, str] | None = None,
    line: pd.DataFrame | None = None,
) -> Chart:
    """Points in groups.

    Args:
        frame: a row per point: `x`, `y`; optional `low` and `high` (ends of the error bar of y), `group` (its colour
            and shape; in the order of a categorical column or of first appearance) and any columns for `details`.
        x: title of the axis, with the unit.
        y: title of the axis, with the unit.
        title: above the figure.
        note: a smaller line under the title, such as n and what the bars are.
        legend: title of the legend.
        details: columns that are shown while the pointer is over a point, and their titles.
        line: a fitted line with its band: `x`, `y`, `low`, `high`.
    """
    points = frame.assign(kind="point", group=frame["group"].astype(str) if "group" in frame else "all")
    groups = group_order(frame["group"]) if "group" in frame else ["all"]
    for end in ("low", "high"):
        points[end] = points[end].fillna(points["y"]) if end in points else points["y"]
    parts = [points] if line is None else [points, line.assign(kind="line")]
    base = alt.Chart(pd.concat(parts, ignore_index=True))
    of_points, of_line = base.transform_filter("datum.kind == 'point'"), base.transform_filter("datum.kind == 'line'")
    scale = alt.Scale(zero=False)
    x_axis, y_axis = (
        alt.X("x:Q", title=x, scale=scale, axis=alt.Axis(tickCount=8, labelOverlap="greedy")),
        alt.Y("y:Q", title=y, scale=scale),
    )
    ends = {"y": alt.Y("low:Q", title=y, scale=scale), "y2": "high:Q"}
    colours, shapes = group_scales(groups)
    entries = alt.Legend(symbolOpacity=1, title=legend or None) if len(groups) > 1 else None
    colour = alt.Color("group:N", scale=colours, legend=entries)
    hidden = legend_switch("group")
    bars = of_points.mark_rule(strokeWidth=1.3).encode(
        x=x_axis, **ends, color=colour, opacity=alt.condition(hidden, alt.value(0), alt.value(0.55), empty=False)
    )
    marks = of_points.transform_filter(~hidden).mark_point(filled=True, size=80, opacity=0.9).add_params(hidden)
    marks = marks.encode(
        x=x_axis,
        y=y_axis,
        color=colour,
        shape=alt.Shape("group:N", scale=shapes, legend=entries),
        tooltip=tooltips(details or {}, points),
    )
    band = of_line.mark_area(color=BLUE, opacity=0.13).encode(x=x_axis, **ends)
    fitted = of_line.mark_line(color=BLUE, strokeWidth=2).encode(x=x_axis, y=y_axis)
    layers = [band, fitted, bars, marks] if line is not None else [bars, marks]
    return finish(alt.layer(*layers).properties(width=WIDTH, height=400, usermeta=RESPONSIVE), title, note)


def group_order(column: pd.Series[str]) -> list[str]:
    """The groups that occur: in the order of a categorical column, else of first appearance."""
    occurring = list(dict.fromkeys(column.astype(str)))
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [str(name) for name in column.cat.categories if str(name) in occurring]
    return occurring
