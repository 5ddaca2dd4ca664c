"""What analyses share: means, pictures, jobs, and the run that they start from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smash_lightning.analyses import frame
from smash_lightning.engine import Local
from smash_lightning.evaluation.bootstrap import Estimate
from tests.analyses.small_analysis import experiment_on

CLEAR = Estimate(0.5, 0.25, 0.75, 200)


def test_a_mean_counts_an_architecture_as_often_as_it_was_drawn() -> None:
    column, weights = np.array([1.0, 2.0, 6.0]), np.array([[1.0, 1, 1], [0, 3, 0], [2, 0, 1]])
    assert frame.mean(column, weights) == pytest.approx([3, 2, (1 + 1 + 6) / 3])


@pytest.mark.parametrize("y", [None, "y"])
def test_undefined_estimates_can_be_drawn(y: str | None) -> None:
    assert frame.Picture("title", "note", "x", y).draw({"panel": {1: CLEAR, 2: None}, "empty": {}})


def test_candidates_are_random_ones_in_an_order_of_their_own(source: Path, tmp_path: Path) -> None:
    experiment = experiment_on(source, tmp_path)
    every = frame.random_candidates(experiment, 99)
    assert len(set(every)) == 9
    assert frame.random_candidates(experiment, 5) == every[:5]
    preferred = {every[7].fingerprint}
    assert frame.random_candidates(experiment, 5, preferred) == [every[7], *every[:4]]
    assert frame.random_candidates(replace(experiment, seed=1), 99) != every


def double(number: int) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return 2 * number


def test_results_are_in_the_order_of_the_jobs() -> None:
    assert frame.run_jobs(double, range(8), Local(1), "doubling", str) == [2 * number for number in range(8)]
    with pytest.raises(RuntimeError, match="doubling 13"):
        frame.run_jobs(double, [13], Local(1), "doubling", str)
