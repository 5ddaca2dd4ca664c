import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.comparison import ESTIMATES, compare_predictors, measure, size_matched_pairs
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.evaluation.sample import join, numbered
from tests.evaluation.study_tables import FAILED, baselines, changed, study

NAMES = ("naswot", "weight_sharing")


def tables(**case):
    ranking, retrained = study(**case)
    return ranking, retrained, baselines(retrained, NAMES)


def of(ranking, retrained, table, **options):
    return compare_predictors(join(ranking, retrained, table), 200, 0, **options)


def loop(column, score, target, params, matched):
    """The estimates of one predictor on drawn rows, the obvious way."""

    def tau(x):
        pairs = [(i, j) for i in range(len(x)) for j in range(i) if matched[i, j]]
        orders = np.array([(np.sign(x[i] - x[j]), np.sign(target[i] - target[j])) for i, j in pairs])
        return orders.prod(1).sum() / np.sqrt(np.abs(orders).sum(0).prod())

    def rho(x):
        return stats.spearmanr(x, target).statistic

    xy, xz, yz = rho(column), stats.spearmanr(column, params).statistic, rho(params)
    count = len(target) // 5
    selected, best = (np.argsort(values, kind="stable")[:count] for values in (column, target))
    return {
        "spearman": xy,
        "size_matched_tau": tau(column),
        "partial_spearman": (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)),
        "regret": target[selected].mean() - target[best].mean(),
        "precision": len(set(selected) & set(best)) / count,
        "delta_spearman": rho(score) - xy,
        "delta_tau_size_matched": tau(score) - tau(column),
    }


def test_estimates_are_those_of_a_loop_over_drawn_rows():
    """Value and ends of every interval; the loop draws the rows that the bootstrap's weights count."""
    rng = np.random.default_rng(1)
    target = rng.normal(size=25)
    score, baseline = target + rng.normal(size=25), target + 2 * rng.normal(size=25)
    params = 1000.0 * np.exp(0.3 * rng.normal(size=25))
    matched, bootstrap = size_matched_pairs(params, 0.2), Bootstrap(25, 150, seed=2)
    columns = {"baseline": baseline, "smash_score": score}
    measured = measure(columns, target, params, matched, bootstrap)
    for name, column in columns.items():
        found = []
        for drawn in [np.arange(25), *(np.repeat(np.arange(25), w.astype(int)) for w in bootstrap.weights)]:
            parts = (column[drawn], score[drawn], target[drawn], params[drawn], matched[np.ix_(drawn, drawn)])
            found.append(loop(*parts))
        for name_of in ESTIMATES:
            if (estimate := measured[name][name_of]) is None:
                assert (name, name_of) in {("smash_score", "delta_spearman"), ("smash_score", "delta_tau_size_matched")}
                continue
            draws = np.array([numbers[name_of] for numbers in found[1:]])
            assert estimate.value == pytest.approx(found[0][name_of]), name_of
            assert (estimate.low, estimate.high) == pytest.approx(np.quantile(draws, [0.025, 0.975])), name_of


def test_pairs_are_those_whose_larger_one_is_within_the_band():
    params = np.array([100.0, 110, 111, 121, 300])
    matched = size_matched_pairs(params, 0.1)
    pairs = {(int(params[i]), int(params[j])) for i, j in np.argwhere(matched) if i < j}
    assert pairs == {(100, 110), (110, 111), (110, 121), (111, 121)}
    assert (matched == matched.T).all()
    assert all(size_matched_pairs(np.array([b, 1.1 * b]), 0.1)[0, 1] for b in range(1, 2_000)), "despite rounding"


def test_every_predictor_is_there_best_first_with_its_cost():
    ranking, retrained, table = tables()
    rows = join(ranking, retrained, table).representative
    columns = {name: rows[name] for name in ("smash_score", "val_error")}
    columns |= {name: -rows[name] for name in ("params", "macs", "ops")}
    columns["smash_score+params"] = stats.rankdata(rows["smash_score"]) + stats.rankdata(-np.log(rows["params"]))
    columns |= {name: rows[f"baseline_{name}"] for name in NAMES}
    expected = {name: stats.spearmanr(column, rows["true_loss"]).statistic for name, column in columns.items()}
    result = of(ranking, retrained, table, training_seconds=114.0)
    assert {name: one.spearman.value for name, one in result.predictors.items()} == pytest.approx(expected)
    assert list(result.predictors) == sorted(expected, key=lambda name: -expected[name])
    costs = {name: (metrics.seconds, metrics.training_seconds) for name, metrics in result.predictors.items()}
    assert costs["smash_score"] == costs["val_error"] == costs["smash_score+params"] == (pytest.approx(0.36), 114.0)
    assert costs["params"] == costs["macs"] == costs["ops"] == (0.0, 0.0)
    assert costs["naswot"] == (pytest.approx(0.05), 0.0)
    assert costs["weight_sharing"] == (pytest.approx(0.05), 40.0)


def test_forms_of_the_score_are_no_baselines():
    """Nor is the validation loss a predictor of its own where it is the score."""
    ranking, retrained = study(skill=0.9)
    table = pd.concat([baselines(retrained, NAMES, skill=0.1), baselines(retrained, ("strong",), skill=0.6)])
    result = of(ranking, retrained, table)
    assert next(iter(result.predictors)) in ("smash_score", "val_error")
    assert result.baselines()[0] == result.baselines("size_matched_tau")[0] == "strong"
    other = of(ranking.assign(smash_score=ranking["smash_score"] + 0.01 * (ranking.index % 7)), retrained, table)
    assert set(other.predictors) - set(result.predictors) == {"val_loss"}
    assert other.predictors["val_loss"].delta_spearman is not None
    assert other.predictors["smash_score"].delta_spearman is None
    for each in (result, other):
        assert set(each.baselines()) == {"strong", *NAMES, "params", "macs", "ops"}


def test_a_baseline_without_every_value_is_omitted_unless_only_the_shortlist_lacks_it():
    ranking, retrained, table = tables()
    first, second = sorted(set(retrained["fingerprint"][retrained["stratified"] == 1]))[:2]
    only = set(retrained["fingerprint"][retrained["stratified"] == 0])
    naswot = table["baseline"] == "naswot"
    fewer = table[~(naswot & (table["fingerprint"] == first)) & ~table["fingerprint"].isin(only)]
    fewer = changed(fewer, (fewer["baseline"] == "naswot") & (fewer["fingerprint"] == second), prediction=math.nan)
    result = of(ranking, retrained, fewer)
    assert result.omitted == {"naswot": "no value for 2 of 40 architectures"}
    assert "naswot" not in result.predictors
    assert result.predictors["weight_sharing"] == of(ranking, retrained, table).predictors["weight_sharing"]


def test_an_infinite_value_is_the_worst_and_only_the_order_counts():
    ranking, retrained, table = tables()
    high = table["prediction"] > 0.8
    finite = changed(table, high, prediction=float(table["prediction"].max()))
    assert of(ranking, retrained, changed(table, high, prediction=math.inf)) == of(ranking, retrained, finite)
    stretched = table.assign(prediction=np.exp(3 * table["prediction"]))
    assert of(ranking, retrained, stretched).predictors == of(ranking, retrained, table).predictors


def test_few_size_matched_pairs_show_nothing():
    ranking, retrained, table = tables()
    spread = ranking.assign(params=(1000 * 1.2**ranking.index).astype(int))
    result = of(spread, retrained, table)
    assert result.pairs == 0
    assert all(metrics.size_matched_tau is None for metrics in result.predictors.values())
    assert result.baselines("size_matched_tau") == []
    close = of(ranking.assign(params=(1000 * 1.09**ranking.index).astype(int)), retrained, table)
    assert close.pairs == 39  # each of 40 with the next one
    assert close.predictors["naswot"].size_matched_tau is not None


def test_distance_to_the_goal_is_paired_and_on_architectures_with_every_seed():
    ranking, retrained = study()
    sample = join(ranking, changed(retrained, retrained.index == 0, **FAILED))
    rows = sample.representative.dropna()
    assert len(rows) < len(sample.representative)
    rho = stats.spearmanr(rows["smash_score"], rows["true_loss"]).statistic
    ceiling = reliability(numbered(rows, "true_loss"), 200, 0).ceiling
    assert compare_predictors(sample, 200, 0).above_goal.value == pytest.approx(rho - 0.9 * ceiling.value)
    assert compare_predictors(join(*study(seeds=1)), 200, 0).above_goal is None
