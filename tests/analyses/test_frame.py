"""What analyses share: means, pictures, jobs, and the run that they start from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smash_lightning.analyses import frame
from smash_lightning.engine import Local
from smash_lightning.evaluation.bootstrap import Estimate
from smash_lightning.hypernet import SharedWeights, UnconditionalHyperNet, WeightSource
from tests.analyses.small_analysis import copied, experiment_on, finished_run
from tests.stages.small_run import SEARCH

CLEAR, UNCLEAR = Estimate(0.5, 0.25, 0.75, 200), Estimate(0.01, -0.02, 0.04, 200)


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


def test_a_ranking_of_few_random_architectures_is_refused(source: Path, tmp_path: Path) -> None:
    earlier = copied(source, tmp_path / "earlier", "architectures.jsonl", "ranking.csv")
    lines = (source / "ranking.csv").read_text().splitlines(keepends=True)
    others, random = ([line for line in lines[1:] if (",random," in line) == chosen] for chosen in (False, True))
    (earlier / "ranking.csv").write_text("".join([lines[0], *others, *random[:4]]))
    message = r"holds 4 random architectures with a score, fewer than 5, .*ranking.strategies.random.count"
    with pytest.raises(ValueError, match=message):
        frame.random_candidates(experiment_on(earlier, tmp_path / "new"), 6)


@pytest.mark.parametrize("kind", [SharedWeights, UnconditionalHyperNet])
def test_hypernets_without_c_are_refused(tmp_path: Path, kind: type[WeightSource]) -> None:
    changes = {"hypernet": experiment_on(None, tmp_path).hypernet.with_kind(kind), "search": SEARCH}
    run = finished_run(tmp_path / "run", trained=False, **changes)
    message = rf"^task=x needs HyperNets whose input is c, .* {run} \({kind.__name__}\): .*hypernet=conditional"
    with pytest.raises(ValueError, match=message):
        frame.conditional_scorer(experiment_on(run, tmp_path / "new", **changes), "x")


def double(number: int) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return 2 * number


def test_results_are_in_the_order_of_the_jobs() -> None:
    assert frame.run_jobs(double, range(8), Local(1), "doubling", str) == [2 * number for number in range(8)]
    with pytest.raises(RuntimeError, match="doubling 13"):
        frame.run_jobs(double, [13], Local(1), "doubling", str)
