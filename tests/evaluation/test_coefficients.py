import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smash_lightning.evaluation import coefficients as c

COPIES = 5  # of every architecture, so that a fifth is a whole number of rows
COEFFICIENTS = {"pearson": c.pearson, "spearman": c.spearman, "kendall": c.kendall}


def residual_correlation(x, y, given):
    design = np.column_stack([np.ones(len(x)), *map(stats.rankdata, given)])
    ranks = [stats.rankdata(column) for column in (x, y)]
    return np.corrcoef([r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks])[0, 1]


# By name: the statistic over weights, and the obvious one of drawn rows, of x, y and three more columns.
STATISTICS = {
    "pearson": (lambda x, y, z, w: c.pearson(x, y, w), lambda x, y, z: stats.pearsonr(x, y).statistic),
    "spearman": (lambda x, y, z, w: c.spearman(x, y, w), lambda x, y, z: stats.spearmanr(x, y).statistic),
    "kendall": (lambda x, y, z, w: c.kendall(x, y, w), lambda x, y, z: stats.kendalltau(x, y).statistic),
    "partial": (lambda x, y, z, w: c.partial_spearman(x, y, z, w), residual_correlation),
    "mean pairwise": (
        lambda x, y, z, w: c.mean_pairwise_spearman(z, w),
        lambda x, y, z: stats.spearmanr(np.transpose(z)).statistic[[0, 0, 1], [1, 2, 2]].mean(),
    ),
}


def columns(key, n=24, ties=False):
    rng = np.random.default_rng(key)
    x = rng.normal(size=n)
    y = 0.6 * x + rng.normal(size=n)
    return (np.round(x), np.round(2 * y)) if ties else (x, y)


def resamples(n, count, key):
    """Index matrix (how a loop draws) and the same draws as weights (how we do)."""
    index = np.random.default_rng(key).integers(n, size=(count, n))
    return index, np.array([np.bincount(row, minlength=n) for row in index], dtype=float)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("ours", "slow"), STATISTICS.values(), ids=STATISTICS)
def test_every_resample_gives_what_the_drawn_rows_give(ours, slow, ties):
    x, y = columns(1, ties=ties)
    z = list(np.random.default_rng(8).normal(size=(3, len(x))) + 0.7 * x)
    index, weights = resamples(len(x), 50, key=2)
    expected = [slow(x[row], y[row], [column[row] for column in z]) for row in index]
    assert ours(x, y, z, weights) == pytest.approx(expected, abs=1e-8 if slow is residual_correlation else 1e-12)


def test_ranks_within_a_resample_are_mid_ranks():
    x, _ = columns(3, ties=True)
    index, weights = resamples(len(x), 20, key=4)
    for ranks, drawn in zip(c.ranks(x, weights), index, strict=True):
        assert ranks[drawn].tolist() == stats.rankdata(x[drawn]).tolist()


def test_constant_and_repeated_covariates_take_nothing_away():
    x, y = columns(10)
    z = np.random.default_rng(11).normal(size=len(x)) + x
    alone = c.partial_spearman(x, y, [z], ones(x))
    assert c.partial_spearman(x, y, [z, np.full(len(x), 8.0), np.exp(z)], ones(x)) == pytest.approx(alone, abs=1e-9)
    assert c.partial_spearman(x, y, [np.zeros(len(x))], ones(x)) == pytest.approx(c.spearman(x, y, ones(x)))


def test_what_a_covariate_explains_altogether_is_undefined():
    x, y = columns(12)
    z = np.random.default_rng(13).normal(size=len(x))
    _, weights = resamples(len(x), 200, key=14)
    assert np.isnan(c.partial_spearman(x, y, [np.exp(x)], weights)).all()
    assert np.isnan(c.partial_spearman(x, y, [z, -y, z**3], weights)).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.7, 9706.0, 1e-9])
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_a_constant_column_is_undefined_and_silent(name, constant):
    x, _ = columns(13, n=37)
    _, weights = resamples(len(x), 50, key=14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(COEFFICIENTS[name](x, np.full(len(x), constant), weights)).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=5, max_size=30), st.randoms())
def test_laws_of_rank_coefficients(pairs, random):
    x, y = np.array(pairs, dtype=float).T
    shuffled = np.array(random.sample(pairs, len(pairs)), dtype=float).T
    for coefficient in (c.spearman, c.kendall):
        value = coefficient(x, y, ones(x))
        assert np.allclose(coefficient(np.exp(x / 3), y**3, ones(x)), value, equal_nan=True)
        assert np.allclose(coefficient(-x, y, ones(x)), -value, equal_nan=True)
        assert np.allclose(coefficient(*shuffled, ones(x)), value, equal_nan=True)
        assert np.allclose(coefficient(y, x, ones(x)), value, equal_nan=True)


def ones(column):
    return np.ones((1, len(column)))


def test_no_pairs_have_no_coefficient():
    x, y = columns(16)
    assert np.isnan(c.kendall(x, y, ones(x), np.zeros((len(x), len(x)), dtype=bool)))
    assert np.isnan(c.mean_pairwise_spearman([x], ones(x)))


# --- the best fifth ---


def lowest(column, weights):
    """Rows of the lowest fifth, among five copies of every row of a resample, earlier rows first where they tie."""
    rows = np.repeat(np.arange(len(column)), COPIES * weights.astype(int))
    return rows, set(np.argsort(column[rows], kind="stable")[: len(rows) // 5].tolist())


@pytest.mark.parametrize("n", [20, 23])
def test_every_number_is_that_of_a_loop_over_drawn_rows(n):
    predictor, target = columns(1, n)
    weights = resamples(n, 30, key=2)[1]
    selected, best = c.top_membership(predictor, weights), c.top_membership(target, weights)
    for row, drawn in enumerate(weights):
        rows, taken = lowest(predictor, drawn)
        truly = lowest(target, drawn)[1]
        of_taken, of_best = (target[rows[list(chosen)]].mean() for chosen in (taken, truly))
        assert c.regret(selected, best, target, weights)[row] == pytest.approx(of_taken - of_best)
        assert c.top_gain(predictor, target, weights)[row] == pytest.approx(of_taken - target[rows].mean())
        assert c.precision(selected, best, weights)[row] == pytest.approx(len(taken & truly) / len(taken))


def test_ties_count_as_the_mean_over_every_order_of_the_table():
    predictor, target = np.array([1.0, 2, 2, 2, 3, 3]), np.array([0.3, 0.1, 0.9, 0.2, 0.5, 0.4])
    weights = np.ones((1, 6))
    shuffled = [np.array(order) for order in permutations(range(6))]
    regrets, precisions = [], []
    for order in shuffled:
        rows, taken = lowest(predictor[order], weights[0])
        truly = lowest(target[order], weights[0])[1]
        values = target[order][rows]
        regrets.append(values[list(taken)].mean() - values[list(truly)].mean())
        precisions.append(len(taken & truly) / len(taken))
    selected, best = c.top_membership(predictor, weights), c.top_membership(target, weights)
    assert c.regret(selected, best, target, weights)[0] == pytest.approx(np.mean(regrets))
    assert c.precision(selected, best, weights)[0] == pytest.approx(np.mean(precisions))
    assert np.ptp(regrets) > 0
    assert np.ptp(precisions) > 0


@pytest.mark.parametrize("constant", [8.0, np.inf])
def test_a_constant_predictor_selects_nothing(constant):
    _, target = columns(6, 20)
    assert np.isnan(c.top_membership(np.full(20, constant), ones(target))).all()
    assert np.isnan(c.top_gain(np.full(20, constant), target, ones(target)))
