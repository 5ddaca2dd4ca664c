"""What a comparison prints to the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from smash_lightning.report.labels import cost_text, estimate_text, label, omitted_text
from smash_lightning.report.verdict import sentences

WIDTH = 110
COLUMNS = (27, 21, 21, 21, 20)


def summary(correlation: Mapping[str, Any]) -> str:
    """Two tables and the verdict of correlation.json, for readers who have not seen the code."""
    lines = textwrap.wrap(_heading(correlation), WIDTH)
    if correlation["verdict"]["reason"] != "few_architectures":
        lines += [*_agreement(correlation), *_predictors(correlation["comparison"])]
    for sentence in sentences(correlation):
        lines += textwrap.wrap(sentence, WIDTH)
    return "\n".join(lines)


def agreement_rows(agreement: Mapping[str, Any]) -> dict[str, Mapping[str, float] | None]:
    """Spearman's rho of the scores with one ground truth, what limits it, and what remains given sizes."""
    scores = {label(name): three["spearman"] for name, three in agreement["scores"].items()}
    return {
        "noise ceiling": agreement["reliability"].get("ceiling"),
        **scores,
        "SMASH score, given parameters": agreement["partial_given_params"],
        "SMASH score, given MACs and ops too": agreement["partial_given_sizes"],
        "(reliability of the ground truth, ICC)": agreement["reliability"].get("icc_mean"),
    }


def _heading(correlation: Mapping[str, Any]) -> str:
    counts = correlation["counts"]
    text = (
        f"Score against ground truth: {correlation['architectures']} architectures of the sample, "
        f"{counts['trainings']} standalone trainings of {counts['architectures']} in all"
    )
    if counts.get("failed_trainings"):
        text += f", {counts['failed_trainings']} failed"
    if missing := counts.get("without_ground_truth", 0) + counts.get("without_score", 0):
        text += f", {missing} architectures omitted"
    if counts.get("incomplete"):
        text += f", {counts['incomplete']} with fewer seeds than the others"
    return f"{text}."


def _agreement(correlation: Mapping[str, Any]) -> list[str]:
    loss, error = agreement_rows(correlation["loss"]), agreement_rows(correlation["error"])
    left = f"Spearman's rho with [{correlation['confidence']:.0%} interval]"
    lines = [f"{left:<41}{'test loss':<24}test error"]
    return lines + [f"  {name:<39}{estimate_text(loss[name]):<24}{estimate_text(error.get(name))}" for name in loss]


def _predictors(comparison: Mapping[str, Any]) -> list[str]:
    """Every predictor against the test loss, best first."""
    lines = [_row("against the test loss", "Spearman's rho", "SMASH minus it", "tau at equal size", "cost each + once")]
    for name, one in comparison["predictors"].items():
        lead = "" if name == "smash_score" else estimate_text(one["delta_spearman"])
        cost = cost_text(one["seconds"], one["training_seconds"])
        shown = f"  {textwrap.shorten(label(name), 24, placeholder='...')}"
        lines.append(_row(shown, estimate_text(one["spearman"]), lead, estimate_text(one["size_matched_tau"]), cost))
    return lines + textwrap.wrap(omitted_text(comparison["omitted"]), WIDTH)


def _row(*cells: str) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, COLUMNS, strict=True)).rstrip()
