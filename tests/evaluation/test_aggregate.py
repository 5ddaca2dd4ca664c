"""Jobs of a sweep, averaged over seeds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from smash_lightning.evaluation.aggregate import Outcome, average, grouped, numeric, ordered, read_outcomes
from smash_lightning.evaluation.bootstrap import Estimate
from smash_lightning.evaluation.sweep import SweepJob, read_jobs
from tests.evaluation.sweep_folders import begin, job_folder


def outcome(value: float, **options: Any) -> Outcome:
    estimate = Estimate(value, value - 0.1, value + 0.1, 200)
    return Outcome(SweepJob(Path("0"), {}, options), 24, {"smash_score": estimate}, None)


def test_the_interval_of_a_mean_is_students() -> None:
    sample = [0.1, 0.5, 0.4, 0.65]
    mean = average(sample)
    expected = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((expected.low, expected.high))
    assert (mean.value, mean.deviation, mean.count) == pytest.approx((np.mean(sample), np.std(sample, ddof=1), 4))


@pytest.mark.parametrize("count", [1, 2])
def test_few_jobs_have_no_interval(count: int) -> None:
    mean = average([0.2, 0.4][:count])
    assert math.isnan(mean.low)
    assert math.isnan(mean.high)
    assert math.isnan(mean.deviation) == (count == 1)


def test_groups_rise_with_numbers_and_keep_the_order_of_names() -> None:
    jobs = [outcome(0.1, width=width, kind=kind) for kind in ("shared", "plain") for width in (128, 32, 64)]
    groups = grouped(jobs, ["kind", "width"])
    assert [group.values for group in groups] == [(k, w) for k in ("shared", "plain") for w in (32, 64, 128)]
    assert [group.values for group in grouped(jobs, [])] == [()]
    assert ordered([2, "x", 1]) == [2, "x", 1]
    assert numeric([1, 2.5])
    assert not numeric([1, "x"])


def test_a_difference_is_that_of_jobs_of_one_seed() -> None:
    base = [outcome(value, width=1, seed=seed) for seed, value in enumerate((0.1, 0.5, 0.3))]
    other = [outcome(value, width=2, seed=seed) for seed, value in ((2, 0.4), (0, 0.3), (7, 0.9))]
    alone = [outcome(0.5, width=3, seed=9)]
    first, second, third = grouped(base + other + alone, ["width"])
    assert first.minus_first is None
    assert third.minus_first is None, "no seed in common"
    assert second.minus_first is not None
    assert second.minus_first.count == 2
    assert second.minus_first.value == pytest.approx(((0.4 - 0.3) + (0.3 - 0.1)) / 2)
    assert second.score.value == pytest.approx((0.4 + 0.3 + 0.9) / 3)


def test_an_option_that_a_job_was_not_given_is_a_value_of_its_own() -> None:
    jobs = [outcome(0.1), outcome(0.2, width=3)]
    assert [group.values for group in grouped(jobs, ["width"])] == [("as it is",), (3,)]


def test_figures_are_those_of_the_jobs_and_the_others_are_named(tmp_path: Path) -> None:
    job_folder(tmp_path / "0", {"seed": 0})
    begin(tmp_path / "1", {"seed": 1})
    (tmp_path / "2").mkdir()
    begin(tmp_path / "3", {"seed": 3})
    text = (tmp_path / "0" / "correlation.json").read_text()
    (tmp_path / "3" / "correlation.json").write_text(text[: len(text) // 2])
    begin(tmp_path / "4", {"seed": 4})
    plain = json.loads(text)
    plain["contest"]["predictors"]["smash_score"]["spearman"], plain["architectures"] = None, 4
    (tmp_path / "4" / "correlation.json").write_text(json.dumps(plain))
    (found,), left_out = read_outcomes(read_jobs(tmp_path))
    loss = json.loads(text)["loss"]
    assert found.score.value == loss["scores"]["smash_score"]["spearman"]["value"]
    assert found.ceiling is not None
    assert found.ceiling.high == loss["reliability"]["ceiling"]["high"]
    for size in ("params", "macs"):
        estimate = found.spearman[size]
        assert estimate is not None
        assert estimate.low == loss["sizes"][size]["coefficients"]["spearman"]["low"]
    assert "synflow" in found.spearman
    assert left_out == {
        "1": "it has no correlation.json yet",
        "2": "it did not begin",
        "3": "its correlation.json is cut off or of another kind",
        "4": "the coefficient of 4 architectures is undefined; 5 are the least",
    }
