"""Several figures of the same things side by side: a row for each thing, a panel for each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from smash_lightning.report.figure_style import DPI, GREY, LABEL, TEXT, TITLE, WIDTH, Interval, tidy, words
from smash_lightning.report.intervals import decimals_for, forest

ROW = 0.62  # inches of a row: a bar, and its figures above it
EDGE = 0.3  # of a panel's width: half of such figures where there are three panels
NOTE = 130  # characters of the line under the title


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of all rows.

    Args:
        title: above the panel.
        x_label: what the figure is, with its unit.
        rows: value, lower and upper end by the row's name; None where undefined. A row that is missing stays empty.
        reference: where a vertical line stands: what no effect would give.
    """

    title: str
    x_label: str
    rows: Mapping[str, Interval | None]
    reference: float = 0.0


def interval_panels(names: Sequence[str], panels: Sequence[Panel], *, title: str, note: str = "") -> Figure:
    """Panels side by side that share their rows.

    Args:
        names: of the rows, from top to bottom.
        panels: from left to right.
        title: above all.
        note: a line under the title, such as n and what the bars are.
    """
    figure = Figure(figsize=(WIDTH, 2.0 + ROW * max(len(names), 2)), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for place, (axes, panel) in enumerate(zip(all_axes, panels, strict=True)):
        rows = {name: panel.rows.get(name) for name in names}
        forest(axes, rows, highlighted=names, reference=panel.reference)
        _figures(axes, rows, panel)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(panel.x_label)
        axes.set_title(panel.title, loc="left", fontsize=LABEL)
        tidy(axes)
        if place:
            axes.tick_params(axis="y", length=0)
        else:
            axes.set_yticks(range(len(names)), names)
    heading = f"{title}\n{fill(note, NOTE)}" if note else title
    figure.suptitle(heading, fontsize=TITLE, x=0.01, ha="left")
    return figure


def _figures(axes: Axes, rows: Mapping[str, Interval | None], panel: Panel) -> None:
    """Each figure in words above its bar: over its middle, or from its end where that is near an edge."""
    digits = decimals_for([interval for interval in rows.values() if interval is not None])
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the line of reference stays behind
    axes.margins(x=0.08)
    first, last = axes.get_xlim()
    for row, (name, interval) in enumerate(rows.items()):
        if name in panel.rows:
            low, high = interval[1:] if interval is not None else (panel.reference, panel.reference)
            middle = (low + high) / 2
            place = (middle - first) / (last - first)
            x, side = (low, "left") if place < EDGE else (high, "right") if place > 1 - EDGE else (middle, "center")
            text = words(interval, digits)
            axes.text(x, row - 0.2, text, ha=side, va="bottom", fontsize=TEXT - 1, color=GREY, bbox=paper)
