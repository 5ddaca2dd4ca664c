import numpy as np
import pytest
from scipy import stats

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import spearman


def test_interval_is_that_of_a_loop_which_draws_rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)
    draws = []
    for _ in range(2_000):
        rows = rng.integers(30, size=30)
        draws.append(stats.spearmanr(x[rows], y[rows]).statistic)
    estimate = Bootstrap(30, 10_000, seed=2).estimate(lambda w: spearman(x, y, w))
    assert estimate.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.03)
    assert estimate.resamples == 10_000


def test_spearman_intervals_cover_the_true_value():
    """Bivariate normal, r = 0.5: Spearman's rho is 6 / pi asin(r / 2); 95 % intervals should hold it about 95 %."""
    true_value = 6 / np.pi * np.arcsin(0.25)
    rng = np.random.default_rng(3)
    studies, covered = 400, 0
    for study in range(studies):
        x = rng.normal(size=40)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=40)
        estimate = Bootstrap(40, 400, seed=study).estimate(lambda w, x=x, y=y: spearman(x, y, w))
        covered += estimate.low <= true_value <= estimate.high
    assert 0.91 <= covered / studies <= 0.98


def test_chunks_change_nothing():
    x, y = np.random.default_rng(7).normal(size=(2, 10))
    bootstrap = Bootstrap(10, 2_345, seed=0)
    assert np.allclose(bootstrap.draws(lambda w: spearman(x, y, w)), spearman(x, y, bootstrap.weights), equal_nan=True)


def test_counts_the_resamples_in_which_a_figure_was_defined():
    x, y = np.arange(6.0), np.array([1.0, 1, 1, 1, 1, 2])
    estimate = Bootstrap(6, 4_000, seed=0).estimate(lambda w: spearman(x, y, w))
    missing = (5 / 6) ** 6 + (1 / 6) ** 6  # no draw of the one that differs, or nothing else
    assert estimate.resamples / 4_000 == pytest.approx(1 - missing, abs=0.03)


@pytest.mark.parametrize("size", [0, 1, 4])
def test_fewer_than_five_give_nothing(size):
    x = np.arange(size, dtype=float)
    assert Bootstrap(size, 100, seed=0).estimate(lambda w: spearman(x, x, w)) is None
