"""The jobs of a sweep as points, their means as lines, over what was varied."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd

from smash_lightning.report.figures.style import GREY, WIDTH, Chart, finish, group_scales, tooltips

SPREAD = 0.6  # of the distance of two values, over which the marks of one value are spread
FEW = 8  # values of an axis that are named one by one, at equal distances; more numbers get a scale
LOG = 4  # ratio of the largest to the smallest number from which a scale is logarithmic
REFERENCE_DASH = (4, 3)
DETAILS = {"series": "line", "x": "value", "job": "job", "y": "value of y", "low": "low", "high": "high"}


def sweep(data: pd.DataFrame, *, y: str, title: str, note: str = "", bounds: tuple[float, float] = (-1, 1)) -> Chart:
    """A panel for each option that was varied, all with the same vertical axis.

    Args:
        data: a row per mark: `panel` (title of its axis), `x` (number or text, in the order of the axis), `series`,
            `kind` (mean, job or reference), `y`, `low` and `high` (ends of its bar; NaN draws none), `job` (its name).
        y: title of the vertical axis.
        title: above the figure.
        note: a smaller line under the title: n, and what points and bars are.
        bounds: of what can be measured, beyond which bars are cut.

    Raises:
        ValueError: more lines than can be distinguished.
    """
    data = data.reset_index(drop=True)
    ends = data[["y", "low", "high"]].to_numpy(dtype=float)
    domain = [max(bounds[0], float(np.nanmin(ends))), min(bounds[1], float(np.nanmax(ends)))]
    series = list(dict.fromkeys(data["series"]))
    scales = group_scales(series)
    parts = [(str(name), part) for name, part in data.groupby("panel", sort=False)]
    panels = [_panel(part, name, y, domain, scales, len(parts) == 1) for name, part in parts]
    return finish(alt.concat(*panels, columns=2, spacing=40), title, note)


def _panel(
    part: pd.DataFrame, name: str, y: str, domain: list[float], scales: tuple[alt.Scale, alt.Scale], alone: bool
) -> Chart:
    values = list(dict.fromkeys(part["x"]))
    numeric = all(not isinstance(value, str) for value in values)
    places, axis = _axis(sorted(values) if numeric else values, numeric)
    part = part.assign(place=part["x"].map(places) + _offsets(part, min(np.diff(sorted(places.values())), default=1.0)))
    part["x"] = part["x"].astype(str)
    base = alt.Chart(part)
    x = alt.X("place:Q", title=name, axis=axis, scale=alt.Scale(zero=False, nice=False, padding=30))
    middle = alt.Y("y:Q", title=y, scale=alt.Scale(domain=domain, nice=True))
    ends = {"y": alt.Y("low:Q", title=y), "y2": "high:Q"}
    legend = alt.Legend(title=None, columns=4)
    colour = alt.Color("series:N", scale=scales[0], legend=legend)
    shape = alt.Shape("series:N", scale=scales[1], legend=legend)
    jobs, means, references = (
        base.transform_filter(f"datum.kind == '{kind}'") for kind in ("job", "mean", "reference")
    )
    layers = [
        alt.Chart(pd.DataFrame({"y": [0.0]})).mark_rule(color=GREY).encode(y="y:Q"),
        references.mark_point(filled=True, size=40, opacity=0.8).encode(x=x, y=middle, color=colour, shape=shape),
        jobs.mark_rule(opacity=0.4, clip=True).encode(x=x, **ends, color=colour),
        jobs.mark_point(filled=True, size=30, opacity=0.7).encode(x=x, y=middle, color=colour, shape=shape),
        means.mark_rule(strokeWidth=3, clip=True).encode(x=x, **ends, color=colour),
        means.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=middle, color=colour, shape=shape),
    ]
    if numeric:
        layers.append(means.mark_line(strokeWidth=2).encode(x=x, y=middle, color=colour))
        layers.append(references.mark_line(strokeDash=list(REFERENCE_DASH)).encode(x=x, y=middle, color=colour))
    layers = [layers[0], *(layer.encode(tooltip=tooltips(DETAILS, part)) for layer in layers[1:])]
    return alt.layer(*layers).properties(width=WIDTH if alone else WIDTH // 2, height=340)


def _axis(values: list[float | str], numeric: bool) -> tuple[dict[float | str, float], alt.Axis]:
    """Place of each value, and the axis: equal distances for few values and for texts, else a scale."""
    if not numeric or len(values) <= FEW:
        texts = [value if isinstance(value, str) else f"{value:.4g}" for value in values]
        axis = alt.Axis(values=list(range(len(values))), labelExpr=f"{texts}[datum.value]", grid=False, labelLimit=160)
        return {value: float(place) for place, value in enumerate(values)}, axis
    numbers = [float(value) for value in values]
    if min(numbers) <= 0 or max(numbers) / min(numbers) < LOG:
        return dict(zip(values, numbers, strict=True)), alt.Axis(grid=False, format=".4~g")
    axis = alt.Axis(grid=False, labelExpr="format(pow(10, datum.value), '.2~g')")
    return {value: math.log10(number) for value, number in zip(values, numbers, strict=True)}, axis


def _offsets(part: pd.DataFrame, gap: float) -> pd.Series[float]:
    """Distances from the place of a value: series next to each other, jobs to the right of their mean."""
    series = list(dict.fromkeys(part.loc[part["kind"] != "reference", "series"]))
    width = SPREAD * gap / max(len(series), 1)
    offsets = (
        part["series"].map({name: (i + 0.5 - len(series) / 2) * width for i, name in enumerate(series)}).fillna(0.0)
    )
    jobs = part[part["kind"] == "job"].groupby(["series", "x"], sort=False)
    return offsets.add(width * (0.15 + 0.7 * (jobs.cumcount() + 1) / (jobs["y"].transform("size") + 1)), fill_value=0.0)
