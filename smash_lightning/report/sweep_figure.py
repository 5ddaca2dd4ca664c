"""A sweep in one picture: single jobs as points, their means as lines, over what was varied.

Takes plain numbers and returns a matplotlib figure of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from smash_lightning.report.figure_style import DPI, GREEN, GREY, LABEL, TEXT, TITLE, WIDTH, Interval, tidy
from smash_lightning.report.intervals import LOOKS

CHARACTERS = 9  # of text in an inch
TICKS = 6  # names that stand side by side
WRAPPED = 18  # characters of a category under an axis
SPREAD = 0.45  # of the smallest gap between two values, over which the marks of one value are spread
LOG = 4  # ratio of the largest to the smallest number from which an axis is logarithmic
ACROSS = 2  # panels side by side
REFERENCES = ((GREEN, "--", "_"), (GREY, ":", "_"), (GREY, "-.", "x"))  # looks of references, joined and not
LINES = tuple(look for look in LOOKS if look[0] not in {GREEN, GREY})
Value = float | str


@dataclass(frozen=True, slots=True)
class Place:
    """What was found at one value of what was varied.

    Args:
        value: a number or the name of a category.
        jobs: of each job value, lower and upper end; NaN draws no bar.
        mean: over the jobs, with the ends of its bar; NaN draws no bar, or no mean.
    """

    value: Value
    jobs: tuple[Interval, ...]
    mean: Interval


@dataclass(frozen=True, slots=True)
class SweepPanel:
    """One panel.

    Args:
        x_label: what was varied.
        values: of the axis, from left to right: a scale where all are numbers, else categories.
        lines: places by the name of the line.
        references: what is drawn beside, by name: a value for each of `values`, NaN where unknown. At most three.
        joined: whether lines join what belongs together; they tell nothing between categories.
    """

    x_label: str
    values: tuple[Value, ...]
    lines: Mapping[str, Sequence[Place]]
    references: Mapping[str, Sequence[float]]
    joined: bool = True


def sweep_figure(
    panels: Sequence[SweepPanel], *, y_label: str, title: str, note: str = "", bounds: tuple[float, float] = (-1, 1)
) -> Figure:
    """One panel for each option, all with the same vertical axis.

    Args:
        panels: from left to right, two in a row.
        y_label: what was measured, with its unit.
        title: above.
        note: below the title: n, and what points and bars are.
        bounds: what can be measured: the interval of a mean may reach beyond, the axis does not.

    Raises:
        ValueError: more lines in a panel than can be told apart.
    """
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    width = WIDTH if across > 1 else 0.8 * WIDTH
    figure = Figure(figsize=(width, 1.3 + 4.9 * down), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, panel in zip(all_axes, panels, strict=False):
        _draw(axes, panel)
        axes.yaxis.set_tick_params(labelleft=True)
    for axes in all_axes[len(panels) :]:
        axes.remove()
    for axes in all_axes[::across]:
        axes.set_ylabel(y_label)
    (low, high), (least, most) = all_axes[0].get_ylim(), bounds
    edge = 0.03 * (most - least)
    all_axes[0].set_ylim(max(low, least - edge), min(high, most + edge))
    lines = fill(note, int(CHARACTERS * width))
    figure.suptitle(f"{title}\n{lines}" if note else title, fontsize=TITLE, x=0.01, ha="left")
    _legend(figure, list(all_axes[: len(panels)]), width)
    return figure


def _legend(figure: Figure, all_axes: Sequence[Axes], width: float) -> None:
    """One for all panels, in as many columns as fit."""
    handles = {
        text: handle for axes in all_axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = int(CHARACTERS * width / (max(map(len, handles)) + 7))
    names = [text.replace("$", r"\$") for text in handles]  # else a formula
    ncols = max(1, min(columns, len(names)))
    figure.legend(handles.values(), names, loc="outside lower center", ncols=ncols, fontsize=TEXT, frameon=False)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where the values of a panel stand on its axis.

    Args:
        numbers: the values where all are numbers; else empty, and they stand at 0, 1, ...
        log: whether the axis is logarithmic.
        at: place of each value, as a logarithm on a logarithmic axis.
    """

    numbers: tuple[float, ...]
    log: bool
    at: Mapping[Value, float]

    @classmethod
    def of(cls, values: Sequence[Value]) -> _Scale:
        numbers = tuple(float(v) for v in values if not isinstance(v, str))
        if len(numbers) < len(values):
            return cls((), False, {value: float(place) for place, value in enumerate(values)})
        log = min(numbers) > 0 and max(numbers) / min(numbers) >= LOG
        return cls(numbers, log, {v: math.log(n) if log else n for v, n in zip(values, numbers, strict=True)})

    def x(self, value: Value, share: float = 0.0) -> float:
        """Where a mark stands that is moved sideways by a share of what the marks of one value may spread over."""
        places = sorted(self.at.values())
        gap = min((b - a for a, b in pairwise(places)), default=1.0)
        place = self.at[value] + SPREAD * gap * share
        return math.exp(place) if self.log else place


def _draw(axes: Axes, panel: SweepPanel) -> None:
    if len(panel.lines) > len(LINES):
        raise ValueError(f"{len(panel.lines)} lines in one panel cannot be told apart: draw {len(LINES)} or fewer")
    scale = _Scale.of(panel.values)
    for line, (name, places) in enumerate(panel.lines.items()):
        middle = (line + 0.5) / len(panel.lines) - 0.5
        for place in places:
            _draw_jobs(axes, scale, place, LINES[line], middle, 1 / len(panel.lines))
        x = [scale.x(place.value, middle) for place in places]
        mean, low, high = np.array([place.mean for place in places], dtype=float).T
        colour, marker = LINES[line]
        axes.vlines(x, low, high, color=colour, linewidth=3, alpha=0.8, zorder=4)
        (drawn,) = axes.plot(x, mean, color=colour, linewidth=1.8, marker=marker, markersize=10, label=name, zorder=5)
        drawn.set_linestyle("-" if panel.joined else "")
    for (name, values), (colour, style, mark) in zip(panel.references.items(), REFERENCES, strict=False):
        x = [scale.x(value) for value in panel.values]
        (drawn,) = axes.plot(x, values, color=colour, linewidth=1.8, label=name, zorder=1)
        if panel.joined:
            drawn.set(linestyle=style, marker=".")
        else:
            drawn.set(linestyle="", marker=mark, markersize=22 if mark == "_" else 8, markeredgewidth=2)
    _axis(axes, panel, scale)


def _draw_jobs(axes: Axes, scale: _Scale, place: Place, look: tuple[str, str], middle: float, width: float) -> None:
    """The jobs of a place in a row: to the right of their mean, or about where it would be."""
    colour, marker = look
    first, last = (-0.5, 0.5) if math.isnan(place.mean[0]) else (0.12, 0.5)
    for job, (value, low, high) in enumerate(place.jobs):
        x = scale.x(place.value, middle + width * (first + (last - first) * (job + 0.5) / len(place.jobs)))
        axes.vlines(x, low, high, color=colour, linewidth=1, alpha=0.35, zorder=2)
        axes.plot([x], [value], marker, color=colour, markersize=5, alpha=0.6, markeredgewidth=0, zorder=3)


def _axis(axes: Axes, panel: SweepPanel, scale: _Scale) -> None:
    if scale.numbers:
        if scale.log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        named = scale.numbers[:: math.ceil(len(scale.numbers) / TICKS)]
        axes.set_xticks(named, [f"{number:.4g}" for number in named])
        axes.margins(x=0.1)
    else:
        names = [fill(str(value), WRAPPED) for value in panel.values]
        axes.set_xticks(range(len(names)), names, parse_math=False)
        if len(names) > TICKS:
            axes.tick_params(axis="x", rotation=30)
        axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel(panel.x_label, fontsize=LABEL)
    axes.axhline(0, color=GREY, linewidth=1, zorder=0)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    tidy(axes)
