import math
import re

import numpy as np
import pandas as pd
import pytest

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.sample import join
from smash_lightning.evaluation.tables import RANKING, RETRAINED
from tests.evaluation.study_tables import FAILED, baselines, changed, study


def small():
    return study(representative=8, shortlist=2)


def of_seed(retrained, fingerprint, seed):
    return (retrained["fingerprint"] == fingerprint) & (retrained["seed"] == seed)


def test_ground_truth_is_the_mean_over_seeds():
    ranking, retrained = small()
    sample = join(ranking, retrained)
    scored = ranking.set_index("fingerprint")
    for i, name in enumerate(sample.fingerprints):
        losses = retrained["true_loss"][retrained["fingerprint"] == name]
        assert sample.ground_truth("true_loss")[i] == pytest.approx(losses.mean())
        assert sample.columns["val_loss"][i] == scored["val_loss"][name]
        assert sample.columns["ops"][i] == scored["ops"][name]
        assert sample.by_hypernet[i].tolist() == [scored[f"val_loss_{k}"][name] for k in range(3)]


def test_a_failed_seed_is_left_out_of_the_mean():
    ranking, retrained = small()
    name = retrained["fingerprint"][0]
    sample = join(ranking, changed(retrained, of_seed(retrained, name, 1), **FAILED))
    rest = retrained["true_error"][(retrained["fingerprint"] == name) & (retrained["seed"] != 1)]
    assert sample.ground_truth("true_error")[sample.fingerprints.index(name)] == pytest.approx(rest.mean())
    assert (sample.counts.failed_trainings, sample.counts.incomplete, sample.counts.without_ground_truth) == (1, 1, 0)


def test_an_architecture_whose_every_seed_failed_is_left_out_and_counted():
    ranking, retrained = small()
    name = retrained["fingerprint"][0]
    sample = join(ranking, changed(retrained, name, **FAILED))
    assert name not in sample.fingerprints
    assert (sample.counts.failed_trainings, sample.counts.without_ground_truth, sample.counts.incomplete) == (3, 1, 0)
    assert sample.counts.architectures == len(sample.fingerprints) + 1


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_ground_truth_or_score_that_is_not_finite_does_not_count(loss):
    ranking, retrained = small()
    name = retrained["fingerprint"][0]
    assert name not in join(ranking, changed(retrained, name, true_loss=loss)).fingerprints
    for column in ("smash_score", "val_loss", "val_error"):
        sample = join(changed(ranking, name, **{column: loss}), retrained)
        assert name not in sample.fingerprints
        assert sample.counts.without_score == 1


def test_a_training_with_a_failure_does_not_count_whatever_it_reached():
    ranking, retrained = small()
    name = retrained["fingerprint"][0]
    assert name not in join(ranking, changed(retrained, name, failure="out of memory")).fingerprints


def test_groups_decide_representatives_and_shortlist():
    ranking, retrained = small()
    names = list(dict.fromkeys(retrained["fingerprint"]))[:4]
    for name, groups in zip(names, ("100", "010", "001", "110"), strict=True):
        values = dict(zip(("shortlist", "stratified", "random"), map(int, groups), strict=True))
        retrained = changed(retrained, name, **values)
    sample = join(ranking, retrained)
    rows = [sample.fingerprints.index(name) for name in names]
    assert sample.representative[rows].tolist() == [False, True, True, True]
    assert sample.shortlist[rows].tolist() == [True, False, False, True]


def test_what_the_prediction_selected_represents_nothing():
    ranking, retrained = small()
    name = retrained["fingerprint"][0]
    sample = join(ranking, changed(retrained.assign(greedy=0), name, greedy=1, stratified=1))
    row = sample.fingerprints.index(name)
    assert (sample.representative[row], sample.greedy[row]) == (False, True)
    assert sample.greedy.sum() == 1


def test_of_two_trainings_with_one_seed_the_later_counts():
    ranking, retrained = small()
    first = retrained[:3].assign(**FAILED)
    again = join(ranking, pd.concat([first, retrained], ignore_index=True))
    assert again.ground_truth("true_loss").tolist() == join(ranking, retrained).ground_truth("true_loss").tolist()
    assert again.counts == join(ranking, retrained).counts


def test_baselines_are_joined():
    ranking, retrained = small()
    table = baselines(retrained, ("naswot", "weight_sharing"))
    repeated = pd.concat([table[:1].assign(prediction=9.0), table[::-1], table[1:2].assign(prediction=7.0)])
    repeated = repeated[(repeated["fingerprint"] != table["fingerprint"][3]) | (repeated["baseline"] != "naswot")]
    untrained = next(name for name in ranking["fingerprint"] if name not in set(retrained["fingerprint"]))
    sample = join(ranking, retrained, pd.concat([repeated, table[:1].assign(fingerprint=untrained)]))
    assert set(sample.baselines) == {"naswot", "weight_sharing"}
    naswot = dict(zip(sample.fingerprints, sample.baselines["naswot"].values, strict=True))
    assert naswot[table["fingerprint"][0]] == table["prediction"][0], "of two values the later row counts"
    assert naswot[table["fingerprint"][1]] == 7.0
    assert np.isnan(naswot[table["fingerprint"][3]])
    assert np.isnan(sample.baselines["naswot"].seconds).sum() == 1
    assert [sample.baselines[name].training_seconds for name in ("naswot", "weight_sharing")] == [0.0, 40.0]


def test_presets_without_a_score_change_nothing():
    ranking, retrained = small()
    presets = changed(retrained[:3].copy(), slice(None), fingerprint="wide", preset=1)
    presets = presets.assign(stratified=0, random=0, shortlist=0)
    with_presets = pd.concat([presets, retrained], ignore_index=True)
    found, expected = correlate(ranking, with_presets, bootstrap=200), correlate(ranking, retrained, bootstrap=200)
    assert found.to_json() == expected.to_json()


def test_tables_of_two_runs_are_refused():
    ranking, retrained = small()
    name = retrained["fingerprint"][0]
    with pytest.raises(ValueError, match=f"{name} was retrained but is not in the ranking"):
        join(ranking[ranking["fingerprint"] != name], retrained)
    with pytest.raises(ValueError, match="architecture elsewhere has a value of the baseline naswot but is not in"):
        join(ranking, retrained, baselines(retrained, ("naswot",)).assign(fingerprint="elsewhere"))


@pytest.mark.parametrize("name", ["smash_score", "params", "val_error", "smash_score+params"])
def test_a_baseline_with_the_name_of_another_predictor_is_refused(name):
    ranking, retrained = small()
    with pytest.raises(ValueError, match=f"the name {re.escape(name)} of another predictor"):
        join(ranking, retrained, baselines(retrained, (name,)))


def test_scores_by_different_numbers_of_hypernets_are_refused():
    ranking, retrained = small()
    with pytest.raises(ValueError, match="by 2 HyperNets and some by 3"):
        join(changed(ranking, retrained["fingerprint"][0], val_loss_2=math.nan), retrained)


def test_empty_tables_give_an_empty_sample():
    sample = join(pd.DataFrame(columns=[*RANKING.columns]), pd.DataFrame(columns=[*RETRAINED.columns]))
    assert sample.ground_truth("true_loss").shape == (0,)
