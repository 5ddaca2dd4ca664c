import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from smash_lightning.evaluation.agreement import shortlist
from smash_lightning.evaluation.correlation import correlate, value
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.evaluation.sample import join, numbered
from tests.evaluation.study_tables import FAILED, baselines, changed, study

FAST = {"bootstrap": 300}


def coefficients(predictor, target):
    functions = (stats.spearmanr, stats.kendalltau, stats.pearsonr)
    return {function.__name__[:-1].removesuffix("ta"): function(predictor, target).statistic for function in functions}


def partial(x, y, *given):
    """The correlation of the residuals of ranks."""
    design = np.column_stack([np.ones(len(x)), *map(stats.rankdata, given)])
    ranks = [stats.rankdata(column) for column in (x, y)]
    return np.corrcoef([r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks])[0, 1]


def top_gain(predictor, target):
    """Mean of the fifth with the lowest predictor minus the mean of all; of equal ones at its border a part counts."""
    border = np.sort(predictor)[len(target) // 5 - 1]
    below, level = target[predictor < border], target[predictor == border]
    count = len(target) // 5
    return (below.sum() + (count - len(below)) * level.mean()) / count - target.mean()


def expected(rows, resamples):
    """Every estimate of a run but the comparison of predictors, by its name in the file."""
    names = ("params", "macs", "ops")
    found = {}
    for section, name in (("loss", "true_loss"), ("error", "true_error")):
        target, score = rows[name].to_numpy(), rows["smash_score"].to_numpy()
        scores = {column: rows[column].to_numpy() for column in ("smash_score", "val_loss", "val_error")}
        sizes = {column: -rows[column].to_numpy() for column in names}  # larger predicts better
        reliable = asdict(reliability(numbered(rows, name), resamples, 0))
        tree = {
            "reliability": {key: one["value"] for key, one in reliable.items() if isinstance(one, dict)},
            "scores": {key: coefficients(column, target) for key, column in scores.items()},
            "sizes": {
                key: {"coefficients": coefficients(column, target)}
                | {"delta_spearman": stats.spearmanr(score, target)[0] - stats.spearmanr(column, target)[0]}
                for key, column in sizes.items()
            },
            "partial_given_params": partial(score, target, rows["params"]),
            "partial_given_sizes": partial(score, target, *(rows[key] for key in names)),
            "hypernets": [stats.spearmanr(column, target).statistic for column in numbered(rows, "val_loss").T],
            "top_fraction": {
                key: top_gain(x, target) for key, x in (scores | sizes | {"ground_truth": target}).items()
            },
        }
        found[section] = tree
    pairs = stats.spearmanr(numbered(rows, "val_loss")).statistic[[0, 0, 1], [1, 2, 2]]
    return found | {"hypernet_pairs": [{"spearman": rho} for rho in pairs], "hypernet_agreement": pairs.mean()}


def flat(tree, name=""):
    """Estimates, or numbers in place of them, by dotted names."""
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if isinstance(tree, float) or "value" in tree:
        return {name: tree}
    parts = [flat(one, f"{name}.{key}") for key, one in tree.items() if isinstance(one, dict | list | float)]
    return {key: one for part in parts for key, one in part.items()}


def test_every_estimate_of_the_file_is_that_of_scipy_with_an_interval():
    ranking, retrained = study(size_skill=0.6)
    rows = join(ranking, retrained).representative
    content = json.loads(correlate(ranking, retrained, baselines(retrained, ("naswot",)), **FAST).to_json())
    assert content["architectures"] == len(rows) == 40 < retrained["fingerprint"].nunique()
    assert list(content) == [
        *("architectures", "counts", "resamples", "seed", "confidence", "loss", "error", "comparison"),
        *("hypernet_pairs", "hypernet_agreement", "verdict"),
    ]
    assert [(pair["first"], pair["second"]) for pair in content["hypernet_pairs"]] == [(0, 1), (0, 2), (1, 2)]
    for section in ("loss", "error"):
        assert content[section].pop("shortlist")
    found = {name: one for name, one in flat(content).items() if isinstance(one, dict)}
    # Seven predictors with seven estimates, less two differences of the score from itself and the partial coefficient
    # of the parameters given the parameters; and the goal.
    of_predictors = {name for name in found if name.startswith(".comparison.")}
    assert len(of_predictors) == 7 * 7 - 2 - 1 + 1
    assert all(one["low"] <= one["value"] <= one["high"] and one["resamples"] == 300 for one in found.values())
    others = {name: one["value"] for name, one in found.items() if name not in of_predictors}
    assert others == pytest.approx(flat(expected(rows, 300)))


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


def test_the_shortlist_is_compared_by_welchs_test():
    rng = np.random.default_rng(1)
    top, sample = 0.125 + 0.01 * rng.normal(size=12), 0.145 + 0.02 * rng.normal(size=36)
    result, welch = shortlist(top, sample), stats.ttest_ind(top, sample, equal_var=False)
    assert result.z == pytest.approx(welch.statistic)
    interval = welch.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.difference == pytest.approx(result.z * result.standard_error)
    assert (result.top, result.representative) == (12, 36)
    assert result.difference == pytest.approx(result.mean_top - result.mean_representative)
    few = shortlist(np.array([1.0, 2.0, 3.0, 9.0]), np.array([2.0, 3.0, 4.0, 2.5, 8.0]))
    assert (few.beat_median, few.share) == (2, 0.5)  # 3.0 only equals the median


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
