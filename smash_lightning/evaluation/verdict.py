"""How far may the score be trusted here? Plain sentences, with every figure's interval."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.evaluation.agreement import Comparison
from smash_lightning.evaluation.bootstrap import MINIMUM, Estimate
from smash_lightning.evaluation.comparison import GOAL, PredictorComparison
from smash_lightning.evaluation.labels import label
from smash_lightning.evaluation.reliability import Reliability
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.shortlist import Shortlist

LEAST_RELIABILITY = 0.3  # below it the truth says too little about itself for the score to be judged by it


@dataclass(frozen=True, slots=True)
class Verdict:
    """Plain sentences, and whether they judge the score (`given`) or say why the study cannot."""

    given: bool
    sentences: tuple[str, ...]


def verdict(loss: Comparison, contest: PredictorComparison) -> Verdict:
    """What the study shows about the score as predictor of the test loss, or why it shows nothing.

    Args:
        loss: the comparison with the mean test loss.
        contest: the score and its baselines against it.
    """
    if reason := _refusal(loss, contest.architectures):
        return Verdict(False, (f"No verdict: {reason}",))
    rho = loss.scores[SMASH_SCORE].spearman
    if rho is None:
        return Verdict(False, ("No verdict: the score or the true loss is the same for all architectures.",))
    agreement = _agreement(rho, loss.reliability, contest)
    return Verdict(True, (agreement, _baselines(contest), _gain(loss.shortlist), _picks(loss)))


def figure(estimate: Estimate | None, decimals: int = 2) -> str:
    """An estimate with its interval, as in '0.57 [0.35, 0.74]'."""
    if estimate is None:
        return "undefined"
    value, low, high = (f"{number:.{decimals}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _refusal(loss: Comparison, architectures: int) -> str:
    if architectures < MINIMUM:
        return (
            f"{architectures} representative architectures (arm spread or random) have a score and a true loss, "
            f"and fewer than {MINIMUM} show nothing. Retrain 32 or more."
        )
    reliability = loss.reliability.icc_mean
    if reliability is None:
        return (
            "the reliability of the truth is unknown, as too few architectures were trained with two seeds or more. "
            "Retrain each with three seeds."
        )
    if reliability.value < LEAST_RELIABILITY:
        return (
            f"the reliability of the truth is {figure(reliability)}, below {LEAST_RELIABILITY}: trainings of one "
            "architecture differ about as much as architectures do. Retrain with more seeds or for longer."
        )
    return ""


def _agreement(rho: Estimate, reliability: Reliability, contest: PredictorComparison) -> str:
    claim = {
        "above": "The score predicts the true loss",
        "around": "The score cannot be told from chance",
        "below": "The score misleads, ranking against the true loss",
    }[_side(rho)]
    return (
        f"{claim}: Spearman {figure(rho)} over {contest.architectures} representative architectures; the noise of the "
        f"truth itself allows about {figure(reliability.ceiling)} at most{_goal(contest.above_goal)}."
    )


def _goal(above: Estimate | None) -> str:
    if above is None:
        return ""
    words = {"above": "is above", "around": "cannot be told from", "below": "is short of"}
    return f", and the score {words[_side(above)]} {GOAL} of that (difference {figure(above)})"


def _baselines(contest: PredictorComparison) -> str:
    """The strongest baseline overall and at equal size, and the number of parameters, which is always there to be had."""
    baselines = contest.baselines()
    strongest = f"the strongest of {len(baselines)} baselines in this sample"
    clauses = []
    if "params" not in baselines:
        clauses.append("cannot be compared with the number of parameters, which do not vary here")
    elif baselines[0] != "params":
        clauses.append(_against("params", contest.predictors["params"].delta_spearman))
    if baselines:
        clauses.append(f"{_against(baselines[0], contest.predictors[baselines[0]].delta_spearman)}, {strongest}")
    text = f"As a predictor it {' and '.join(clauses)}"
    if alike := contest.strongest_size_matched():
        text += (
            f"; between architectures whose parameters differ by at most {contest.band:.0%} ({contest.pairs} pairs) it "
            f"{_against(alike, contest.predictors[alike].delta_tau_size_matched)}, the strongest there"
        )
    return f"{text}."


def _against(baseline: str, lead: Estimate | None) -> str:
    name = {"params": "the number of parameters", "ops": "the number of ops"}.get(baseline, label(baseline))
    if lead is None:
        return f"cannot be compared with {name}"
    words = {"above": "beats", "around": "cannot be told from", "below": "is worse than"}
    return f"{words[_side(lead)]} {name} (difference {figure(lead)})"


def _gain(top: Shortlist | None) -> str:
    if top is None:
        return "What a shortlist gains is not known: it takes two architectures or more in the top and in the sample."
    side = "lower" if top.difference < 0 else "higher"
    certain = top.low > 0 or top.high < 0
    return (
        f"The shortlist of {top.top} (the best of each family by score) has a true loss {abs(top.difference):.4f} nats "
        f"({abs(top.difference) / top.mean_representative:.0%}) {side} than the sample's mean, difference "
        f"{top.difference:+.4f} [{top.low:+.4f}, {top.high:+.4f}], z = {top.z:+.1f}"
        f"{'' if certain else ', which may be chance'}; {top.beat_median} of {top.top} beat its median."
    )


def _picks(loss: Comparison) -> str:
    """What picking gains at the same pressure for everyone: within the representative sample, which no score chose."""
    labels = {SMASH_SCORE: "score", "params": "parameters", "macs": "MACs", "truth": "the truth itself"}
    clauses = [f"{_gap(loss.best_fifth[name])} by {label}" for name, label in labels.items()]
    return f"Within the sample the best fifth differs from its mean by {', '.join(clauses[:-1])}, and {clauses[-1]}."


def _gap(estimate: Estimate | None) -> str:
    return "nothing" if estimate is None else f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _side(estimate: Estimate) -> str:
    """Where the interval lies: above zero, below it or around it."""
    if estimate.low > 0:
        return "above"
    return "below" if estimate.high < 0 else "around"
