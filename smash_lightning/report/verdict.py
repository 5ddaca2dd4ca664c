"""The verdict of correlation.json in sentences, and what to do next; every figure with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from smash_lightning.evaluation.comparison import GOAL, OWN
from smash_lightning.report.labels import Estimate, count, estimate_text, label, listed, side

WANTED = 0.7  # reliability of the ground truth that more seeds are to reach
MORE = "Train the HyperNets longer (search.epochs), more of them (search.hypernets) or wider ones (hypernet.width)."
WIDE = 0.4  # width of an interval from which more architectures are recommended
Correlation = Mapping[str, Any]
Step = tuple[str, str]  # heading and sentence

_STATUS = {
    "predicts": "The SMASH score predicts the test loss",
    "not_significant": "The SMASH score is not significantly related to the test loss",
    "misleads": "The SMASH score misleads, as better scores come with higher test losses",
}
_GOAL = {"above": "above", "not_significant": "not significantly different from", "below": "below"}
_LEAD = {"above": "better than", "around": "not significantly different from", "below": "worse than"}


def sentences(correlation: Correlation) -> list[str]:
    """The verdict in three sentences, or the reason for none in one."""
    if correlation["verdict"]["status"] == "no_verdict":
        return [f"No verdict: {_no_verdict(correlation)[0]}"]
    return [_agreement(correlation), _comparison(correlation["comparison"], correlation["verdict"]), _gain(correlation)]


def next_steps(correlation: Correlation, untrained: Sequence[str] = (), best: str | None = None) -> list[Step]:
    """What to do next, the most important first.

    Args:
        correlation: content of correlation.json.
        untrained: fingerprints of the best architectures by score without a standalone training, best first.
        best: fingerprint of the architecture of the shortlist with the lowest mean test loss.
    """
    verdict, comparison = correlation["verdict"], correlation["comparison"]
    if verdict["status"] == "no_verdict":
        return [_no_verdict(correlation)[1]]
    steps = []
    if verdict["status"] != "predicts":
        known = {name: one["spearman"] for name, one in comparison["predictors"].items() if one["spearman"]}
        better = [name for name in known if name not in (*OWN, "random_score") and side(known[name]) == "above"]
        text = f"{MORE} {label(better[0])} does predict here." if better else MORE
        steps.append(("Do not select by this score yet", text))
    elif untrained:
        text = f"The best by score without a standalone training: {listed(untrained, 3)}."
        text += f" Of those trained, {best} has the lowest test loss." if best else ""
        steps.append(("Retrain these", text))
    elif best:
        steps.append(("Use this one", f"{best} has the lowest test loss of the shortlist."))
    steps += _simpler(comparison["predictors"], verdict["strongest"])
    rho = correlation["loss"]["scores"]["smash_score"]["spearman"]
    if rho is not None and (width := rho["high"] - rho["low"]) > WIDE:
        n = comparison["architectures"]
        text = f"The interval of Spearman's rho is {width:.2f} wide with {n}; {4 * n} would halve it."
        steps.append(("More architectures", text))
    reliability = correlation["loss"]["reliability"].get("icc_mean")
    if reliability is not None and reliability["value"] < WANTED:
        steps.append(("More seeds", _seeds(correlation)))
    return steps


def best_fraction(correlation: Correlation) -> str:
    """Gain from the best fifth by each predictor, within the sample that no score selected."""
    names = {"smash_score": "SMASH score", "params": "parameters", "macs": "MACs", "ground_truth": "the ground truth"}
    found = {words: correlation["loss"]["top_fraction"].get(name) for name, words in names.items()}
    gains = [f"{estimate_text(one, 3) if one else 'nothing known'} by {words}" for words, one in found.items()]
    return f"Within the sample the best fifth differs in mean test loss (nats) from all by {listed(gains)}."


def _no_verdict(correlation: Correlation) -> tuple[str, Step]:
    """Why there is no verdict, and the remedy."""
    reliability = estimate_text(correlation["loss"]["reliability"].get("icc_mean"))
    few = "architectures of the sample (groups stratified and random) have a score and a test loss, which is too few."
    reasons: dict[str, tuple[str, Step]] = {
        "few_architectures": (
            f"{correlation['architectures']} {few}",
            ("More architectures", "Retrain 32 or more: retrain.stratified=32."),
        ),
        "unknown_reliability": (
            "the reliability of the ground truth is unknown, as too few architectures have two trainings or more.",
            ("More seeds", "Train each architecture with three seeds: retrain.seeds=3."),
        ),
        "low_reliability": (
            f"the reliability of the ground truth is {reliability}: two trainings of one architecture differ about as "
            "much as two architectures.",
            ("More seeds", f"{_seeds(correlation)} Longer trainings help as well: retrain.epochs."),
        ),
        "constant": (
            "the score or the test loss is the same for all architectures.",
            ("Check the pool", "Rank architectures that differ: a larger search space, or more candidates."),
        ),
    }
    return reasons[correlation["verdict"]["reason"]]


def _agreement(correlation: Correlation) -> str:
    loss, verdict, comparison = correlation["loss"], correlation["verdict"], correlation["comparison"]
    text = (
        f"{_STATUS[verdict['status']]}: Spearman {estimate_text(loss['scores']['smash_score']['spearman'])} over "
        f"{comparison['architectures']} architectures. Noise in the ground truth limits any predictor to about "
        f"{estimate_text(loss['reliability']['ceiling'])}"
    )
    if verdict["goal"] is None:
        return f"{text}."
    difference = estimate_text(comparison["above_goal"])
    return f"{text}; the score is {_GOAL[verdict['goal']]} {GOAL:.0%} of that (difference {difference})."


def _comparison(comparison: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    predictors, strongest = comparison["predictors"], verdict["strongest"]
    others = [name for name, one in predictors.items() if name not in OWN and one["spearman"] is not None]
    clauses = []
    if strongest is not None:
        lead = _lead(strongest, predictors[strongest]["delta_spearman"], "the strongest, ")
        clauses.append(f"Compared with {count(len(others), 'baseline')} the score is {lead}")
    if strongest != "params" and "params" in others:
        clauses.append(f"and {_lead('params', predictors['params']['delta_spearman'])}")
    text = " ".join(clauses) or "There is no baseline to compare with"
    if matched := verdict["strongest_size_matched"]:
        lead = _lead(matched, predictors[matched]["delta_tau_size_matched"], "the strongest there, ")
        pairs = f"within {comparison['band']:.0%}, {comparison['pairs']:,} pairs"
        text += f"; between architectures of nearly equal size ({pairs}) it is {lead}"
    return f"{text}."


def _lead(name: str, difference: Estimate | None, place: str = "") -> str:
    words = {"params": "the number of parameters", "ops": "the number of ops"}.get(name, label(name))
    if difference is None:
        return f"not comparable with {place}{words}"
    return f"{_LEAD[side(difference)]} {place}{words} (difference {estimate_text(difference)})"


def _gain(correlation: Correlation) -> str:
    top = correlation["loss"]["shortlist"]
    if top is None:
        return "The gain of a shortlist is unknown: it takes two architectures or more in the shortlist and the sample."
    interval = {"value": top["difference"], "low": top["low"], "high": top["high"]}
    size, direction = abs(top["difference"]), "lower" if top["difference"] < 0 else "higher"
    significant = ", not significant" if side(interval) == "around" else ""
    return (
        f"The shortlist of {top['top']} by score has a test loss {size:.4f} nats "
        f"({size / top['mean_representative']:.0%}) {direction} than the mean of the sample "
        f"(difference {estimate_text(interval, 4)}{significant}); {top['beat_median']} of {top['top']} are better than "
        "its median."
    )


def _simpler(predictors: Mapping[str, Any], strongest: str | None) -> list[Step]:
    """Warnings where a predictor that costs less, or any other one, does as well as the score."""
    steps = []
    delta = predictors.get("params", {}).get("delta_spearman")
    if delta is not None and side(delta) != "above":
        text = (
            f"The number of parameters costs nothing (SMASH minus parameters: {estimate_text(delta)}). What the score "
            "adds shows between architectures of nearly equal size, where its Kendall's tau is "
            f"{estimate_text(predictors['smash_score']['size_matched_tau'])}."
        )
        steps.append((f"Size predicts {'as well' if side(delta) == 'around' else 'better'}", text))
    lead = None if strongest in (None, "params") else predictors[strongest]["delta_spearman"]
    if lead is not None and side(lead) == "below":
        text = f"It predicts better here (SMASH minus it: {estimate_text(lead)})."
        steps.append((f"Rank by {label(str(strongest))}", text))
    return steps


def _seeds(correlation: Correlation) -> str:
    """How many seeds reach a reliability, by the formula of Spearman and Brown."""
    single = correlation["loss"]["reliability"].get("icc_single")
    if single is None or single["value"] <= 0:
        return "Trainings of one architecture differ too much to estimate how many seeds are enough."
    seeds = math.ceil(WANTED * (1 - single["value"]) / (single["value"] * (1 - WANTED)))
    return f"About {count(seeds, 'seed')} per architecture would give a reliability of {WANTED}: retrain.seeds={seeds}."
