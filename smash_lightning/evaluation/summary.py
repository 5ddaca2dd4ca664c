"""What a study's terminal output says."""

from __future__ import annotations

import textwrap

from smash_lightning.evaluation.agreement import Comparison
from smash_lightning.evaluation.bootstrap import MINIMUM
from smash_lightning.evaluation.comparison import PredictorComparison
from smash_lightning.evaluation.correlation import Correlation
from smash_lightning.evaluation.labels import cost, label, left_out
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.verdict import figure

WIDTH = 110


def summary(correlation: Correlation) -> str:
    """Two tables and a verdict for a reader who does not know the code; no coefficient stands without its interval."""
    lines = textwrap.wrap(_heading(correlation), WIDTH)
    if correlation.architectures >= MINIMUM:
        lines += [*_table(correlation), *_baselines(correlation.contest)]
    for sentence in correlation.verdict.sentences:
        lines += textwrap.wrap(sentence, WIDTH)
    return "\n".join(lines)


def _heading(correlation: Correlation) -> str:
    counts = correlation.counts
    text = (
        f"Score against truth: {correlation.architectures} representative architectures, "
        f"{counts.trainings} trainings of {counts.architectures} in all"
    )
    if counts.failed_trainings:
        text += f", {counts.failed_trainings} failed"
    if left_out := counts.without_truth + counts.without_score:
        text += f", {left_out} architectures left out"
    if counts.incomplete:
        text += f", {counts.incomplete} with fewer seeds than the others"
    return text + "."


def _table(correlation: Correlation) -> list[str]:
    loss, error = _column(correlation, correlation.loss), _column(correlation, correlation.error)
    left = f"Spearman's rho with [{correlation.confidence:.0%} interval]"
    lines = [f"{left:<38}{'test loss':<24}test error"]
    return lines + [f"  {label:<36}{loss[label]:<24}{error[label]}" for label in loss]


def _column(correlation: Correlation, truth: Comparison) -> dict[str, str]:
    rows = {
        "noise ceiling": truth.reliability.ceiling,
        **{label(name): coefficients.spearman for name, coefficients in correlation.scores(truth).items()},
        "SMASH score, given parameters": truth.given_params,
        "SMASH score, given MACs and ops too": truth.given_sizes,
        "(reliability of the truth, ICC)": truth.reliability.icc_mean,
    }
    return {name: figure(estimate) for name, estimate in rows.items()}


def _baselines(contest: PredictorComparison) -> list[str]:
    """Every predictor against the test loss, best first."""
    lines = [_row("against the test loss", "Spearman's rho", "SMASH minus it", "tau at equal size", "cost each + once")]
    for name, figures in contest.predictors.items():
        ahead = "" if name == SMASH_SCORE else figure(figures.delta_spearman)
        overall, equal = figure(figures.spearman), figure(figures.concordance)
        price = cost(figures.seconds, figures.training_seconds)
        lines.append(_row(f"  {textwrap.shorten(label(name), 24, placeholder='...')}", overall, ahead, equal, price))
    return lines + textwrap.wrap(left_out(contest.left_out, contest.architectures), WIDTH)


def _row(*cells: str) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, (27, 21, 21, 21, 20), strict=True)).rstrip()
