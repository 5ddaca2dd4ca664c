import re
from dataclasses import replace

import pytest
from tests.evaluation.study_tables import baselines, study

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.summary import summary

FAST = {"bootstrap": 300}


def sentences(**case):
    verdict = correlate(*study(**case), **FAST).verdict
    return verdict.given, " ".join(verdict.sentences)


def test_a_good_score_predicts_beats_and_gains():
    given, text = sentences(skill=0.95, noise=0.2, representative=60, size_skill=0, shortlist=20)
    assert given
    assert "The score predicts the true loss: Spearman 0.8" in text
    assert re.search(r"it beats the number of parameters \(difference 0[^;]*, the strongest of 3 baselines", text)
    assert re.search(
        r"; between architectures whose .* at most 10% \(\d+ pairs\) it beats .* the strongest there", text
    )
    assert re.search(r"The shortlist of 20 .* lower .* z = -\d", text)
    assert "chance" not in text


def test_names_the_strongest_rival_overall_and_at_equal_size():
    scored, retrained = study(skill=0.3, representative=60)
    rows = baselines(retrained, ("early_stopping", "naswot"), skill=0.1) + baselines(
        retrained, ("synflow",), skill=0.95
    )
    text = " ".join(correlate(scored, retrained, rows, **FAST).verdict.sentences)
    assert re.search(
        r"As a predictor it cannot be told from the number of parameters \(difference -?0[^)]*\) and is worse than "
        r"synflow \(difference -0[^)]*\), the strongest of 6 baselines in this sample; between architectures whose "
        r"parameters differ by at most 10% \(\d+ pairs\) it is worse than synflow \(difference -0[^)]*\), the",
        text,
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"skill": 0.999, "noise": 0.3, "hypernets": 30}, "is above 0.9 of that"),
        ({"skill": 0.9, "noise": 0.6}, "cannot be told from 0.9 of that"),
        ({"skill": 0.5, "noise": 0.2}, "is short of 0.9 of that"),
    ],
)
def test_says_how_far_the_score_is_from_the_goal(case, words):
    given, text = sentences(**case)
    assert given
    assert re.search(rf"at most, and the score {words} \(difference -?0\.\d\d \[", text)


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
    verdict = correlate([replace(row, smash_score=0.4) for row in scored], retrained, **FAST).verdict
    assert not verdict.given
    assert "the same for all" in verdict.sentences[0]


def test_says_which_rival_does_not_vary_and_that_there_is_no_top():
    scored, retrained = study(shortlist=0)
    scored = [replace(row, params=9700, macs=9700 * 40, ops=8) for row in scored]
    text = " ".join(correlate(scored, retrained, **FAST).verdict.sentences)
    assert "it cannot be compared with the number of parameters, which do not vary here. " in text
    rows = baselines(retrained, ("naswot",))
    text = " ".join(correlate(scored, retrained, rows, **FAST).verdict.sentences)
    assert re.search(r"which do not vary here and .* naswot \(difference .*, the strongest of 1 baselines", text)
    assert "What a shortlist gains is not known" in text


NUMBERS = r"-?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\]|undefined"


def test_summary_fits_a_terminal_and_gives_intervals():
    scored, retrained = study(equal_ops=True)
    nan = float("nan")
    retrained[0] = replace(retrained[0], true_loss=nan, true_error=nan, failure="out of memory")
    lines = summary(correlate(scored, retrained, **FAST)).splitlines()
    assert len(lines) <= 27
    assert max(map(len, lines)) <= 110
    assert "40 representative architectures" in lines[0]
    assert "1 failed, 1 with fewer seeds" in " ".join(lines[:2])
    table = [line for line in lines if line.startswith("  ")]
    counts = [len(re.findall(NUMBERS, line)) for line in table]
    assert sorted(counts) == [2] * 7 + [3] * 5, "of two truths, and of the contest, where nothing is ahead of the score"
    (ops,) = [line for line in table if "number of ops" in line]
    assert ops.split()[-5:] == ["undefined", "undefined", "undefined", "0", "s"]


def test_contest_in_the_summary_is_best_first_and_names_who_is_left_out():
    scored, retrained = study(representative=60)
    names = ("naswot", "weight_sharing", "a_rival_with_a_very_long_name_of_its_own")
    lost = next(row.fingerprint for row in retrained if row.arm == "stratified")
    rows = baselines(retrained, names) + baselines(retrained, ("snip", "synflow"))
    rows = [row for row in rows if row.baseline not in ("snip", "synflow") or row.fingerprint != lost]
    lines = summary(correlate(scored, retrained, rows, training_seconds=150.0, **FAST)).splitlines()
    assert max(map(len, lines)) <= 110
    (start,) = [number for number, line in enumerate(lines) if line.startswith("against the test loss")]
    table = lines[start + 1 : start + 10]
    spearmans = [float(re.findall(NUMBERS, line)[0].split()[0]) for line in table]
    assert spearmans == sorted(spearmans, reverse=True)
    (own,) = [line for line in table if line.startswith("  SMASH score ")]
    assert own.endswith("0.36 s + 2.5 min")
    (shared,) = [line for line in table if line.startswith("  weight sharing ")]
    assert shared.endswith("0.05 s + 40 s")
    assert any(line.startswith("  a baseline with a very... ") for line in table)
    assert lines[start + 10] == "Left out, as values are missing: snip (1 of 60), synflow (1 of 60)."


def test_the_validation_loss_is_printed_only_where_it_does_not_rank():
    scored, retrained = study()
    assert "validation loss" not in summary(correlate(scored, retrained, **FAST))
    other = [replace(row, smash_score=row.smash_score + 0.01 * (place % 7)) for place, row in enumerate(scored)]
    text = summary(correlate(other, retrained, **FAST))
    assert len(re.findall(r"^  SMASH, validation loss ", text, re.MULTILINE)) == 2


def test_summary_of_a_tiny_run_is_the_refusal():
    lines = summary(correlate(*study(representative=3), **FAST)).splitlines()
    assert lines[1].startswith("No verdict: 3 representative architectures")
    assert len(lines) <= 3
