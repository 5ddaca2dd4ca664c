"""Score against what architectures cost, and those that no other one improves on in both."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smash_lightning.report.figures.style import BLUE, GREY, ORANGE, WIDTH, Chart, finish, legend_switch, tooltips
from smash_lightning.scoring import pareto_front

GROUPS = ("on the front", "others")


def pareto(
    frame: pd.DataFrame,
    *,
    x: Mapping[str, str],
    y: str,
    title: str,
    note: str = "",
    details: Mapping[str, str] | None = None,
) -> Chart:
    """A panel for each cost.

    Args:
        frame: a row per architecture: `y` (lower is better), a column for each cost, and any columns for `details`.
        x: columns of costs, and the titles of their axes.
        y: title of the axis.
        title: above the figure.
        note: a smaller line under the title.
        details: columns that are shown while the pointer is over a point, and their titles.
    """
    parts = [
        frame.assign(x=frame[column], panel=name, front=_on_front(frame[column], frame["y"]))
        for column, name in x.items()
    ]
    data = pd.concat(parts, ignore_index=True)
    data["group"] = data["front"].map({True: GROUPS[0], False: GROUPS[1]})
    hidden = legend_switch("group")
    base = alt.Chart(data)
    cost = alt.X("x:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format="~s"))
    score = alt.Y("y:Q", title=y, scale=alt.Scale(zero=False))
    colour = alt.Color(
        "group:N", scale=alt.Scale(domain=GROUPS, range=[BLUE, GREY]), legend=alt.Legend(title=None, symbolOpacity=1)
    )
    steps = base.transform_filter("datum.front").mark_line(interpolate="step-after", color=ORANGE, strokeWidth=1.5)
    marks = (
        base.mark_point(filled=True)
        .add_params(hidden)
        .encode(
            x=cost,
            y=score,
            color=colour,
            size=alt.condition("datum.front", alt.value(80), alt.value(40)),
            opacity=alt.condition(hidden, alt.value(0), alt.value(0.75), empty=False),
            tooltip=tooltips(details or {}, data),
        )
    )
    layered = alt.layer(steps.encode(x=cost, y=score), marks).properties(width=WIDTH // 2 - 30, height=320)
    header = alt.Header(title=None, labelOrient="bottom")
    faceted = layered.facet(column=alt.Column("panel:N", sort=list(x.values()), title=None, header=header), spacing=40)
    return finish(faceted.resolve_scale(x="independent"), title, note)


def _on_front(cost: pd.Series[float], score: pd.Series[float]) -> NDArray[np.bool_]:
    front = np.zeros(len(cost), dtype=bool)
    front[list(pareto_front(score.tolist(), cost.tolist()))] = True
    return front
