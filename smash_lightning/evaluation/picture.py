"""The study in pictures: hands its figures to `report`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from smash_lightning.evaluation.bootstrap import CONFIDENCE, MINIMUM, Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, centred, ratio
from smash_lightning.evaluation.correlation import Correlation
from smash_lightning.evaluation.labels import cost, label, left_out
from smash_lightning.evaluation.sample import SIZES, SMASH_SCORE, Sample, join
from smash_lightning.evaluation.tables import Retrained, Scored
from smash_lightning.evaluation.verdict import figure
from smash_lightning.report.figure_style import Interval
from smash_lightning.report.intervals import baselines_figure
from smash_lightning.report.plots import Line, correlation_figure

POINTS = 60  # along the fitted line


def picture(scored: Sequence[Scored], retrained: Sequence[Retrained], correlation: Correlation) -> Figure:
    """Draws what `correlate` found in the same two tables: `correlation.png`."""
    sample = join(scored, retrained)
    score, truth, chosen = sample.columns[SMASH_SCORE], sample.truth("true_loss"), sample.representative
    loss = correlation.loss
    spearmans = {"SMASH": loss.scores[SMASH_SCORE].spearman}
    spearmans |= {label(size): loss.sizes[size].coefficients.spearman for size in SIZES}
    return correlation_figure(
        score,
        truth,
        sample.standard_error("true_loss"),
        chosen,
        sample.top,
        seeds=len(sample.seeds),
        rho={name: _interval(estimate) for name, estimate in spearmans.items()},
        ceiling=_interval(loss.reliability.ceiling),
        score_name=score_name(sample),
        line=fitted_line(score[chosen], truth[chosen], correlation.resamples, correlation.seed),
        note=_note(correlation),
    )


def baselines_picture(correlation: Correlation) -> Figure:
    """Draws the contest between the score and its baselines: `baselines.png`."""
    contest = correlation.contest
    named = {label(name): figures for name, figures in contest.predictors.items()}
    titles = (
        f"Over all {contest.architectures} architectures",
        f"Pairs within {contest.band:.0%} in size ({contest.pairs})",
    )
    return baselines_figure(
        {name: _interval(figures.spearman) for name, figures in named.items()},
        {name: _interval(figures.concordance) for name, figures in named.items()},
        {name: cost(figures.seconds, figures.training_seconds) for name, figures in named.items()},
        highlighted=label(SMASH_SCORE),
        ceiling=_interval(correlation.loss.reliability.ceiling),
        titles=titles,
        note=f"Bars: {CONFIDENCE:.0%} intervals. {left_out(contest.left_out, contest.architectures)}",
    )


def score_name(sample: Sample) -> str:
    """What ranks, with its unit, as title of an axis."""
    if np.array_equal(sample.columns[SMASH_SCORE], sample.columns["val_loss"]):
        return "validation loss with generated weights (nats)"
    return "SMASH score (lower is better)"


def fitted_line(x: Floats, y: Floats, resamples: int, seed: int) -> Line | None:
    """The least-squares line of y on x, (n,) each, with its bootstrap band; None where n < 5 or x is constant."""
    if len(x) < MINIMUM or not np.ptp(x):
        return None
    points = np.linspace(x.min(), x.max(), POINTS)

    def lines(weights: Floats) -> Floats:
        total = weights.sum(-1)
        mean_x, mean_y = weights @ x / total, weights @ y / total
        offset = centred(x, weights)
        slope = ratio((weights * offset * y).sum(-1), (weights * offset**2).sum(-1))
        return mean_y[:, None] + slope[:, None] * (points - mean_x[:, None])

    draws = Bootstrap(len(x), resamples, seed).draws(lines)
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return Line(points, lines(np.ones((1, len(x))))[0], low, high)


def _note(correlation: Correlation) -> str:
    if correlation.verdict.given:
        return ""
    if correlation.architectures < MINIMUM:
        return "no verdict: too few architectures"
    reliability = figure(correlation.loss.reliability.icc_mean).replace("-", "\N{MINUS SIGN}")
    return f"no verdict; reliability of the truth {reliability}"


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else (estimate.value, estimate.low, estimate.high)
