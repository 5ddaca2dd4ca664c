import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from smash_lightning.evaluation.agreement import shortlist
from smash_lightning.evaluation.correlation import correlate, value
from smash_lightning.evaluation.sample import join
from tests.evaluation.study_tables import FAILED, baselines, changed, study

FAST = {"bootstrap": 300}


def representative(ranking, retrained):
    sample = join(ranking, retrained)
    chosen = sample.representative
    columns = {name: column[chosen] for name, column in sample.columns.items()}
    return columns, sample.ground_truth("true_loss")[chosen], sample


def test_coefficients_are_scipys_on_the_representative_architectures():
    tables = study()
    columns, target, sample = representative(*tables)
    result = correlate(*tables, **FAST)
    assert result.architectures == len(target) == 40 < len(sample.fingerprints)
    val_loss = result.loss.scores["val_loss"]
    assert val_loss.spearman.value == pytest.approx(stats.spearmanr(columns["val_loss"], target).statistic)
    assert val_loss.kendall.value == pytest.approx(stats.kendalltau(columns["val_loss"], target).statistic)
    assert val_loss.pearson.value == pytest.approx(stats.pearsonr(columns["val_loss"], target).statistic)
    error = sample.ground_truth("true_error")[sample.representative]
    in_error = result.error.scores["val_error"].spearman.value
    assert in_error == pytest.approx(stats.spearmanr(columns["val_error"], error).statistic)
    for name in ("params", "macs", "ops"):
        size = result.loss.sizes[name]
        expected = stats.spearmanr(columns[name], -target).statistic  # larger predicts better
        assert size.coefficients.spearman.value == pytest.approx(expected)
        assert size.delta_spearman.value == pytest.approx(val_loss.spearman.value - expected)


def test_partial_coefficients_are_given_parameters_or_all_sizes():
    tables = study(size_skill=0.6)
    columns, target, _ = representative(*tables)
    loss = correlate(*tables, **FAST).loss
    partial = ((loss.partial_given_params, ["params"]), (loss.partial_given_sizes, ["params", "macs", "ops"]))
    for estimate, sizes in partial:
        design = np.column_stack([np.ones(40), *(stats.rankdata(columns[size]) for size in sizes)])
        ranks = [stats.rankdata(column) for column in (columns["val_loss"], target)]
        residuals = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks]
        assert estimate.value == pytest.approx(np.corrcoef(*residuals)[0, 1])


def test_hypernets_are_compared_with_each_other_and_with_the_ground_truth():
    tables = study()
    _, target, sample = representative(*tables)
    by_hypernet = sample.by_hypernet[sample.representative]
    result = correlate(*tables, **FAST)
    assert [(pair.first, pair.second) for pair in result.hypernet_pairs] == [(0, 1), (0, 2), (1, 2)]
    agreement = [stats.spearmanr(by_hypernet[:, p.first], by_hypernet[:, p.second]) for p in result.hypernet_pairs]
    assert [p.spearman.value for p in result.hypernet_pairs] == pytest.approx([a.statistic for a in agreement])
    assert result.hypernet_agreement.value == pytest.approx(np.mean([a.statistic for a in agreement]))
    singles = [stats.spearmanr(column, target).statistic for column in by_hypernet.T]
    assert [single.value for single in result.loss.hypernets] == pytest.approx(singles)


def test_the_shortlist_does_not_change_the_correlation():
    ranking, retrained = study()
    result = correlate(ranking, retrained, **FAST)
    only = (retrained["shortlist"] == 1) & (retrained["stratified"] == 0)
    worse = retrained.assign(true_loss=retrained["true_loss"] + only)
    after = correlate(ranking, worse, **FAST)
    assert after.comparison == result.comparison
    assert after.loss.shortlist.difference > result.loss.shortlist.difference + 0.1
    assert replace(after.loss, shortlist=None) == replace(result.loss, shortlist=None)


def test_the_order_of_rows_changes_no_value():
    ranking, retrained = study()
    one, two = correlate(ranking, retrained, **FAST), correlate(ranking[::-1], retrained[::-1], **FAST)
    assert one.loss.partial_given_sizes.value == pytest.approx(two.loss.partial_given_sizes.value)
    assert one.loss.reliability.icc_mean.value == pytest.approx(two.loss.reliability.icc_mean.value)
    assert one.loss.shortlist.z == pytest.approx(two.loss.shortlist.z)
    assert one.loss.top_fraction["ops"].value == pytest.approx(two.loss.top_fraction["ops"].value)  # ties at the border
    ops = [result.comparison.predictors["ops"].precision.value for result in (one, two)]
    assert ops[0] == pytest.approx(ops[1])


@pytest.mark.parametrize(
    "case", [{"equal_ops": True}, {"seeds": 1}, {"hypernets": 1}, {"shortlist": 1}, {"representative": 3}, {"noise": 0}]
)
def test_degenerate_tables_give_null_without_a_warning(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = json.loads(correlate(*study(**case), **FAST).to_json())
    loss = plain["loss"]
    assert (loss["sizes"]["ops"]["coefficients"]["kendall"] is None) == (case.keys() <= {"equal_ops", "representative"})
    assert (loss["reliability"]["ceiling"] is None) == (case.keys() <= {"seeds", "representative"})
    assert (plain["hypernet_agreement"] is None) == (case.keys() <= {"hypernets", "representative"})
    assert (loss["shortlist"] is None) == (case.keys() <= {"shortlist"})
    assert (loss["scores"]["val_loss"]["spearman"] is None) == (case.keys() <= {"representative"})
    assert (loss["partial_given_sizes"] is None) == (case.keys() <= {"representative"})


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
    ranking, retrained = study()
    plain = json.loads(correlate(ranking, retrained, baselines(retrained, ("naswot",)), **FAST).to_json())
    walk(plain)
    # Seven predictors with seven estimates, less two differences of the score from itself and the partial coefficient
    # of the parameters given the parameters; and the goal.
    in_comparison = 7 * 7 - 2 - 1 + 1
    assert len(found) == 2 * (6 + 3 * 3 + 3 * 4 + 2 + 3 + 7) + 3 + 1 + in_comparison
    assert list(plain) == [
        *("architectures", "counts", "resamples", "seed", "confidence", "loss", "error", "comparison"),
        *("hypernet_pairs", "hypernet_agreement", "verdict"),
    ]
    assert set(plain["loss"]["top_fraction"]) == {
        *("smash_score", "val_loss", "val_error", "params", "macs", "ops", "ground_truth")
    }


def outcome(*tables, **options):
    return json.loads(correlate(*tables, **FAST, **options).to_json())["verdict"]


def no_verdict(reason):
    return {"status": "no_verdict", "reason": reason, **dict.fromkeys(("goal", "strongest", "strongest_size_matched"))}


def test_the_verdict_is_by_the_interval_of_the_coefficient():
    ranking, retrained = study(skill=0.9, noise=0.2)
    found = outcome(ranking, retrained, baselines(retrained, skill=0.95))
    assert (found["status"], found["reason"]) == ("predicts", None)
    assert found["strongest"] in ("naswot", "synflow", "early_stopping")
    turned = ranking.assign(smash_score=-ranking["smash_score"])
    assert (outcome(turned, retrained)["status"], outcome(turned, retrained)["goal"]) == ("misleads", "below")
    assert outcome(*study(skill=0.0, noise=0.2))["status"] == "not_significant"
    perfect = retrained.groupby("fingerprint")["true_loss"].mean()
    known = ranking.assign(smash_score=ranking["fingerprint"].map(perfect).fillna(0.0))
    assert outcome(known, retrained)["goal"] in ("above", "not_significant")


def test_reasons_for_no_verdict():
    ranking, retrained = study()
    assert outcome(*study(representative=3)) == no_verdict("few_architectures")
    assert outcome(ranking[:0], retrained[:0]) == no_verdict("few_architectures")
    assert outcome(*study(seeds=1)) == no_verdict("unknown_reliability")
    noise = np.random.default_rng(1).normal(size=len(retrained))
    assert outcome(ranking, retrained.assign(true_loss=noise)) == no_verdict("low_reliability")
    assert outcome(ranking.assign(smash_score=0.5), retrained) == no_verdict("constant")


# --- the shortlist ---


def groups(key=1, gain=0.02):
    rng = np.random.default_rng(key)
    return 0.145 - gain + 0.01 * rng.normal(size=12), 0.145 + 0.02 * rng.normal(size=36)


def test_is_welchs_test():
    top, sample = groups()
    result, welch = shortlist(top, sample), stats.ttest_ind(top, sample, equal_var=False)
    assert result.z == pytest.approx(welch.statistic)
    interval = welch.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.difference == pytest.approx(result.z * result.standard_error)
    assert (result.top, result.representative) == (12, 36)
    assert result.difference == pytest.approx(result.mean_top - result.mean_representative)


def test_counts_those_that_beat_the_median():
    result = shortlist(np.array([1.0, 2.0, 3.0, 9.0]), np.array([2.0, 3.0, 4.0, 2.5, 8.0]))
    assert (result.beat_median, result.share) == (2, 0.5)  # 3.0 only equals it


@pytest.mark.parametrize("top", [[], [0.1], [0.2, 0.2]])
def test_undefined_groups_give_none(top):
    assert shortlist(np.array(top), np.array([0.2, 0.2, 0.2])) is None
    assert shortlist(np.array([0.2, 0.2]), np.array(top)) is None


# --- one number for a run ---


def test_the_correlation_is_that_of_the_report():
    tables = study()
    compared = correlate(*tables, bootstrap=100)
    assert value("correlation", compared, *tables) == compared.loss.scores["smash_score"].spearman.value
    few = study(representative=3, shortlist=2)
    assert value("correlation", correlate(*few, bootstrap=100), *few) is None


@pytest.mark.parametrize("column", ["true_loss", "true_error"])
def test_the_best_is_the_first_by_score_and_not_by_ground_truth(column):
    ranking, retrained = study(skill=0.2)
    ranking = ranking.sort_values("smash_score")
    compared, metric = correlate(ranking, retrained, bootstrap=100), f"best_{column}"
    means = retrained.groupby("fingerprint")[column].mean()
    first, second = (name for name in ranking["fingerprint"].iloc[:2])
    assert value(metric, compared, ranking, retrained) == pytest.approx(means[first])
    assert means[first] > means.min(), "otherwise the example cannot distinguish the two"
    # Trainings that failed do not count, nor does an architecture of which all failed.
    rows = retrained["fingerprint"] == first
    rest = retrained[column][rows & (retrained["seed"] != 0)]
    one = changed(retrained, rows & (retrained["seed"] == 0), **FAILED)
    assert value(metric, compared, ranking, one) == pytest.approx(np.mean(rest))
    whole = changed(retrained, first, **FAILED)
    assert value(metric, compared, ranking, whole) == pytest.approx(means[second])
    assert value(metric, compared, ranking, retrained[:0]) is None
