"""Scores against what architectures cost, and those that none beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from smash_lightning.report.figure_style import BLUE, DPI, GREY, ORANGE, TEXT, TITLE, WIDTH, tidy


def front_figure(
    score: Sequence[float], costs: Mapping[str, Sequence[float]], fronts: Mapping[str, Sequence[int]], *, label: str
) -> Figure:
    """A panel for each cost.

    Args:
        score: of each architecture, lower is better, (n,).
        costs: by the name of their axis, (n,) each.
        fronts: by the same names, indices of the architectures on the front, by rising cost.
        label: of the score's axis.
    """
    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, (name, cost) in zip(panels, costs.items(), strict=True):
        best = list(fronts[name])
        axes.plot(cost, score, "o", color=GREY, alpha=0.5, markersize=5, label=f"scored ({len(score)})")
        x, y = np.asarray(cost)[best], np.asarray(score)[best]
        axes.plot(x, y, color=ORANGE, drawstyle="steps-post", linewidth=1.5)
        axes.plot(x, y, "o", color=BLUE, label=f"none better and cheaper ({len(best)})")
        axes.set_xlabel(name)
        axes.ticklabel_format(axis="x", style="plain")
        axes.legend(fontsize=TEXT, frameon=False, loc="upper right")
        tidy(axes)
    panels[0].set_ylabel(label)
    panels[0].set_title("Score against cost", loc="left", fontsize=TITLE)
    return figure
