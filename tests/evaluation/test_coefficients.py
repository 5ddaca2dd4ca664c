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
SCIPY = {
    "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    "kendall": lambda x, y: stats.kendalltau(x, y).statistic,
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
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_every_resample_gives_what_scipy_gives_for_the_drawn_rows(name, ties):
    x, y = columns(1, ties=ties)
    index, weights = resamples(len(x), 50, key=2)
    expected = [SCIPY[name](x[row], y[row]) for row in index]
    assert COEFFICIENTS[name](x, y, weights) == pytest.approx(expected, abs=1e-12)


def test_ranks_within_a_resample_are_mid_ranks():
    x, _ = columns(3, ties=True)
    index, weights = resamples(len(x), 20, key=4)
    ranks = c.ranks(x, weights)
    for row, drawn in enumerate(index):
        assert ranks[row, drawn].tolist() == stats.rankdata(x[drawn]).tolist()


def test_partial_given_three_columns_is_the_correlation_of_residuals_in_every_resample():
    x, y = columns(7, ties=True)
    given_columns = list(np.random.default_rng(8).normal(size=(3, len(x))) + 0.7 * x)
    index, weights = resamples(len(x), 20, key=9)
    for row, drawn in enumerate(index):
        design = np.column_stack([np.ones(len(x)), *(stats.rankdata(z[drawn]) for z in given_columns)])
        ranks = [stats.rankdata(column[drawn]) for column in (x, y)]
        residuals = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks]
        expected = np.corrcoef(*residuals)[0, 1]
        assert c.partial_spearman(x, y, given_columns, weights)[row] == pytest.approx(expected, abs=1e-8)


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


def test_mean_pairwise_is_the_mean_over_pairs():
    table = np.random.default_rng(15).normal(size=(20, 3)) + np.arange(20)[:, None] / 5
    matrix = stats.spearmanr(table).statistic
    expected = (matrix[0, 1] + matrix[0, 2] + matrix[1, 2]) / 3
    assert c.mean_pairwise_spearman(list(table.T), np.ones((1, 20))) == pytest.approx(expected)
    assert np.isnan(c.mean_pairwise_spearman([table[:, 0]], np.ones((1, 20))))


def test_concordance_is_that_of_a_loop_over_the_pairs_of_every_resample():
    x, y = columns(16, ties=True)
    near = np.abs(np.subtract.outer(x, x)) + np.random.default_rng(17).random((len(x), len(x))) < 2
    pairs_mask = near & near.T & ~np.eye(len(x), dtype=bool)
    index, weights = resamples(len(x), 20, key=18)
    for row, drawn in enumerate(index):
        pairs = [(i, j) for place, i in enumerate(drawn) for j in drawn[:place] if pairs_mask[i, j]]
        orders = np.array([(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in pairs])
        agreement = orders.prod(1).sum() / np.sqrt(np.abs(orders).sum(0).prod())
        assert c.kendall(x, y, weights, pairs_mask)[row] == pytest.approx(agreement)
    assert np.isnan(c.kendall(x, y, ones(x), np.zeros((len(x), len(x)), dtype=bool)))


def ones(column):
    return np.ones((1, len(column)))


# --- the best fifth ---


def two_columns(key, n, coarse=False):
    rng = np.random.default_rng(key)
    target = rng.normal(size=n)
    predictor = 0.5 * target + rng.normal(size=n)
    return (np.round(predictor) if coarse else predictor), target


def draws(n, count, key):
    return np.random.default_rng(key).multinomial(n, np.full(n, 1 / n), size=count).astype(float)


def lowest(column, weights):
    """Rows of the lowest fifth, among five copies of every row of a resample, earlier rows first where they tie."""
    rows = np.repeat(np.arange(len(column)), COPIES * weights.astype(int))
    return rows, set(np.argsort(column[rows], kind="stable")[: len(rows) // 5].tolist())


@pytest.mark.parametrize("n", [20, 23])
def test_every_number_is_that_of_a_loop_over_drawn_rows(n):
    predictor, target = two_columns(1, n)
    weights = draws(n, 30, key=2)
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
    _, target = two_columns(6, 20)
    weights = np.ones((1, 20))
    assert np.isnan(c.top_membership(np.full(20, constant), weights)).all()
    assert np.isnan(c.top_gain(np.full(20, constant), target, weights))
