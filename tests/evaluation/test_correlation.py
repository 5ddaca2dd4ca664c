import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats
from tests.evaluation.study_tables import baselines, study

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.sample import join
from smash_lightning.evaluation.summary import summary

FAST = {"bootstrap": 300}


def representative(scored, retrained):
    sample = join(scored, retrained)
    chosen = sample.representative
    return {n: v[chosen] for n, v in sample.columns.items()}, sample.truth("true_loss")[chosen], sample


def test_coefficients_are_scipys_on_the_representative_architectures():
    tables = study()
    columns, truth, sample = representative(*tables)
    result = correlate(*tables, **FAST)
    assert result.architectures == len(truth) == 40 < len(sample.fingerprints)
    val_loss = result.loss.scores["val_loss"]
    assert val_loss.spearman.value == pytest.approx(stats.spearmanr(columns["val_loss"], truth).statistic)
    assert val_loss.kendall.value == pytest.approx(stats.kendalltau(columns["val_loss"], truth).statistic)
    assert val_loss.pearson.value == pytest.approx(stats.pearsonr(columns["val_loss"], truth).statistic)
    error = sample.truth("true_error")[sample.representative]
    in_error = result.error.scores["val_error"].spearman.value
    assert in_error == pytest.approx(stats.spearmanr(columns["val_error"], error).statistic)
    for name in ("params", "macs", "ops"):
        baseline = result.loss.sizes[name]
        expected = stats.spearmanr(columns[name], -truth).statistic  # bigger is taken to be better
        assert baseline.coefficients.spearman.value == pytest.approx(expected)
        assert baseline.delta_spearman.value == pytest.approx(val_loss.spearman.value - expected)


def test_partial_coefficients_are_given_parameters_or_all_sizes():
    tables = study(size_skill=0.6)
    columns, truth, _ = representative(*tables)
    loss = correlate(*tables, **FAST).loss
    for estimate, sizes in ((loss.given_params, ["params"]), (loss.given_sizes, ["params", "macs", "ops"])):
        design = np.column_stack([np.ones(40), *(stats.rankdata(columns[size]) for size in sizes)])
        ranks = [stats.rankdata(column) for column in (columns["val_loss"], truth)]
        residuals = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks]
        assert estimate.value == pytest.approx(np.corrcoef(*residuals)[0, 1])


def test_hypernets_are_compared_with_each_other_and_with_the_truth():
    tables = study()
    _, truth, sample = representative(*tables)
    by_hypernet = sample.by_hypernet[sample.representative]
    result = correlate(*tables, **FAST)
    assert [(pair.first, pair.second) for pair in result.hypernet_pairs] == [(0, 1), (0, 2), (1, 2)]
    agreement = [stats.spearmanr(by_hypernet[:, p.first], by_hypernet[:, p.second]) for p in result.hypernet_pairs]
    assert [p.spearman.value for p in result.hypernet_pairs] == pytest.approx([a.statistic for a in agreement])
    assert result.hypernet_agreement.value == pytest.approx(np.mean([a.statistic for a in agreement]))
    singles = [stats.spearmanr(column, truth).statistic for column in by_hypernet.T]
    assert [single.value for single in result.loss.hypernets] == pytest.approx(singles)


def test_what_the_score_picked_does_not_touch_the_correlation():
    scored, retrained = study()
    result = correlate(scored, retrained, **FAST)
    worse = [replace(row, true_loss=row.true_loss + 1) if row.arm == "shortlist" else row for row in retrained]
    changed = correlate(scored, worse, **FAST)
    assert changed.contest == result.contest
    assert changed.loss.shortlist.difference > result.loss.shortlist.difference + 0.1
    assert replace(changed.loss, shortlist=None) == replace(result.loss, shortlist=None)


def test_monotone_transforms_change_no_rank_coefficient():
    scored, retrained = study()
    stretched = [
        replace(row, smash_score=np.exp(20 * row.smash_score), val_loss=0.5, params=row.params**2) for row in scored
    ]
    one, two = (correlate(table, retrained, **FAST).loss for table in (scored, stretched))
    assert asdict(one.given_sizes) == pytest.approx(asdict(two.given_sizes))
    for name in ("spearman", "kendall"):
        score = asdict(getattr(one.scores["smash_score"], name))
        assert score == pytest.approx(asdict(getattr(two.scores["smash_score"], name)))
    assert one.scores["smash_score"].pearson != two.scores["smash_score"].pearson


def test_the_order_of_rows_changes_no_value():
    scored, retrained = study()
    one, two = correlate(scored, retrained, **FAST), correlate(scored[::-1], retrained[::-1], **FAST)
    assert one.loss.given_sizes.value == pytest.approx(two.loss.given_sizes.value)
    assert one.loss.reliability.icc_mean.value == pytest.approx(two.loss.reliability.icc_mean.value)
    assert one.loss.shortlist.z == pytest.approx(two.loss.shortlist.z)
    assert one.loss.best_fifth["ops"].value == pytest.approx(two.loss.best_fifth["ops"].value)  # ties at the border
    assert one.contest.predictors["ops"].precision.value == pytest.approx(two.contest.predictors["ops"].precision.value)


def test_the_same_seed_gives_the_same_file():
    tables = study()
    assert correlate(*tables, **FAST).to_json() == correlate(*tables, **FAST).to_json()
    assert correlate(*tables, **FAST).to_json() != correlate(*tables, seed=1, **FAST).to_json()


@pytest.mark.parametrize(
    "case", [{"equal_ops": True}, {"seeds": 1}, {"hypernets": 1}, {"shortlist": 1}, {"representative": 3}, {"noise": 0}]
)
def test_degenerate_tables_give_null_in_silence(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = json.loads(correlate(*study(**case), **FAST).to_json())
    loss = plain["loss"]
    assert (loss["sizes"]["ops"]["coefficients"]["kendall"] is None) == (case.keys() <= {"equal_ops", "representative"})
    assert (loss["reliability"]["ceiling"] is None) == (case.keys() <= {"seeds", "representative"})
    assert (plain["hypernet_agreement"] is None) == (case.keys() <= {"hypernets", "representative"})
    assert (loss["shortlist"] is None) == (case.keys() <= {"shortlist"})
    assert (loss["scores"]["val_loss"]["spearman"] is None) == (case.keys() <= {"representative"})
    assert (loss["given_sizes"] is None) == (case.keys() <= {"representative"})


def test_no_rows_at_all_are_refused_in_words():
    result = correlate([], [], **FAST)
    assert "0 representative architectures" in summary(result)
    json.loads(result.to_json())


def test_every_coefficient_in_the_file_has_its_interval():
    def walk(node):
        if isinstance(node, dict):
            if "value" in node:
                assert node["low"] <= node["value"] <= node["high"]
                assert node["resamples"] == 300
                found.append(node)
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    found = []
    scored, retrained = study()
    walk(json.loads(correlate(scored, retrained, baselines(retrained, ("naswot",)), **FAST).to_json()))
    # Seven predictors with seven figures, less what the key is ahead of itself and what size is given size; the goal.
    in_contest = 7 * 7 - 2 - 1 + 1
    assert len(found) == 2 * (6 + 3 * 3 + 3 * 4 + 2 + 3 + 7) + 3 + 1 + in_contest
