"""Figures with their intervals: a row each (a forest), or lines over a quantity that was varied.

Every function takes plain numbers and returns a matplotlib figure of its own, or draws into axes that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from statistics import median
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, ScalarFormatter

from smash_lightning.report.figure_style import (
    BLACK,
    BLUE,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    TEXT,
    TITLE,
    WIDTH,
    YELLOW,
    Interval,
    tidy,
    words,
)

LOOKS = (  # of lines, in order
    (BLUE, "o"),
    (ORANGE, "s"),
    (GREEN, "^"),
    (PURPLE, "D"),
    (SKY, "v"),
    (GREY, "P"),
    (BLACK, "X"),
    (YELLOW, "*"),
)
ROW = 0.38  # inches of a row
NOTE = 130  # characters of a line below a wide figure
SEEN = 0.012  # of an axis: bars so far apart are seen beside each other
NAME = 0.06  # of an axis, which the name of a value takes at most
MOST_TICKS = 12  # values on an axis that are all named


def interval_lines(
    series: Mapping[str, Sequence[tuple[float, float, float, float]]],
    *,
    x_label: str,
    y_label: str,
    title: str,
    note: str = "",
    log_x: bool = False,
) -> Figure:
    """Lines with error bars over a quantity that was varied, such as the width of a HyperNet.

    Args:
        series: by name in the legend: points as (x, value, lower end, upper end); NaN leaves a gap. Series stand a
            little beside each other, so that their bars do not hide one another.
        x_label: what was varied, with its unit.
        y_label: what was measured, with its unit.
        title: above.
        note: a line under the title, such as n and what the bars are.
        log_x: a logarithmic axis, for widths and steps that double.

    Raises:
        ValueError: more series than can be told apart, or a value that a logarithmic axis cannot show.
    """
    if len(series) > len(LOOKS):
        raise ValueError(f"{len(series)} lines in one figure cannot be told apart: draw {len(LOOKS)} or fewer")
    values = sorted({float(point[0]) for points in series.values() for point in points})
    if log_x and values and values[0] <= 0:
        raise ValueError(f"{x_label}: a logarithmic axis cannot show {values[0]}, draw it with log_x=False")
    figure = Figure(figsize=(0.8 * WIDTH, 5.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for (name, points), (colour, marker), beside in zip(
        series.items(), LOOKS[: len(series)], _beside(values, len(series), log_x), strict=True
    ):
        x, value, low, high = np.array(sorted(points), dtype=float).reshape(-1, 4).T
        x = x * beside if log_x else x + beside
        axes.plot(x, value, color=colour, linewidth=1.6, marker=marker, markersize=8, label=name, zorder=3)
        axes.vlines(x, low, high, color=colour, linewidth=2.4, alpha=0.6, zorder=2)
    _x_axis(axes, values, log_x)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_title(f"{title}\n{note}" if note else title, loc="left", fontsize=TITLE)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=3, fontsize=TEXT, frameon=False)
    tidy(axes)
    return figure


def interval_rows(
    rows: Mapping[str, Interval | None], *, x_label: str, title: str, note: str = "", reference: float = 0.0
) -> Figure:
    """A row for each figure, with its interval, from top to bottom.

    Args:
        rows: by name: value, lower and upper end; None where undefined.
        x_label: what the figures are, with their unit.
        title: above.
        note: a line under the title, such as n and what the bars are.
        reference: where a vertical line stands: what no effect would give.
    """
    figure = Figure(figsize=(0.8 * WIDTH, 1.5 + 1.5 * ROW * max(len(rows), 2)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    forest(axes, rows, highlighted=rows, reference=reference)
    digits = decimals_for([interval for interval in rows.values() if interval is not None])
    axes.set_yticks(range(len(rows)), [f"{name}\n{words(interval, digits)}" for name, interval in rows.items()])
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.set_xlabel(x_label)
    axes.set_title(f"{title}\n{note}" if note else title, loc="left", fontsize=TITLE)
    tidy(axes)
    return figure


def baselines_figure(
    overall: Mapping[str, Interval | None],
    alike: Mapping[str, Interval | None],
    costs: Mapping[str, str],
    *,
    highlighted: str,
    ceiling: Interval | None,
    titles: tuple[str, str],
    note: str = "",
) -> Figure:
    """Predictors against each other: agreement with the truth overall and at equal size, and what each costs.

    Args:
        overall: Spearman by predictor, best first; None where undefined.
        alike: concordance between architectures of nearly equal size, of the same predictors.
        costs: what each costs, in words.
        highlighted: the predictor that it is about.
        ceiling: the highest Spearman that the truth's noise allows; None where unknown.
        titles: above the two.
        note: a line below.
    """
    figure = Figure(figsize=(WIDTH, 1.9 + ROW * max(len(overall), 3)), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, rows, title in zip(panels, (overall, alike), titles, strict=True):
        forest(axes, rows, highlighted={highlighted}, ceiling=ceiling if rows is overall else None)
        _compared_with(axes, rows, highlighted)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_title(title, loc="left", fontsize=TITLE)
        tidy(axes)
    left, right = panels
    left.set_yticks(range(len(overall)), list(overall))
    left.set_xlabel(r"Spearman $\rho$ with test loss")
    left.set_title(
        "" if ceiling is None else f"noise ceiling {ceiling[0]:.2f}", loc="right", fontsize=TEXT, color=GREEN
    )
    right.set_xlabel(r"Kendall $\tau$ with test loss")
    right.tick_params(axis="y", length=0)
    for row, name in enumerate(overall):
        right.text(1.04, row, costs[name], transform=right.get_yaxis_transform(), va="center", fontsize=TEXT)
    right.text(1.04, 1.0, "cost each\n+ once", transform=right.transAxes, va="bottom", fontsize=TEXT, color=GREY)
    for tick in left.get_yticklabels():
        tick.set(fontweight="bold" if tick.get_text() == highlighted else "normal", parse_math=False)
    if note:
        lines = fill(note, NOTE, break_long_words=False)
        figure.supxlabel(lines, fontsize=TEXT, color=GREY, x=0.01, ha="left", parse_math=False)
    return figure


def _compared_with(axes: Axes, rows: Mapping[str, Interval | None], highlighted: str) -> None:
    """A line through all rows at the highlighted value, and a word where there is nothing to draw."""
    if interval := rows[highlighted]:
        axes.axvline(interval[0], color=BLUE, linewidth=1.2, linestyle=":", zorder=0)
    for row, interval in enumerate(rows.values()):
        if interval is None:
            axes.text(0, row, " undefined", va="center", fontsize=TEXT, color=GREY)


def forest(
    axes: Axes,
    rows: Mapping[str, Interval | None],
    *,
    highlighted: Collection[str],
    ceiling: Interval | None = None,
    reference: float = 0.0,
) -> None:
    """Draws intervals as rows from top to bottom, the highlighted ones blue, and the band of a ceiling in green."""
    axes.axvline(reference, color=GREY, linewidth=1)
    if ceiling is not None:
        axes.axvspan(ceiling[1], ceiling[2], color=GREEN, alpha=0.15, linewidth=0)
        axes.axvline(ceiling[0], color=GREEN, linewidth=2)
    for row, (name, interval) in enumerate(rows.items()):
        if interval is not None:
            value, low, high = interval
            colour = BLUE if name in highlighted else GREY
            axes.plot([low, high], [row, row], color=colour, linewidth=3, solid_capstyle="round")
            axes.plot([value], [row], "o", color=colour, markersize=9)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)


def decimals_for(intervals: Sequence[Interval]) -> int:
    """Enough for two digits of an interval's usual width: nats need more than coefficients."""
    widths = [high - low for _, low, high in intervals if high > low]
    return min(max(1 - math.floor(math.log10(median(widths))), 0), 8) if widths else 2


def _beside(values: Sequence[float], count: int, log: bool) -> list[float]:
    """By how much each series is moved sideways, as a summand or a factor.

    Together a fifth of the smallest gap, but as much as can be seen where two values all but coincide.
    """
    places = _places(values, log)
    gap = min((b - a for a, b in pairwise(places)), default=0.0)
    room = max(0.2 * gap, SEEN * (places[-1] - places[0])) if places else 0.0
    moves = [room * ((index + 0.5) / count - 0.5) for index in range(count)]
    return [math.exp(move) for move in moves] if log else moves


def _x_axis(axes: Axes, values: Sequence[float], log: bool) -> None:
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(ScalarFormatter())
    if len(values) <= MOST_TICKS:
        axes.set_xticks(_apart(values, log))


def _apart(values: Sequence[float], log: bool) -> list[float]:
    """The values whose names have room beside those before them."""
    named: list[float] = []
    places = dict(zip(values, _places(values, log), strict=True))
    for value in values:
        if not named or places[value] - places[named[-1]] > NAME * (places[values[-1]] - places[values[0]]):
            named.append(value)
    return named


def _places(values: Sequence[float], log: bool) -> list[float]:
    return [math.log(value) for value in values] if log else list(values)
