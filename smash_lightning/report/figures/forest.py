"""Estimates with their intervals: a row each, panels side by side that share the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from smash_lightning.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    WIDTH,
    Chart,
    decimals_for,
    finish,
    interval_text,
    tooltips,
)

ROW = 28  # pixels
TEXT_ROOM = 155  # pixels to the right of a panel for its estimates in figures
DETAILS = {"name": "name", "text": "estimate [95 % interval]"}


def forest(
    frame: pd.DataFrame,
    *,
    x: str,
    title: str,
    note: str = "",
    reference: float | None = 0.0,
    ceiling: pd.DataFrame | None = None,
    details: Mapping[str, str] | None = None,
) -> Chart:
    """A row per name, from top to bottom in the order of the frame.

    Args:
        frame: a row per estimate: `name`, `value`, `low`, `high` (NaN where undefined); optional `panel` (its title;
            panels are side by side and share the names), `highlighted` (blue instead of grey; all by default), and
            `text` (at the right edge; the estimate in figures by default).
        x: title of the axis, with the unit.
        title: above the figure.
        note: a smaller line under the title, such as n and what the bars are.
        reference: position of a vertical line, the value of no effect; None draws none.
        ceiling: a green band from `low` to `high` with a line at `value`, in the panel `panel` (default: the first).
        details: further columns that are shown while the pointer is over a row, and their titles.
    """
    rows = frame.assign(kind="estimate", highlighted=frame["highlighted"].astype(bool) if "highlighted" in frame else 1)
    rows["panel"] = rows.get("panel", "")
    panels = list(dict.fromkeys(rows["panel"]))
    rows["text"] = rows["text"] if "text" in rows else _texts(rows)
    parts = [rows]
    if reference is not None:
        parts.append(pd.DataFrame({"panel": panels, "kind": "reference", "value": reference}))
    if ceiling is not None:
        parts.append(pd.DataFrame({"panel": panels[0], "kind": "ceiling"} | dict(ceiling)))
    data = pd.concat(parts, ignore_index=True)
    names = list(dict.fromkeys(rows["name"]))
    width = WIDTH - TEXT_ROOM if len(panels) == 1 else WIDTH // 2 - 30
    layers = _layers(alt.Chart(data), x, names, tooltips(DETAILS | dict(details or {}), rows))
    layered = alt.layer(*layers).properties(width=width, height=alt.Step(ROW))
    if len(panels) == 1:
        return finish(layered, title, note)
    header = alt.Header(title=None, labelAnchor="start")
    faceted = layered.facet(column=alt.Column("panel:N", sort=panels, title=None, header=header), spacing=30)
    return finish(faceted.resolve_scale(x="independent"), title, note)


def _layers(base: alt.Chart, x: str, names: Sequence[str], details: Sequence[alt.Tooltip]) -> list[alt.Chart]:
    estimates, bands, references = (
        base.transform_filter(f"datum.kind == '{kind}'") for kind in ("estimate", "ceiling", "reference")
    )
    y = alt.Y("name:N", sort=list(names), title=None, axis=alt.Axis(labelLimit=400, ticks=False, domain=False))
    low = alt.X("low:Q", title=x, axis=alt.Axis(tickCount=5, grid=True), scale=alt.Scale(zero=False, nice=True))
    colour = alt.condition("datum.highlighted", alt.value(BLUE), alt.value(GREY))
    dots = estimates.mark_point(filled=True, size=90, opacity=1)
    return [
        bands.mark_rect(color=GREEN, opacity=0.15).encode(x=low, x2="high:Q"),
        bands.mark_rule(color=GREEN, strokeWidth=2).encode(x="value:Q"),
        references.mark_rule(color=GREY).encode(x="value:Q"),
        estimates.mark_rule(strokeWidth=3, strokeCap="round").encode(x=low, x2="high:Q", y=y, color=colour),
        dots.encode(x="value:Q", y=y, color=colour, tooltip=list(details)),
        estimates.mark_text(align="left", dx=8, fontSize=12, color=INK).encode(
            x=alt.value("width"), y=y, text="text:N"
        ),
    ]


def _texts(rows: pd.DataFrame) -> list[str]:
    decimals = {panel: max(decimals_for(part["high"] - part["low"]), 2) for panel, part in rows.groupby("panel")}
    columns = (rows[column] for column in ("value", "low", "high", "panel"))
    return [interval_text(value, low, high, decimals[panel]) for value, low, high, panel in zip(*columns, strict=True)]
