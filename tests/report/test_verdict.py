"""Sentences and printed tables have what correlation.json holds, whatever its verdict."""

from typing import Any

import pytest

from smash_lightning.evaluation.calibration import BETTER
from smash_lightning.report.verdict import calibration_sentences, next_steps, sentences, summary
from tests.report.small_run import correlation, estimate


def changed(**verdict: Any) -> dict[str, Any]:
    content = correlation()
    content["verdict"] |= verdict
    return content


def plain(text: str) -> str:
    """The same with a hyphen as minus."""
    return text.replace("\N{MINUS SIGN}", "-")


def headings(content: dict[str, Any], **known: Any) -> list[str]:
    return [heading for heading, _ in next_steps(content, **known)]


def test_a_score_that_predicts_is_described_in_three_sentences() -> None:
    agreement, comparison, gain = sentences(correlation())
    assert "Spearman 0.60 [0.45, 0.75] over 10 architectures" in agreement
    assert "not significantly different from the strongest, early stopping" in comparison
    assert "(difference -0.1000 [-0.1400, -0.0600]); 4 of 4" in plain(gain)


def test_trainings_that_are_missing_are_counted_first() -> None:
    content = correlation()
    finished = content["counts"]["trainings"]
    content["counts"]["planned_trainings"] = finished
    assert sentences(content) == sentences(correlation())
    content["counts"]["planned_trainings"] = finished + 2
    assert sentences(content)[0].startswith(f"{finished} of {finished + 2} planned trainings are in retrained.csv")
    assert sentences(content)[1:] == sentences(correlation())
    content["counts"]["without_score"] = 2
    assert "1 failed, 2 architectures omitted, 1 with" in plain(" ".join(summary(content).split()))


@pytest.mark.parametrize(
    ("status", "words"),
    [("not_significant", "is not significantly related to the test loss"), ("misleads", "The SMASH score misleads")],
)
def test_other_verdicts_are_as_plain(status: str, words: str) -> None:
    content = changed(status=status, goal=None)
    assert words in sentences(content)[0]
    assert "90%" not in sentences(content)[0]
    assert headings(content)[0] == "Do not select by this score yet"


@pytest.mark.parametrize(
    ("reason", "words", "step"),
    [
        ("few_architectures", "10 architectures of the sample", "More architectures"),
        ("unknown_reliability", "two trainings or more", "More seeds"),
        ("low_reliability", "0.75 [0.55, 0.95]", "More seeds"),
        ("constant", "the same for all", "Check the pool"),
    ],
)
def test_a_missing_verdict_has_a_reason_and_a_remedy(reason: str, words: str, step: str) -> None:
    content = changed(status="no_verdict", reason=reason, goal=None, strongest=None, strongest_size_matched=None)
    (sentence,) = sentences(content)
    assert sentence.startswith("No verdict: ")
    assert words in sentence
    assert headings(content) == [step]
    assert ("tau at equal size" in summary(content)) == (reason != "few_architectures")


def test_undefined_estimates_leave_whole_sentences() -> None:
    content = changed(goal=None, strongest=None, strongest_size_matched=None)
    content["loss"] |= {"shortlist": None, "top_fraction": {}}
    content["loss"]["reliability"]["ceiling"] = None
    for name in content["comparison"]["predictors"].keys() - {"smash_score"}:
        content["comparison"]["predictors"][name] |= dict.fromkeys(("spearman", "delta_spearman"))
    assert sentences(content)[1:] == [
        "There is no baseline to compare with.",
        "The gain of a shortlist is unknown: it takes two architectures or more in the shortlist and the sample.",
    ]
    assert "to about undefined" in sentences(content)[0]
    assert summary(content)


@pytest.mark.parametrize(
    ("greedy", "by"),
    [(0, " by score"), (1, " (1 by calibrated prediction, 3 by score)"), (4, " by calibrated prediction")],
)
def test_the_report_names_what_selected(greedy: int, by: str) -> None:
    fitted = {"greedy": greedy, "basis": "own", "spearman": None}
    content = {name: correlation() | {"calibration": fitted | {"compared_with_loss": name}} for name in BETTER.values()}
    assert sentences(content["worse"])[-1].startswith(f"The shortlist of 4{by} has a test loss")
    steps = {name: dict(next_steps(one, ["aa"]))["Retrain these"] for name, one in content.items()}
    assert steps["better"].startswith("The best by calibrated prediction without a standalone training: aa.")
    assert steps["worse"].startswith("The best by score without")


def test_the_best_network_at_equal_cost_is_in_the_sentences() -> None:
    fitted = {"basis": "own", "spearman": estimate(0.5), "compared_with_loss": "better", "best_single": None}
    content = fitted | {"architectures": 60, "earlier": 0, "differences": {"val_loss": estimate(0.1)}}
    found = {"candidates": 40, "trained": 20, "at_random": 0.12, "by_score": 0.11, "by_prediction": 0.1}
    found |= {f"{name}_minus_random": estimate(value) for name, value in {"score": -0.01, "prediction": -0.02}.items()}
    without, whole = (calibration_sentences(content | {"best_found": one})[0] for one in (None, found))
    assert "Of 40 candidates" not in without
    assert whole.startswith(without)
    assert "Of 40 candidates, 20 of them trained, the best network has a test loss of 0.1200 nats" in whole
    assert calibration_sentences(content)[0] == without, "as files of earlier versions"


def test_next_steps_name_architectures_size_and_seeds() -> None:
    content = correlation()
    ((heading, text),) = next_steps(content, ["aa", "bb"], "cc")
    assert heading == "Retrain these"
    assert "aa, bb" in text
    assert "cc has the lowest test loss" in text
    assert headings(content, best="cc") == ["Use this one"]
    predictors = content["comparison"]["predictors"]
    predictors["params"]["delta_spearman"] = estimate(0.1)
    predictors["early_stopping"]["delta_spearman"] = estimate(-0.3)
    content["loss"]["reliability"] |= {"icc_mean": estimate(0.5), "icc_single": estimate(0.3)}
    content["loss"]["scores"]["smash_score"]["spearman"] = estimate(0.4, 0.3)
    assert headings(content) == ["Size predicts as well", "Rank by early stopping", "More architectures", "More seeds"]
    assert "About 6 seeds" in next_steps(content)[-1][1]
    predictors["params"]["delta_spearman"] = estimate(-0.3)
    assert headings(content)[0] == "Size predicts better"
