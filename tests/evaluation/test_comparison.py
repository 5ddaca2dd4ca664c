import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats
from tests.evaluation.study_tables import baselines, study

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.comparison import FIGURES, PredictorMetrics, contest, measure, size_matched_pairs
from smash_lightning.evaluation.correlation import correlate
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.evaluation.sample import join

NAMES = ("naswot", "weight_sharing")


def tables(**case):
    scored, retrained = study(**case)
    return scored, retrained, baselines(retrained, NAMES)


def of(scored, retrained, rows, **options):
    return contest(join(scored, retrained, rows), 200, 0, **options)


def loop(column, key, target, params, alike):
    """The figures of one predictor on drawn rows, the obvious way."""

    def tau(x):
        pairs = [(i, j) for i in range(len(x)) for j in range(i) if alike[i, j]]
        orders = np.array([(np.sign(x[i] - x[j]), np.sign(target[i] - target[j])) for i, j in pairs])
        return orders.prod(1).sum() / np.sqrt(np.abs(orders).sum(0).prod())

    def rho(x):
        return stats.spearmanr(x, target).statistic

    xy, xz, yz = rho(column), stats.spearmanr(column, params).statistic, rho(params)
    count = len(target) // 5
    picked, best = (np.argsort(values, kind="stable")[:count] for values in (column, target))
    return {
        "spearman": xy,
        "concordance": tau(column),
        "given_params": (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)),
        "regret": target[picked].mean() - target[best].mean(),
        "precision": len(set(picked) & set(best)) / count,
        "delta_spearman": rho(key) - xy,
        "delta_tau_size_matched": tau(key) - tau(column),
    }


def test_estimates_are_those_of_a_loop_over_drawn_rows():
    """Value and ends of every interval; the loop draws the rows that the bootstrap's weights count."""
    rng = np.random.default_rng(1)
    target = rng.normal(size=25)
    key, baseline = target + rng.normal(size=25), target + 2 * rng.normal(size=25)
    params = 1000.0 * np.exp(0.3 * rng.normal(size=25))
    alike, bootstrap = size_matched_pairs(params, 0.2), Bootstrap(25, 150, seed=2)
    columns = {"baseline": baseline, "smash_score": key}
    measured = measure(columns, target, params, alike, bootstrap)
    for name, column in columns.items():
        found = []
        for drawn in [np.arange(25), *(np.repeat(np.arange(25), w.astype(int)) for w in bootstrap.weights)]:
            parts = (column[drawn], key[drawn], target[drawn], params[drawn], alike[np.ix_(drawn, drawn)])
            found.append(loop(*parts))
        for figure in FIGURES:
            if (estimate := measured[name][figure]) is None:
                assert (name, figure) in {("smash_score", "delta_spearman"), ("smash_score", "delta_tau_size_matched")}
                continue
            draws = np.array([figures[figure] for figures in found[1:]])
            assert estimate.value == pytest.approx(found[0][figure]), figure
            assert (estimate.low, estimate.high) == pytest.approx(np.quantile(draws, [0.025, 0.975])), figure


def test_pairs_are_those_whose_larger_one_is_within_the_band():
    params = np.array([100.0, 110, 111, 121, 300])
    alike = size_matched_pairs(params, 0.1)
    pairs = {(int(params[i]), int(params[j])) for i, j in np.argwhere(alike) if i < j}
    assert pairs == {(100, 110), (110, 111), (110, 121), (111, 121)}
    assert (alike == alike.T).all()
    assert all(size_matched_pairs(np.array([b, 1.1 * b]), 0.1)[0, 1] for b in range(1, 2_000)), "whatever rounding does"


def test_every_predictor_is_there_best_first_with_its_cost():
    scored, retrained, rows = tables()
    result = of(scored, retrained, rows, training_seconds=114.0)
    assert set(result.predictors) == {"smash_score", "val_error", "params", "macs", "ops", "smash_score+params", *NAMES}
    values = [figures.spearman.value for figures in result.predictors.values()]
    assert values == sorted(values, reverse=True)
    costs = {name: (figures.seconds, figures.training_seconds) for name, figures in result.predictors.items()}
    assert costs["smash_score"] == costs["val_error"] == costs["smash_score+params"] == (pytest.approx(0.36), 114.0)
    assert costs["params"] == costs["macs"] == costs["ops"] == (0.0, 0.0)
    assert costs["naswot"] == (pytest.approx(0.05), 0.0)
    assert costs["weight_sharing"] == (pytest.approx(0.05), 40.0)


def test_it_agrees_with_the_other_figures_of_the_study():
    scored, retrained, rows = tables()
    result = correlate(scored, retrained, rows, bootstrap=200)
    predictors = result.contest.predictors
    assert predictors["smash_score"].spearman == result.loss.scores["smash_score"].spearman
    assert predictors["smash_score"].given_params.value == pytest.approx(result.loss.given_params.value)
    for size, baseline in result.loss.sizes.items():
        assert predictors[size].spearman.value == pytest.approx(baseline.coefficients.spearman.value)
        lead, same = predictors[size].delta_spearman, baseline.delta_spearman
        assert (lead.value, lead.low, lead.high) == pytest.approx((same.value, same.low, same.high))
    best = result.loss.best_fifth
    assert predictors["smash_score"].regret.value == pytest.approx(best["smash_score"].value - best["truth"].value)


def test_score_and_parameters_together_are_the_sum_of_their_ranks():
    scored, retrained, rows = tables()
    sample = join(scored, retrained)
    chosen = sample.representative
    together = stats.rankdata(sample.columns["smash_score"][chosen]) + stats.rankdata(
        -np.log(sample.columns["params"][chosen])
    )
    expected = stats.spearmanr(together, sample.truth("true_loss")[chosen]).statistic
    assert of(scored, retrained, rows).predictors["smash_score+params"].spearman.value == pytest.approx(expected)


def test_the_validation_loss_is_a_predictor_of_its_own_only_where_it_is_not_the_key():
    scored, retrained, rows = tables()
    other = [replace(row, smash_score=row.smash_score + 0.01 * (place % 7)) for place, row in enumerate(scored)]
    result = of(other, retrained, rows)
    assert "val_loss" not in of(scored, retrained, rows).predictors
    assert result.predictors["val_loss"].delta_spearman is not None
    assert result.predictors["smash_score"].delta_spearman is None
    assert "val_loss" not in result.baselines()


def test_a_rival_without_every_value_is_left_out_unless_only_the_shortlist_lacks_it():
    scored, retrained, rows = tables()
    top = {row.fingerprint for row in retrained if row.arm == "shortlist"}
    some = {row.fingerprint for row in retrained if row.arm == "stratified"}
    two = sorted(some)[:2]
    fewer = [
        row for row in rows if (row.baseline, row.fingerprint) != ("naswot", two[0]) and row.fingerprint not in top
    ]
    fewer = [
        replace(row, value=math.nan) if (row.baseline, row.fingerprint) == ("naswot", two[1]) else row for row in fewer
    ]
    result = of(scored, retrained, fewer)
    assert result.left_out == {"naswot": 2}
    assert "naswot" not in result.predictors
    whole = of(scored, retrained, rows).predictors["weight_sharing"]
    assert result.predictors["weight_sharing"] == whole


def test_an_infinite_value_is_the_worst():
    scored, retrained, rows = tables()
    worst = max(row.value for row in rows)
    finite, infinite = (
        [replace(row, value=value) if row.value > 0.8 else row for row in rows] for value in (worst, math.inf)
    )
    assert of(scored, retrained, infinite) == of(scored, retrained, finite)


def test_only_the_order_of_a_rival_counts():
    scored, retrained, rows = tables()
    stretched = [replace(row, value=math.exp(3 * row.value)) for row in rows]
    assert of(scored, retrained, stretched).predictors == of(scored, retrained, rows).predictors


def test_few_pairs_of_equal_size_show_nothing():
    scored, retrained, rows = tables()
    spread = [replace(row, params=int(1000 * 1.2**place)) for place, row in enumerate(scored)]
    result = of(spread, retrained, rows)
    assert result.pairs == 0
    assert all(figures.concordance is None for figures in result.predictors.values())
    assert result.strongest_size_matched() is None
    wide = of(spread, retrained, rows, band=0.21)
    assert wide.pairs == 39  # each of 40 with the next one
    assert wide.predictors["naswot"].concordance is not None


def test_the_strongest_rival_is_no_form_of_the_score():
    scored, retrained, _ = tables(skill=0.9)
    rows = baselines(retrained, ("weak",), skill=0.1) + baselines(retrained, ("strong",), skill=0.6)
    result = of(scored, retrained, rows)
    assert next(iter(result.predictors)) in ("smash_score", "val_error")
    assert result.baselines()[0] == result.strongest_size_matched() == "strong"
    assert set(result.baselines()) == {"strong", "weak", "params", "macs", "ops"}


def test_distance_to_the_goal_is_paired_and_on_architectures_with_every_seed():
    scored, retrained = study()
    sample = join(scored, [*retrained[:-1], replace(retrained[0], true_loss=math.nan, failure="no memory")])
    rows = np.isfinite(sample.truths["true_loss"]).all(1) & sample.representative
    assert rows.sum() < sample.representative.sum()
    above = contest(sample, 200, 0).above_goal
    rho = stats.spearmanr(sample.columns["smash_score"][rows], sample.truth("true_loss")[rows]).statistic
    ceiling = reliability(sample.truths["true_loss"][rows], 200, 0).ceiling
    assert above.value == pytest.approx(rho - 0.9 * ceiling.value)
    assert contest(join(*study(seeds=1)), 200, 0).above_goal is None


def test_costs_that_are_not_known_do_not_break_the_file():
    scored, retrained, rows = tables()
    unknown = [replace(row, seconds=math.nan, training_seconds=math.nan) for row in rows]
    result = correlate(scored, retrained, unknown, bootstrap=100)
    plain = json.loads(result.to_json())["contest"]["predictors"]["naswot"]
    assert (plain["seconds"], plain["training_seconds"]) == (None, None)


@pytest.mark.parametrize("representative", [0, 3])
def test_few_architectures_give_nothing_but_costs(representative):
    scored, retrained, rows = tables(representative=representative)
    result = of(scored, retrained, rows)
    assert (result.architectures, result.above_goal, result.baselines()) == (representative, None, [])
    figures = asdict(result.predictors["naswot"])
    assert {figures[field] for field in FIGURES} == {None}


def test_figures_are_the_estimates_of_a_contestant():
    assert {*FIGURES, "seconds", "training_seconds"} == set(PredictorMetrics.__slots__)
