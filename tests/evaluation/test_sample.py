import re
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.study_tables import baselines, study

from smash_lightning.evaluation.sample import join


def altered(retrained, fingerprint, seed=None, **changes):
    return [
        replace(row, **changes) if row.fingerprint == fingerprint and seed in (None, row.seed) else row
        for row in retrained
    ]


FAILED = {"true_loss": float("nan"), "true_error": float("nan"), "failure": "the loss became NaN at epoch 3"}


def test_truth_is_the_mean_over_seeds_and_its_standard_error():
    scored, retrained = study(representative=8, shortlist=2)
    sample = join(scored, retrained)
    for i, name in enumerate(sample.fingerprints):
        losses = [row.true_loss for row in retrained if row.fingerprint == name]
        assert sample.truth("true_loss")[i] == pytest.approx(np.mean(losses))
        assert sample.standard_error("true_loss")[i] == pytest.approx(np.std(losses, ddof=1) / np.sqrt(3))
        row = next(row for row in scored if row.fingerprint == name)
        assert (sample.columns["val_loss"][i], sample.columns["ops"][i]) == (row.val_loss, row.ops)


def test_a_failed_seed_is_left_out_of_the_mean():
    scored, retrained = study(representative=8, shortlist=2)
    name = retrained[0].fingerprint
    sample = join(scored, altered(retrained, name, seed=1, **FAILED))
    left = [row.true_error for row in retrained if row.fingerprint == name and row.seed != 1]
    i = sample.fingerprints.index(name)
    assert sample.truth("true_error")[i] == pytest.approx(np.mean(left))
    assert sample.standard_error("true_error")[i] == pytest.approx(np.std(left, ddof=1) / np.sqrt(2))
    assert (sample.counts.failed_trainings, sample.counts.incomplete, sample.counts.without_truth) == (1, 1, 0)


def test_one_seed_has_no_standard_error():
    sample = join(*study(seeds=1))
    assert np.isnan(sample.standard_error("true_loss")).all()


def test_an_architecture_whose_every_seed_failed_is_left_out_and_counted():
    scored, retrained = study(representative=8, shortlist=2)
    name = retrained[0].fingerprint
    sample = join(scored, altered(retrained, name, **FAILED))
    assert name not in sample.fingerprints
    assert (sample.counts.failed_trainings, sample.counts.without_truth, sample.counts.incomplete) == (3, 1, 0)
    assert sample.counts.architectures == len(sample.fingerprints) + 1


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_truth_or_score_that_is_not_finite_does_not_count(loss):
    scored, retrained = study(representative=8, shortlist=2)
    name = retrained[0].fingerprint
    assert name not in join(scored, altered(retrained, name, true_loss=loss)).fingerprints
    for column in ("smash_score", "val_loss", "val_error"):
        unscored = [replace(row, **{column: loss}) if row.fingerprint == name else row for row in scored]
        sample = join(unscored, retrained)
        assert name not in sample.fingerprints
        assert sample.counts.without_score == 1


def test_a_training_with_a_failure_does_not_count_whatever_it_reached():
    scored, retrained = study(representative=8, shortlist=2)
    name = retrained[0].fingerprint
    assert name not in join(scored, altered(retrained, name, failure="out of memory")).fingerprints


def test_groups_decide_representatives_and_shortlist():
    scored, retrained = study(representative=8, shortlist=2)
    names = list(dict.fromkeys(row.fingerprint for row in retrained))[:4]
    for name, arm in zip(names, ("shortlist", "stratified", "random", "stratified+shortlist"), strict=True):
        retrained = altered(retrained, name, arm=arm)
    sample = join(scored, retrained)
    rows = [sample.fingerprints.index(name) for name in names]
    assert sample.representative[rows].tolist() == [False, True, True, True]
    assert sample.top[rows].tolist() == [True, False, False, True]


def test_a_repeated_training_replaces_the_earlier_one():
    scored, retrained = study(representative=8, shortlist=2)
    failed_first = altered(retrained, retrained[0].fingerprint, **FAILED)[:3] + retrained
    again = join(scored, failed_first)
    assert again.truth("true_loss").tolist() == join(scored, retrained).truth("true_loss").tolist()
    assert again.counts == join(scored, retrained).counts


def test_refuses_tables_of_two_runs():
    scored, retrained = study(representative=8, shortlist=2)
    with pytest.raises(ValueError, match=f"{retrained[0].fingerprint} was retrained but is not in the ranking"):
        join([row for row in scored if row.fingerprint != retrained[0].fingerprint], retrained)


def test_rivals_stand_beside_the_architectures_that_they_judged():
    scored, retrained = study(representative=8, shortlist=2)
    rows = baselines(retrained, ("naswot", "weight_sharing"))
    repeated = [replace(rows[0], value=9.0), *rows[::-1], replace(rows[1], value=7.0)]
    sample = join(scored, retrained, [row for row in repeated if row != rows[3]])
    assert list(sample.baselines) == ["naswot", "weight_sharing"]
    naswot = dict(zip(sample.fingerprints, sample.baselines["naswot"].values, strict=True))
    assert naswot[rows[0].fingerprint] == rows[0].value, "of two values the later row counts"
    assert naswot[rows[1].fingerprint] == 7.0
    assert np.isnan(naswot[rows[3].fingerprint])
    assert np.isnan(sample.baselines["naswot"].seconds).sum() == 1
    assert [baseline.training_seconds for baseline in sample.baselines.values()] == [0.0, 40.0]


def test_a_rival_may_judge_what_was_never_trained():
    scored, retrained = study(representative=8, shortlist=2)
    untrained = next(row for row in scored if row.fingerprint not in {r.fingerprint for r in retrained})
    rows = baselines(retrained, ("naswot",))
    extra = replace(rows[0], fingerprint=untrained.fingerprint)
    assert join(scored, retrained, [*rows, extra]).baselines["naswot"].values.tolist() == [row.value for row in rows]


def test_refuses_a_rival_of_another_run():
    scored, retrained = study(representative=8, shortlist=2)
    with pytest.raises(ValueError, match="architecture elsewhere has a value of the baseline naswot but is not in"):
        join(scored, retrained, [replace(baselines(retrained, ("naswot",))[0], fingerprint="elsewhere")])


@pytest.mark.parametrize("name", ["smash_score", "params", "val_error", "smash_score+params"])
def test_refuses_a_rival_with_the_name_of_a_predictor(name):
    scored, retrained = study(representative=8, shortlist=2)
    with pytest.raises(ValueError, match=f"a baseline is called {re.escape(name)}, as a predictor"):
        join(scored, retrained, baselines(retrained, (name,)))


def test_refuses_scores_by_different_hypernets():
    scored, retrained = study(representative=8, shortlist=2)
    scored[0] = replace(scored[0], val_loss_by_hypernet="0.5;0.6")
    with pytest.raises(ValueError, match="by 2 HyperNets and some by 3"):
        join(scored, retrained)


def test_empty_tables_give_an_empty_sample():
    sample = join([], [])
    assert sample.truth("true_loss").shape == sample.standard_error("true_loss").shape == (0,)
