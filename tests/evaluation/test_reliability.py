import numpy as np
import pytest
from scipy import stats

from smash_lightning.evaluation.reliability import icc_mean, icc_single, reliability


def anova(table):
    """ICC(C,k) and ICC(C,1) from the mean squares of a two-way table without replication, by loops."""
    n, k = table.shape
    grand = table.mean()
    rows = sum(k * (table[i].mean() - grand) ** 2 for i in range(n)) / (n - 1)
    residual = sum(
        (table[i, j] - table[i].mean() - table[:, j].mean() + grand) ** 2 for i in range(n) for j in range(k)
    ) / ((n - 1) * (k - 1))
    return (rows - residual) / rows, (rows - residual) / (rows + (k - 1) * residual)


def trainings(key, n=36, seeds=3, noise=1.0):
    rng = np.random.default_rng(key)
    return rng.normal(size=(n, 1)) + noise * rng.normal(size=(n, seeds)) + np.arange(seeds)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_icc_is_that_of_the_anova_table_in_every_resample(seeds):
    table = trainings(1, n=15, seeds=seeds)
    index = np.random.default_rng(2).integers(15, size=(10, 15))
    weights = np.array([np.bincount(row, minlength=15) for row in index], dtype=float)
    mean = icc_mean(list(table.T), weights)
    expected = np.array([anova(table[row]) for row in index])
    assert mean == pytest.approx(expected[:, 0], abs=1e-12)
    assert icc_single(mean, seeds) == pytest.approx(expected[:, 1], abs=1e-12)


def test_figures_of_a_table():
    table = trainings(3)
    result = reliability(table, 500, seed=0)
    ranked = stats.rankdata(table, axis=0)
    assert (result.architectures, result.seeds) == (36, 3)
    assert (result.icc_mean.value, result.icc_single.value) == pytest.approx(anova(ranked))
    assert (result.icc_mean_raw.value, result.icc_single_raw.value) == pytest.approx(anova(table))
    assert result.ceiling.value == pytest.approx(np.sqrt(result.icc_mean.value))
    assert result.ceiling.low == pytest.approx(np.sqrt(max(result.icc_mean.low, 0)), abs=1e-3)
    assert result.seed_agreement.value == pytest.approx(result.icc_single.value)  # equal where no ranks are tied


def test_a_predictor_without_noise_of_its_own_reaches_the_ceiling():
    rng = np.random.default_rng(5)
    quality = rng.normal(size=1_500)
    table = quality[:, None] + rng.normal(size=(1_500, 3))
    ceiling = reliability(table, 100, seed=0).ceiling.value
    assert stats.spearmanr(quality, table.mean(1)).statistic == pytest.approx(ceiling, abs=0.03)


def test_rows_with_a_failed_seed_are_left_out():
    table = trainings(6)
    with_gap = np.vstack([table, [[1.0, np.nan, 2.0]]])
    assert reliability(with_gap, 200, seed=0) == reliability(table, 200, seed=0)


def test_seeds_that_disagree_have_a_ceiling_of_zero_and_one_seed_has_none():
    up = np.arange(10.0)
    result = reliability(np.column_stack([up, -up + 0.1 * up**2, np.roll(up, 5)]), 200, seed=0)
    assert result.icc_mean.value < 0
    assert result.ceiling.value == 0
    alone = reliability(trainings(7, seeds=1), 200, seed=0)
    assert {alone.icc_mean, alone.icc_single, alone.icc_mean_raw, alone.seed_agreement, alone.ceiling} == {None}
