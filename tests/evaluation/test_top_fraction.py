from itertools import permutations

import numpy as np
import pytest

from smash_lightning.evaluation.coefficients import precision, regret, top_gain, top_membership

COPIES = 5  # of every architecture, so that a fifth is a whole number of rows


def columns(key, n, coarse=False):
    rng = np.random.default_rng(key)
    target = rng.normal(size=n)
    predictor = 0.5 * target + rng.normal(size=n)
    return (np.round(predictor) if coarse else predictor), target


def resamples(n, count, key):
    return np.random.default_rng(key).multinomial(n, np.full(n, 1 / n), size=count).astype(float)


def lowest(column, weights):
    """Rows of the lowest fifth, among five copies of every row of a resample, earlier rows first where they tie."""
    rows = np.repeat(np.arange(len(column)), COPIES * weights.astype(int))
    return rows, set(np.argsort(column[rows], kind="stable")[: len(rows) // 5].tolist())


@pytest.mark.parametrize("n", [20, 23])
def test_every_number_is_that_of_a_loop_over_drawn_rows(n):
    predictor, target = columns(1, n)
    weights = resamples(n, 30, key=2)
    selected, best = top_membership(predictor, weights), top_membership(target, weights)
    for row, drawn in enumerate(weights):
        rows, taken = lowest(predictor, drawn)
        truly = lowest(target, drawn)[1]
        of_taken, of_best = (target[rows[list(chosen)]].mean() for chosen in (taken, truly))
        assert regret(selected, best, target, weights)[row] == pytest.approx(of_taken - of_best)
        assert top_gain(predictor, target, weights)[row] == pytest.approx(of_taken - target[rows].mean())
        assert precision(selected, best, weights)[row] == pytest.approx(len(taken & truly) / len(taken))


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
    selected, best = top_membership(predictor, weights), top_membership(target, weights)
    assert regret(selected, best, target, weights)[0] == pytest.approx(np.mean(regrets))
    assert precision(selected, best, weights)[0] == pytest.approx(np.mean(precisions))
    assert np.ptp(regrets) > 0
    assert np.ptp(precisions) > 0


def test_in_a_resample_all_copies_that_tie_have_the_same_share():
    weights = np.array([[1.0, 2, 1, 3, 3, 0]])  # the lowest fits into two of ten, then one of six
    assert top_membership(np.array([1.0, 2, 2, 2, 3, 3]), weights)[0] == pytest.approx([1, 2 / 6, 1 / 6, 3 / 6, 0, 0])


def test_regret_is_zero_for_a_perfect_predictor_and_largest_for_a_reversed_one():
    predictor, target = columns(3, 24)
    weights = resamples(24, 50, key=4)
    best = top_membership(target, weights)
    regrets = {
        name: regret(top_membership(column, weights), best, target, weights)
        for name, column in {"perfect": np.exp(target), "some": predictor, "worst": -target}.items()
    }
    assert regrets["perfect"] == pytest.approx(0, abs=1e-12)
    assert precision(best, best, weights) == pytest.approx(1)
    assert (regrets["some"] >= -1e-12).all()
    assert (regrets["worst"] >= regrets["some"] - 1e-12).all()
    assert precision(top_membership(-target, weights), best, weights) == pytest.approx(0)


def test_a_predictor_without_information_has_a_precision_of_a_fifth():
    rng = np.random.default_rng(5)
    target, weights = rng.normal(size=30), np.ones((1, 30))
    best = top_membership(target, weights)
    found = [precision(top_membership(rng.normal(size=30), weights), best, weights)[0] for _ in range(2_000)]
    assert np.mean(found) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("constant", [8.0, np.inf])
def test_a_constant_predictor_selects_nothing(constant):
    _, target = columns(6, 20)
    weights = np.ones((1, 20))
    assert np.isnan(top_membership(np.full(20, constant), weights)).all()
    assert np.isnan(top_gain(np.full(20, constant), target, weights))


def test_infinite_values_are_selected_last():
    predictor, target = columns(7, 20)
    worst = np.where(predictor > np.median(predictor), np.inf, predictor)
    weights = np.ones((1, 20))
    assert top_gain(worst, target, weights) == pytest.approx(top_gain(predictor, target, weights))
