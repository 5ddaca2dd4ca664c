"""A comparison in words: verdict, next steps and tables of correlation.json, and what is printed to the terminal.

Every figure has its interval. The sentences are those of verdict.txt.jinja.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from smash_lightning.evaluation.comparison import GOAL, OWN
from smash_lightning.report.labels import cost_text, count, estimate_text, label, omitted_text, templates

TEXTS = templates()
WIDTH = 110  # characters of a printed line
COST = "cost of each + once"
COEFFICIENTS = ("spearman", "kendall", "pearson")
PREDICTORS = {
    "spearman": "Spearman",
    "delta_spearman": "SMASH minus it",
    "partial_spearman": "given parameters",
    "size_matched_tau": "tau, size-matched",
    "delta_tau_size_matched": "SMASH minus it, size-matched",
    "regret": "regret, nats",
    "precision": "precision",
}
"""Columns of a predictor in correlation.json, and their headings."""
Correlation = Mapping[str, Any]


def sentences(correlation: Correlation) -> list[str]:
    """A sentence on what is missing, one on the calibrated prediction, and three on the verdict or one on why none."""
    calibration, counts = correlation.get("calibration"), correlation["counts"]
    missing = counts["trainings"] < (planned := counts.get("planned_trainings") or 0)
    found = f"{counts['trainings']} of {planned} planned trainings are in retrained.csv"
    first = [f"{found}: continue the run, as the others may change every figure."] * missing
    first += calibration_sentences(calibration) if calibration and not correlation["verdict"]["reason"] else []
    return first + _paragraphs(_wording(correlation).sentences())


def calibration_sentences(calibration: Mapping[str, Any]) -> list[str]:
    """The content of calibration.json in a sentence."""
    return _paragraphs(str(TEXTS.get_template("calibration.txt.jinja").render(calibration)))


def next_steps(
    correlation: Correlation, untrained: Sequence[str] = (), best: str | None = None
) -> list[tuple[str, str]]:
    """What to do next, each as (heading, sentence), the most important first.

    Args:
        correlation: content of correlation.json.
        untrained: fingerprints of the best architectures by score without a standalone training, best first.
        best: fingerprint of the architecture of the shortlist with the lowest mean test loss.
    """
    steps = _paragraphs(_wording(correlation).steps(untrained, best))
    return [(heading, sentence) for heading, _, sentence in (step.partition(" | ") for step in steps)]


def summary(correlation: Mapping[str, Any]) -> str:
    """Two tables and the verdict of correlation.json, for readers who have not seen the code."""
    counts = correlation["counts"]
    text = (
        f"Score against ground truth: {correlation['architectures']} architectures of the sample, "
        f"{counts['trainings']} standalone trainings of {counts['architectures']} in all"
    )
    if counts["failed_trainings"]:
        text += f", {counts['failed_trainings']} failed"
    if missing := counts["without_ground_truth"] + counts["without_score"]:
        text += f", {missing} architectures omitted"
    if counts["incomplete"]:
        text += f", {counts['incomplete']} with fewer seeds than the others"
    lines = textwrap.wrap(f"{text}.", WIDTH)
    if correlation["verdict"]["reason"] != "few_architectures":
        found = agreement(correlation, sizes=False).set_index(["ground truth", "predictor"])["Spearman"]
        pairs = zip(found["test loss"].items(), found["test error"], strict=True)
        heading = f"Spearman's rho with [{correlation['confidence']:.0%} interval]"
        rows = [(heading, "test loss", "test error"), *((f"  {name}", loss, error) for (name, loss), error in pairs)]
        lines += _aligned(rows, (41, 24, 24))
        shown = predictors(correlation["comparison"])
        shown["predictor"] = "  " + shown["predictor"]
        headings = ("against the test loss", "Spearman's rho", "SMASH minus it", "tau at equal size", COST)
        cells = shown[["predictor", "Spearman", "SMASH minus it", "tau, size-matched", COST]]
        lines += _aligned([headings, *cells.itertuples(index=False)], (27, 21, 21, 21, 20))
        lines += textwrap.wrap(omitted_text(correlation["comparison"]["omitted"]), WIDTH)
    for sentence in sentences(correlation):
        lines += textwrap.wrap(sentence, WIDTH)
    return "\n".join(lines)


def agreement(correlation: Mapping[str, Any], sizes: bool = True) -> pd.DataFrame:
    """Scores and sizes against each ground truth, what limits them, and what remains given sizes: texts."""
    rows = []
    for measure, one in (("test loss", correlation["loss"]), ("test error", correlation["error"])):
        reliability = one["reliability"]
        found = {"noise ceiling": {"spearman": reliability.get("ceiling")}}
        found |= {label(name): coefficients for name, coefficients in one["scores"].items()}
        if sizes:
            found |= {label(name): size["coefficients"] for name, size in one["sizes"].items()}
        found["SMASH score, given parameters"] = {"spearman": one["partial_given_params"]}
        found["SMASH score, given MACs and ops too"] = {"spearman": one["partial_given_sizes"]}
        found["(reliability of the ground truth, ICC)"] = {"spearman": reliability.get("icc_mean")}
        for name, known in found.items():
            cells = {kind.capitalize(): estimate_text(known[kind]) if kind in known else "" for kind in COEFFICIENTS}
            rows.append({"ground truth": measure, "predictor": name} | cells)
    return pd.DataFrame(rows)


def predictors(comparison: Mapping[str, Any]) -> pd.DataFrame:
    """Every predictor against the test loss, best first: texts."""
    rows = []
    for name, one in comparison["predictors"].items():
        row = {"predictor": label(name)}
        for column, heading in PREDICTORS.items():
            text = estimate_text(one[column], 4 if column == "regret" else 2)
            row[heading] = "" if name == "smash_score" and column.startswith("delta") else text
        rows.append(row | {COST: cost_text(one["seconds"], one["training_seconds"])})
    return pd.DataFrame(rows)


def calibrated(calibration: Mapping[str, Any]) -> pd.DataFrame:
    """What the calibrated prediction is compared with, and what it gains from: texts."""
    whole = {
        "Spearman, own and earlier ground truths": calibration["spearman"],
        "Spearman, own ground truths alone": calibration["own"],
        "Spearman, earlier ground truths alone": calibration["library"],
        "Spearman, from what every scored architecture has": calibration["scored"],
        "Kendall's tau, size-matched": calibration["size_matched_tau"],
    }
    minus = {f"Spearman minus that of: {label(name)}": one for name, one in calibration["differences"].items()}
    groups = {f"gain of the validation loss with: {name}": one for name, one in calibration["groups"].items()}
    rows = [(name, estimate_text(one)) for name, one in (whole | minus | groups).items()]
    curve = [
        (f"Spearman with {count(point['ground_truths'], 'own ground truth')}", f"{point['spearman']:.2f}")
        for point in calibration["learning_curve"]
    ]
    return pd.DataFrame([*rows, *curve], columns=["of the calibrated prediction", "estimate"])


def _aligned(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> list[str]:
    return ["".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _wording(correlation: Correlation) -> Any:
    predictors = correlation["comparison"]["predictors"]
    baselines = [name for name, one in predictors.items() if name not in OWN and one["spearman"] is not None]
    own = {"correlation": correlation, "goal": f"{GOAL:.0%}", "baselines": baselines}
    return TEXTS.get_template("verdict.txt.jinja").make_module(own)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
