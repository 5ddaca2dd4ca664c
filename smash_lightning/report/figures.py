"""How do results look? One Altair chart per figure over a pandas frame, for files, pages and W&B.

Each function takes a frame with the column names that it documents. In addition: `x` and `y` are titles of axes, with
the unit; `title` is above the figure, and `note` a smaller line under it, such as n and what the bars are; `details`
are columns that are shown while the pointer is over a mark, and their titles.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smash_lightning.report.labels import Estimate, decimals_for, interval_text
from smash_lightning.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RESPONSIVE,
    WIDTH,
    Chart,
    finish,
    group_encodings,
    legend_switch,
    tooltips,
)

HALF = WIDTH // 2 - 30  # pixels of one of two panels
ROW, TEXT_ROOM = 28, 155  # pixels of a row of a forest, and to the right of a panel for its estimates in figures
DODGE = 0.012  # of the axis: the distance of the error bars of two lines at one place
FRONT, PRESET = ("on the front", "others"), "preset"


def scatter(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    note: str,
    legend: str,
    details: Mapping[str, str],
    line: pd.DataFrame | None = None,
) -> Chart:
    """Points in groups with error bars, and a fitted line.

    `frame` has a row per point: `x`, `y`, `low` and `high` (ends of the bar of y; NaN draws none) and `group` (its
    colour and shape; categorical), of which `legend` is the title. `line` has the columns `x`, `y`, and `low` and
    `high` of its band.
    """
    groups = list(frame["group"].cat.remove_unused_categories().cat.categories)
    points = frame.assign(kind="point", group=frame["group"].astype(str))
    for end in ("low", "high"):
        points[end] = points[end].fillna(points["y"])
    scale = alt.Scale(zero=False)
    x_axis = alt.X("x:Q", title=x, scale=scale, axis=alt.Axis(tickCount=8, labelOverlap="greedy"))
    y_axis, ends = alt.Y("y:Q", title=y, scale=scale), _ends(y, scale)
    base = alt.Chart(pd.concat([points] if line is None else [points, line.assign(kind="line")], ignore_index=True))
    of_points, of_line = base.transform_filter("datum.kind == 'point'"), base.transform_filter("datum.kind == 'line'")
    encodings = group_encodings("group", groups, legend)
    hidden, opacity = legend_switch("group", 0.55)
    bars = of_points.mark_rule(strokeWidth=1.3).encode(x=x_axis, **ends, color=encodings["color"], opacity=opacity)
    marks = of_points.transform_filter(~hidden).mark_point(filled=True, size=80, opacity=0.9).add_params(hidden)
    layers = [bars, marks.encode(x=x_axis, y=y_axis, **encodings, tooltip=tooltips(details, points))]
    if line is not None:
        band = of_line.mark_area(color=BLUE, opacity=0.13).encode(x=x_axis, **ends)
        layers = [band, of_line.mark_line(color=BLUE, strokeWidth=2).encode(x=x_axis, y=y_axis), *layers]
    return finish(alt.layer(*layers).properties(width=WIDTH, height=400, usermeta=RESPONSIVE), title, note)


def lines(frame: pd.DataFrame, *, x: str, y: str, title: str, note: str = "", log_x: bool = False) -> Chart:
    """Lines with error bars, such as a coefficient over the width of a HyperNet.

    `frame` has a row per point: `x`, `y`, `low` and `high` (ends of the error bar; NaN draws none) and `series` (the
    line; in the order of first appearance). `log_x` is for widths and steps that double.

    Raises:
        ValueError: more lines than can be distinguished.
    """
    series, ticks = list(dict.fromkeys(frame["series"])), sorted(frame["x"].unique())
    points = frame.assign(place=_dodged(frame, log_x))
    x_scale = alt.Scale(type="log" if log_x else "linear", zero=False, nice=False, padding=14)
    axis = alt.Axis(values=ticks, grid=False, format="~g") if len(ticks) <= 12 else alt.Axis(grid=False)
    y_scale = alt.Scale(zero=False)
    place, value = alt.X("place:Q", title=x, scale=x_scale, axis=axis), alt.Y("y:Q", title=y, scale=y_scale)
    encodings, base = group_encodings("series", series, columns=3), alt.Chart(points)
    hidden, opacity = legend_switch("series", 1)
    shown = {"x": place, "color": encodings["color"], "opacity": opacity}
    marks = base.transform_filter(~hidden).mark_point(filled=True, size=80, opacity=1).add_params(hidden)
    details = {"series": "line", "x": x, "y": y, "low": "low", "high": "high"}
    layers = [
        base.mark_rule(strokeWidth=2).encode(**shown, **_ends(y, y_scale)),
        base.mark_line(strokeWidth=2).encode(**shown, y=value),
        marks.encode(x=place, y=value, **encodings, tooltip=tooltips(details, points)),
    ]
    return finish(alt.layer(*layers).properties(width=WIDTH, height=360, usermeta=RESPONSIVE), title, note)


def settling(losses: pd.DataFrame, order: pd.DataFrame, *, title: str, note: str = "") -> Chart:
    """Scores of a fixed set of architectures while a HyperNet is trained, and how their order converges.

    `losses`: `fingerprint`, `epoch`, `val_loss` (nats) and `last_rank` (by the loss at the last epoch, 1 is lowest).
    `order`: Spearman's rho of the losses at an epoch with those at the last one: `epoch`, `value`, `low`, `high`.
    """
    base = alt.Chart(pd.concat([losses.assign(kind="loss"), order.assign(kind="order")], ignore_index=True))
    epoch = alt.X("epoch:Q", title="epoch of the HyperNet", axis=alt.Axis(grid=False, tickMinStep=1))
    scale = alt.Scale(type="log", nice=False, padding=8)  # losses fall by much more than they differ
    axis = alt.Axis(tickCount=6, format="~g")
    loss = alt.Y("val_loss:Q", title="validation loss with generated weights (nats)", scale=scale, axis=axis)
    legend = alt.Legend(title="rank by the last loss (1: lowest)", type="gradient", titleLimit=400, gradientLength=200)
    rank = alt.Color("last_rank:Q", scale=alt.Scale(scheme="viridis"), legend=legend)
    details = {"fingerprint": "architecture", "epoch": "epoch", "val_loss": "validation loss, nats"}
    curves = base.transform_filter("datum.kind == 'loss'").mark_line(point={"size": 18}, strokeWidth=1.3)
    left = curves.encode(x=epoch, y=loss, color=rank, detail="fingerprint:N", tooltip=tooltips(details, losses))
    orders = base.transform_filter("datum.kind == 'order'")
    name = "Spearman's \N{GREEK SMALL LETTER RHO} with the last epoch"
    coefficients = orders.mark_line(color=BLUE, point={"color": BLUE, "size": 50})
    details = {"epoch": "epoch", "value": "Spearman", "low": "low", "high": "high"}
    right = alt.layer(
        alt.Chart(pd.DataFrame({"y": [0]})).mark_rule(color=GREY).encode(y="y:Q"),
        orders.mark_area(color=BLUE, opacity=0.15).encode(x=epoch, y=alt.Y("low:Q", title=name), y2="high:Q"),
        coefficients.encode(x=epoch, y=alt.Y("value:Q", title=name), tooltip=tooltips(details, order)),
    )
    size = {"width": WIDTH // 2 - 20, "height": 320}
    return finish(alt.hconcat(left.properties(**size), right.properties(**size), spacing=50), title, note)


def forest(frame: pd.DataFrame, *, x: str, title: str, note: str = "", ceiling: Estimate | None = None) -> Chart:
    """Estimates with their intervals: a row per name, from top to bottom in the order of the frame, around zero.

    `frame` has a row per estimate: `name`, `value`, `low`, `high` (NaN where undefined), `panel` (its title; panels are
    side by side and share the names) and optional `highlighted` (blue instead of grey; all by default) and `cost`.
    `ceiling` is a green band from `low` to `high` with a line at `value`, in the first panel.
    """
    rows = frame.assign(kind="estimate", highlighted=frame.get("highlighted", True))
    rows["text"] = _texts(rows)
    panels, names = list(dict.fromkeys(rows["panel"])), list(dict.fromkeys(rows["name"]))
    parts = [rows, pd.DataFrame({"panel": panels, "kind": "reference", "value": 0.0})]
    if ceiling is not None:
        ends = {end: ceiling[end] for end in ("value", "low", "high")}
        parts.append(pd.DataFrame([{"panel": panels[0], "kind": "ceiling"} | ends]))
    base = alt.Chart(pd.concat(parts, ignore_index=True))
    estimates, bands, references = (
        base.transform_filter(f"datum.kind == '{kind}'") for kind in ("estimate", "ceiling", "reference")
    )
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=400, ticks=False, domain=False))
    low = alt.X("low:Q", title=x, axis=alt.Axis(tickCount=5, grid=True), scale=alt.Scale(zero=False, nice=True))
    colour = alt.condition("datum.highlighted", alt.value(BLUE), alt.value(GREY))
    details = {"name": "name", "text": "estimate [95 % interval]", "cost": "cost of each + once"}
    hover = tooltips(details, rows)
    text = estimates.mark_text(align="left", dx=8, fontSize=12, color=INK)
    layered = alt.layer(
        bands.mark_rect(color=GREEN, opacity=0.15).encode(x=low, x2="high:Q"),
        bands.mark_rule(color=GREEN, strokeWidth=2).encode(x="value:Q"),
        references.mark_rule(color=GREY).encode(x="value:Q"),
        estimates.mark_rule(strokeWidth=3, strokeCap="round").encode(x=low, x2="high:Q", y=y, color=colour),
        estimates.mark_point(filled=True, size=90, opacity=1).encode(x="value:Q", y=y, color=colour, tooltip=hover),
        text.encode(x=alt.value("width"), y=y, text="text:N"),
    ).properties(width=WIDTH - TEXT_ROOM if len(panels) == 1 else HALF, height=alt.Step(ROW))
    return finish(layered if len(panels) == 1 else _side_by_side(layered, panels, 30, labelAnchor="start"), title, note)


def encoding(
    cells: pd.DataFrame, weights: pd.DataFrame, ops: pd.DataFrame, channels: list[str], *, title: str, note: str = ""
) -> Chart:
    """The encoding c of an architecture above the 1x1 weights of its ops, both over the input channels of the ops.

    `cells` has a row per mark of c: `channel` (one of `channels`, from top to bottom), `first` and `last` (its input
    channels); `weights` one per weight: `first`, `last`, `row` and `end` (its output channels) and `value`; `ops` one
    per op: `op` (its name) and `first`. `last` and `end` are exclusive.
    """
    step, fields = max(4, min(13, 900 // len(channels))), [name.split()[0] for name in channels]
    shown = channels if step > 10 else [channels[fields.index(field)] for field in dict.fromkeys(fields)]
    title_of_x = "input channels of the 1x1 convolutions, op by op"
    scale = alt.Scale(domain=[0, int(cells["last"].max())], nice=False)
    x = alt.X("first:Q", scale=scale, title=title_of_x, axis=alt.Axis(grid=False))
    axis = alt.Axis(values=shown, labelFontSize=11, ticks=False, domain=False, labelOverlap=False)
    channel = alt.Y("channel:N", sort=channels, scale=alt.Scale(domain=channels), title="channels of c", axis=axis)
    starts = alt.Chart(ops).encode(x=x)
    ends, names = starts.mark_rule(color=GREY), starts.mark_text(align="left", dx=3, baseline="bottom", color=INK)
    marks = alt.Chart(cells).mark_rect(color=BLUE, stroke="white", strokeWidth=0.5).encode(x=x, x2="last:Q", y=channel)
    above = alt.layer(marks, ends, names.encode(text="op:N", y=alt.value(-3))).properties(height=alt.Step(step))
    most = float(weights["value"].abs().max())
    colour = alt.Color("value:Q", title="weight", scale=alt.Scale(scheme="blueorange", domain=[-most, most]))
    row = alt.Y("row:Q", title="output channels", axis=alt.Axis(grid=False), scale=alt.Scale(reverse=True, nice=False))
    tiles = alt.Chart(weights).mark_rect().encode(x=x, x2="last:Q", y=row, y2="end:Q", color=colour)
    parts = (part.properties(width=WIDTH) for part in (above, alt.layer(tiles, ends).properties(height=220)))
    return finish(alt.vconcat(*parts, spacing=10), title, note)


def pareto(frame: pd.DataFrame, *, x: Mapping[str, str], y: str, title: str, details: Mapping[str, str]) -> Chart:
    """Score against what architectures cost, and those that no other one improves on in both: a panel for each cost.

    `frame` has a row per architecture: `y` (lower is better), `preset` (whether it is of this group, which has its own
    colour) and a column for each cost; `x` maps these columns to the titles of their axes.
    """
    parts = [
        frame.assign(x=frame[column], panel=name, front=on_front(*frame[["y", column]].to_numpy(float).T))
        for column, name in x.items()
    ]
    data = pd.concat(parts, ignore_index=True)
    data["group"] = data["front"].map({True: FRONT[0], False: FRONT[1]}).mask(data["preset"], PRESET)
    groups = [*FRONT, PRESET] if data["preset"].any() else [*FRONT]
    colours = alt.Scale(domain=groups, range=[BLUE, GREY, GREEN][: len(groups)])
    hidden, opacity = legend_switch("group", 0.75)
    base = alt.Chart(data)
    cost = alt.X("x:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format="~s"))
    score = alt.Y("y:Q", title=y, scale=alt.Scale(zero=False))
    legend = alt.Legend(title=None, symbolOpacity=1)
    steps = base.transform_filter("datum.front").mark_line(interpolate="step-after", color=ORANGE, strokeWidth=1.5)
    marks = base.mark_point(filled=True).add_params(hidden)
    marks = marks.encode(
        x=cost,
        y=score,
        color=alt.Color("group:N", scale=colours, legend=legend),
        size=alt.condition("datum.front", alt.value(80), alt.value(40)),
        opacity=opacity,
        tooltip=tooltips(details, data),
    )
    layered = alt.layer(steps.encode(x=cost, y=score), marks).properties(width=HALF, height=320)
    return finish(_side_by_side(layered, list(x.values()), 40, labelOrient="bottom"), title)


def _side_by_side(chart: Any, panels: list[str], spacing: int, **header: Any) -> alt.FacetChart:
    """Panels that share the vertical axis alone."""
    column = alt.Column("panel:N", sort=panels, title=None, header=alt.Header(title=None, **header))
    return chart.facet(column=column, spacing=spacing).resolve_scale(x="independent")


def on_front(score: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (n,) no other one improves on: none is as good in both and better in one; NaN never is on it."""
    as_good = (score[:, None] <= score) & (cost[:, None] <= cost)
    better = as_good & ((score[:, None] < score) | (cost[:, None] < cost))
    return ~better.any(axis=0) & ~np.isnan(score) & ~np.isnan(cost)


def _ends(title: str, scale: Any = alt.Undefined) -> dict[str, Any]:
    return {"y": alt.Y("low:Q", title=title, scale=scale), "y2": "high:Q"}


def _dodged(points: pd.DataFrame, log: bool) -> "pd.Series[float]":
    """Values of x, moved a little sideways for each line so that error bars do not hide one another."""
    place = np.log(points["x"]) if log else points["x"].astype(float)
    series, names = pd.factorize(points["series"])
    moved = place + DODGE * (place.max() - place.min()) * (series - (len(names) - 1) / 2)
    return pd.Series(np.exp(moved)) if log else moved


def _texts(rows: pd.DataFrame) -> list[str]:
    decimals = {panel: max(decimals_for(part["high"] - part["low"], 2), 2) for panel, part in rows.groupby("panel")}
    columns = (rows[column] for column in ("value", "low", "high", "panel"))
    return [interval_text(value, low, high, decimals[panel]) for value, low, high, panel in zip(*columns, strict=True)]
