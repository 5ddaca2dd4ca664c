import numpy as np
import pytest

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import spearman


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


def test_chunks_change_nothing_and_every_resample_is_as_large_as_the_sample():
    x, y = np.random.default_rng(7).normal(size=(2, 10))
    bootstrap = Bootstrap(10, 2_345, seed=0)
    assert bootstrap.weights.sum(1).tolist() == [10] * 2_345
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
