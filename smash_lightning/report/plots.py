"""Pictures of a study's figures: score against truth, and how scores settle while the HyperNet learns.

Every function takes plain numbers and returns a matplotlib figure of its own; `figure.savefig(path)` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray
from scipy.stats import rankdata

from smash_lightning.report.figure_style import (
    BLUE,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    TEXT,
    TITLE,
    WIDTH,
    Interval,
    tidy,
    words,
)
from smash_lightning.report.intervals import forest

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A fitted line with its 95 % band: x, y, lower and upper end, (points,) each."""

    x: Floats
    y: Floats
    low: Floats
    high: Floats


def correlation_figure(
    score: Floats,
    truth: Floats,
    truth_error: Floats,
    representative: NDArray[np.bool_],
    top: NDArray[np.bool_],
    *,
    seeds: int,
    rho: Mapping[str, Interval | None],
    ceiling: Interval | None,
    score_name: str = "validation loss with generated weights (nats)",
    line: Line | None = None,
    note: str = "",
) -> Figure:
    """Score against truth, beside the score's and the baselines' Spearman under the noise ceiling.

    Args:
        score: what ranks, (n,): the validation loss with generated weights unless `score_name` says otherwise.
        truth: mean test loss after ordinary training, nats, (n,).
        truth_error: standard error of `truth` over seeds, (n,); NaN draws no bar.
        representative: which architectures stand for the pool, (n,).
        top: which the score picked, (n,); one that is both gets both marks.
        seeds: trainings behind each truth.
        rho: Spearman with its interval by predictor's name; the first is the score. None where undefined.
        ceiling: the highest Spearman that the truth's noise allows; None where unknown.
        score_name: title of its axis, with the unit.
        line: a line through the representative architectures.
        note: a line under the title, for a refused verdict, say.
    """
    figure = Figure(figsize=(WIDTH, 6.0), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    _scatter(left, score, truth, truth_error, representative, top)
    if line is not None:
        left.plot(line.x, line.y, color=BLUE, linewidth=2, zorder=2)
        left.fill_between(line.x, line.low, line.high, color=BLUE, alpha=0.13, linewidth=0, zorder=1)
    left.set_xlabel(score_name)
    shown = f"mean of {seeds} seeds ± s.e." if seeds > 1 else "one seed"
    left.set_ylabel(f"test loss after training (nats), {shown}")
    left.set_title(_headline(next(iter(rho.values())), int(representative.sum()), note), loc="left", fontsize=TITLE)
    if len(score):
        low, high = left.get_ylim()
        left.set_ylim(low, high + 0.1 * (high - low))  # room for the legend
        left.legend(fontsize=TEXT, frameon=False, loc="upper left", ncols=2)
    _baselines(right, rho, ceiling)
    for axes in (left, right):
        tidy(axes)
    return figure


def settling_figure(epochs: Sequence[int], val_loss: Floats) -> Figure:
    """How the scores of a fixed set of architectures settle, and their order with them.

    The interval of each Spearman is Bonett and Wright's (2000). A loss that is not finite ranks last.

    Args:
        epochs: at which the set was scored, rising.
        val_loss: validation loss with generated weights, nats, (epochs, architectures).

    Raises:
        ValueError: not one row per epoch, or no epoch.
    """
    val_loss = np.asarray(val_loss, dtype=float)
    if not len(epochs) or val_loss.ndim != 2 or len(val_loss) != len(epochs):
        raise ValueError(f"{len(epochs)} epochs do not fit losses of shape {val_loss.shape}: give a row per epoch")
    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, width_ratios=(1.3, 1))
    _losses(left, epochs, val_loss)
    _order(right, epochs, val_loss)
    for axes in (left, right):
        axes.set_xlabel("epoch of the HyperNet")
        axes.set_xticks(list(epochs)[:: -math.ceil(len(epochs) / 12)])
        tidy(axes)
    return figure


def _scatter(
    axes: Axes, score: Floats, truth: Floats, error: Floats, representative: NDArray[np.bool_], top: NDArray[np.bool_]
) -> None:
    for chosen, colour in ((representative, BLUE), (top & ~representative, ORANGE)):
        bars = np.nan_to_num(error[chosen])
        axes.errorbar(score[chosen], truth[chosen], yerr=bars, fmt="none", ecolor=colour, elinewidth=1.2, zorder=3)
    if representative.any():
        label = f"stands for the pool ({representative.sum()})"
        axes.plot(score[representative], truth[representative], "o", color=BLUE, zorder=4, label=label)
    if top.any():
        label = f"shortlist by score ({top.sum()})"
        (rings,) = axes.plot(score[top], truth[top], "^", color=ORANGE, zorder=4, label=label)
        rings.set(markersize=11, markerfacecolor="none", markeredgewidth=1.8)


def _headline(rho: Interval | None, count: int, note: str) -> str:
    first = f"{count} architectures" if rho is None else rf"Spearman $\rho$ = {words(rho)}, n = {count}"
    return f"{first}\n{note}" if note else first


def _baselines(axes: Axes, rho: Mapping[str, Interval | None], ceiling: Interval | None) -> None:
    forest(axes, rho, highlighted=list(rho)[:1], ceiling=ceiling)
    axes.set_yticks(range(len(rho)), [f"{name}\n{words(interval)}" for name, interval in rho.items()])
    lows = [interval[1] for interval in rho.values() if interval is not None]
    axes.set_xlim(max(-1.0, min([-0.3, *(low - 0.1 for low in lows)])), 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(r"Spearman $\rho$ with test loss")
    text = "noise ceiling unknown" if ceiling is None else f"noise ceiling {words(ceiling)}"
    axes.set_title(text, loc="right", fontsize=TEXT, color=GREEN if ceiling is not None else GREY)


def _losses(axes: Axes, epochs: Sequence[int], val_loss: Floats) -> None:
    last = np.argsort(np.argsort(_finite(val_loss[-1]), kind="stable"))
    shades = colormaps["viridis"](0.92 * last / max(len(last) - 1, 1))
    for architecture in np.argsort(-last):
        axes.plot(epochs, val_loss[:, architecture], color=shades[architecture], linewidth=1.3, marker=".", alpha=0.85)
    axes.set_yscale("log")  # losses fall by much more than they differ
    axes.yaxis.set_major_locator(MaxNLocator(12))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("validation loss with generated weights (nats)")
    title = f"Scores of {len(last)} architectures (dark: best at the end)"
    axes.set_title(title, loc="left", fontsize=TITLE)


def _order(axes: Axes, epochs: Sequence[int], val_loss: Floats) -> None:
    ranks = rankdata(_finite(val_loss), axis=1)
    intervals = [_spearman(row, ranks[-1]) for row in ranks[:-1]]
    drawn = [(epoch, i) for epoch, i in zip(epochs, intervals, strict=False) if i is not None]
    if drawn:
        x = [epoch for epoch, _ in drawn]
        value, low, high = np.array([i for _, i in drawn]).T
        axes.fill_between(x, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(x, value, color=BLUE, linewidth=2, marker="o")
    axes.plot(epochs[-1], 1, "o", color=BLUE, markerfacecolor="white")
    axes.axhline(1, color=GREY, linewidth=1, linestyle=":", zorder=0)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_ylim(top=1.05)
    axes.set_ylabel(r"Spearman $\rho$ with the last epoch")
    axes.set_title("Does the order settle? (band: 95 %)", loc="left", fontsize=TITLE)


def _spearman(x: Floats, y: Floats) -> Interval | None:
    """Spearman's rho of two rows of ranks with Bonett and Wright's interval; None where it is undefined."""
    if len(x) < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    rho = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    if abs(rho) > 1 - 1e-12:
        return rho, rho, rho
    reach = NormalDist().inv_cdf(0.975) * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)


def _finite(losses: Floats) -> Floats:
    return np.where(np.isfinite(losses), losses, np.inf)
