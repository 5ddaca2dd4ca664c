"""What a study's terminal output says."""

from __future__ import annotations

import textwrap

from smash_lightning.study.bootstrap import MINIMUM
from smash_lightning.study.comparison import Comparison
from smash_lightning.study.correlation import Correlation
from smash_lightning.study.sample import KEY
from smash_lightning.study.verdict import figure

WIDTH = 110
LABELS = {"params": "parameters", "macs": "MACs", "ops": "number of ops"}


def summary(correlation: Correlation) -> str:
    """About fifteen lines for a reader who does not know the code; no coefficient stands without its interval."""
    lines = textwrap.wrap(_heading(correlation), WIDTH)
    if correlation.architectures >= MINIMUM:
        lines += _table(correlation)
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
    loss, error = _column(correlation.loss), _column(correlation.error)
    left = f"Spearman's rho with [{correlation.confidence:.0%} interval]"
    lines = [f"{left:<38}{'test loss':<24}test error"]
    return lines + [f"  {label:<36}{loss[label]:<24}{error[label]}" for label in loss]


def _column(truth: Comparison) -> dict[str, str]:
    rows = {
        "noise ceiling": truth.reliability.ceiling,
        "SMASH, validation loss": truth.scores[KEY].spearman,
        "SMASH, validation error": truth.scores["smash_score"].spearman,
        **{label: truth.baselines[name].coefficients.spearman for name, label in LABELS.items()},
        "SMASH, given parameters": truth.given_params,
        "SMASH, given these three": truth.given_sizes,
        "(reliability of the truth, ICC)": truth.reliability.icc_mean,
    }
    return {label: figure(estimate) for label, estimate in rows.items()}
