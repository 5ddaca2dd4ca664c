"""Quantities over one that was varied or over time: lines with intervals, and how scores converge."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from smash_lightning.report.figures.scatter import group_order
from smash_lightning.report.figures.style import (
    BLUE,
    GREY,
    RESPONSIVE,
    WIDTH,
    Chart,
    finish,
    group_scales,
    legend_switch,
    tooltips,
)

LOSSES = {"fingerprint": "architecture", "epoch": "epoch", "val_loss": "validation loss, nats"}
ORDER = {"epoch": "epoch", "value": "Spearman", "low": "low", "high": "high"}
DODGE = 0.012  # of the axis: the distance of the error bars of two lines at one place


def lines(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    note: str = "",
    legend: str = "",
    log_x: bool = False,
    log_y: bool = False,
    reference: float | None = None,
) -> Chart:
    """Lines with error bars, such as a coefficient over the width of a HyperNet.

    Args:
        frame: a row per point: `x`, `y`; optional `low` and `high` (ends of the error bar; NaN draws none) and
            `series` (the line; in the order of a categorical column or of first appearance).
        x: title of the axis, with the unit.
        y: title of the axis, with the unit.
        title: above the figure.
        note: a smaller line under the title, such as n and what the bars are.
        legend: title of the legend.
        log_x: a logarithmic axis, for widths and steps that double.
        log_y: the same for y.
        reference: position of a horizontal line.

    Raises:
        ValueError: more lines than can be distinguished, or a value that a logarithmic axis cannot show.
    """
    for column, logarithmic in (("x", log_x), ("y", log_y)):
        if logarithmic and (frame[column] <= 0).any():
            raise ValueError(f"a logarithmic axis cannot show {column} = {frame[column].min()}")
    series = group_order(frame["series"]) if "series" in frame else ["all"]
    points = frame.assign(series=frame["series"].astype(str) if "series" in frame else "all")
    bars = "low" in frame and "high" in frame
    points["place"] = _dodged(points, series, log_x) if bars else points["x"]
    colours, shapes = group_scales(series)
    entries = alt.Legend(symbolOpacity=1, title=legend or None, columns=3) if len(series) > 1 else None
    hidden = legend_switch("series")
    x_scale = alt.Scale(type="log" if log_x else "linear", zero=False, nice=False, padding=14)
    y_scale = alt.Scale(type="log" if log_y else "linear", zero=False)
    ticks = sorted(points["x"].unique())
    axis = alt.Axis(values=ticks, grid=False, format="~g") if len(ticks) <= 12 else alt.Axis(grid=False)
    base = alt.Chart(points)
    place = alt.X("place:Q", title=x, scale=x_scale, axis=axis)
    colour = alt.Color("series:N", scale=colours, legend=entries)
    opacity = alt.condition(hidden, alt.value(0), alt.value(1), empty=False)
    value = alt.Y("y:Q", title=y, scale=y_scale)
    details = {"series": legend or "line", "x": x, "y": y, "low": "low", "high": "high"}
    layers = [] if reference is None else [_horizontal(reference)]
    if bars:
        ends = {"y": alt.Y("low:Q", title=y, scale=y_scale), "y2": "high:Q"}
        layers.append(base.mark_rule(strokeWidth=2).encode(x=place, **ends, color=colour, opacity=opacity))
    layers.append(base.mark_line(strokeWidth=2).encode(x=place, y=value, color=colour, opacity=opacity))
    marks = base.transform_filter(~hidden).mark_point(filled=True, size=80, opacity=1).add_params(hidden)
    layers.append(
        marks.encode(
            x=place,
            y=value,
            color=colour,
            shape=alt.Shape("series:N", scale=shapes, legend=entries),
            tooltip=tooltips(details, points),
        )
    )
    return finish(alt.layer(*layers).properties(width=WIDTH, height=360, usermeta=RESPONSIVE), title, note)


def settling(losses: pd.DataFrame, order: pd.DataFrame, *, title: str, note: str = "") -> Chart:
    """Scores of a fixed set of architectures while a HyperNet is trained, and how their order converges.

    Args:
        losses: `fingerprint`, `epoch`, `val_loss` (nats) and `last_rank` (by the loss at the last epoch, 1 is lowest).
        order: Spearman's rho of the losses at an epoch with those at the last one: `epoch`, `value`, `low`, `high`.
        title: above the figure.
        note: a smaller line under the title.
    """
    data = pd.concat([losses.assign(kind="loss"), order.assign(kind="order")], ignore_index=True)
    base = alt.Chart(data)
    epoch = alt.X("epoch:Q", title="epoch of the HyperNet", axis=alt.Axis(grid=False, tickMinStep=1))
    scale = alt.Scale(type="log", nice=False, padding=8)  # losses fall by much more than they differ
    loss = alt.Y(
        "val_loss:Q",
        title="validation loss with generated weights (nats)",
        scale=scale,
        axis=alt.Axis(tickCount=6, format="~g"),
    )
    legend = alt.Legend(title="rank by the last loss (1: lowest)", type="gradient", titleLimit=400, gradientLength=200)
    rank = alt.Color("last_rank:Q", scale=alt.Scale(scheme="viridis"), legend=legend)
    left = (
        base.transform_filter("datum.kind == 'loss'")
        .mark_line(point={"size": 18}, strokeWidth=1.3)
        .encode(x=epoch, y=loss, color=rank, detail="fingerprint:N", tooltip=tooltips(LOSSES, losses))
    )
    orders = base.transform_filter("datum.kind == 'order'")
    name = "Spearman's \N{GREEK SMALL LETTER RHO} with the last epoch"
    right = alt.layer(
        _horizontal(0),
        orders.mark_area(color=BLUE, opacity=0.15).encode(x=epoch, y=alt.Y("low:Q", title=name), y2="high:Q"),
        orders.mark_line(color=BLUE, point={"color": BLUE, "size": 50}).encode(
            x=epoch, y=alt.Y("value:Q", title=name), tooltip=tooltips(ORDER, order)
        ),
    )
    size = {"width": WIDTH // 2 - 20, "height": 320}
    return finish(alt.hconcat(left.properties(**size), right.properties(**size), spacing=50), title, note)


def _horizontal(y: float) -> alt.Chart:
    return alt.Chart(pd.DataFrame({"y": [y]})).mark_rule(color=GREY).encode(y="y:Q")


def _dodged(points: pd.DataFrame, series: list[str], log: bool) -> pd.Series[float]:
    """Values of x, moved a little sideways for each line so that error bars do not hide one another."""
    place = np.log(points["x"]) if log else points["x"].astype(float)
    index = points["series"].map({name: i for i, name in enumerate(series)})
    moved = place + DODGE * (place.max() - place.min()) * (index - (len(series) - 1) / 2)
    return pd.Series(np.exp(moved)) if log else moved
