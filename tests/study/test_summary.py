import re
from dataclasses import replace

import pytest
from study_tables import study

from smash_lightning.study.correlation import correlate
from smash_lightning.study.summary import summary

FAST = {"bootstrap": 300}


def sentences(**case):
    verdict = correlate(*study(**case), **FAST).verdict
    return verdict.given, " ".join(verdict.sentences)


def test_a_good_score_predicts_beats_and_gains():
    given, text = sentences(skill=0.95, noise=0.2, representative=60, size_skill=0, top=20)
    assert given
    assert "The score predicts the true loss: Spearman 0.8" in text
    assert re.search(r"beats the number of parameters \(difference .* and beats MACs", text)
    assert re.search(r"The shortlist of 20 .* lower .* z = -\d", text)
    assert "chance" not in text


def test_a_blind_score_cannot_be_told_from_chance():
    given, text = sentences(skill=0, noise=0.2, size_skill=0, key=1)
    assert given
    assert "The score cannot be told from chance" in text
    assert "cannot be told from the number of parameters" in text
    assert "which may be chance" in text


def test_a_perverse_score_misleads():
    given, text = sentences(skill=-0.9, noise=0.2, size_skill=0.8)
    assert given
    assert "misleads" in text
    assert "is worse than the number of parameters" in text
    assert "higher than the sample's mean" in text


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"noise": 5}, "reliability of the truth is -0.01 [-"),
        ({"noise": 5, "equal_ops": True}, "reliability of the truth is 0.27 [-"),
        ({"seeds": 1}, "reliability of the truth is unknown"),
        ({"representative": 4}, "4 representative architectures (arm spread or random)"),
    ],
)
def test_refusals_say_why(case, reason):
    given, text = sentences(**case)
    assert not given
    assert text.startswith("No verdict: ")
    assert reason in text
    assert "Retrain" in text
    assert not re.search("predicts|beats|chance", text)


def test_equal_scores_are_refused():
    scored, retrained = study()
    verdict = correlate([replace(row, val_loss=0.4) for row in scored], retrained, **FAST).verdict
    assert not verdict.given
    assert "the same for all" in verdict.sentences[0]


def test_says_which_rival_does_not_vary_and_that_there_is_no_top():
    scored, retrained = study(top=0)
    scored = [replace(row, params=9700) for row in scored]
    text = " ".join(correlate(scored, retrained, **FAST).verdict.sentences)
    assert "cannot be compared with the number of parameters, which do not vary here" in text
    assert "What a shortlist gains is not known" in text


def test_summary_fits_a_terminal_and_gives_intervals():
    scored, retrained = study(equal_ops=True)
    nan = float("nan")
    retrained[0] = replace(retrained[0], true_loss=nan, true_error=nan, failure="out of memory")
    text = summary(correlate(scored, retrained, **FAST))
    lines = text.splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 110
    assert "40 representative architectures" in lines[0]
    assert "1 failed, 1 with fewer seeds" in " ".join(lines[:2])
    table = [line for line in lines if line.startswith("  ")]
    for line in table:
        assert len(re.findall(r"-?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\]|undefined", line)) == 2, line
    assert len(table) == 9
    assert table[5].split()[-2:] == ["undefined", "undefined"]


def test_summary_of_a_tiny_run_is_the_refusal():
    lines = summary(correlate(*study(representative=3), **FAST)).splitlines()
    assert lines[1].startswith("No verdict: 3 representative architectures")
    assert len(lines) <= 3
