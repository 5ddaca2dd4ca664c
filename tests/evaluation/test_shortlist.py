import numpy as np
import pytest
from scipy import stats

from smash_lightning.evaluation.agreement import shortlist


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


def test_swapping_the_groups_turns_the_sign():
    forth, back = shortlist(*groups()), shortlist(*reversed(groups()))
    assert (back.difference, back.low, back.high) == pytest.approx((-forth.difference, -forth.high, -forth.low))


def test_intervals_cover_the_gain():
    covered = sum((r := shortlist(*groups(key))).low <= -0.02 <= r.high for key in range(500))
    assert 0.92 <= covered / 500 <= 0.98


@pytest.mark.parametrize("top", [[], [0.1], [0.2, 0.2]])
def test_undefined_groups_give_none(top):
    assert shortlist(np.array(top), np.array([0.2, 0.2, 0.2])) is None
    assert shortlist(np.array([0.2, 0.2]), np.array(top)) is None
