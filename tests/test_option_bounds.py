"""Values out of bounds are refused with the name of the option, from Python as from the command line."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from smash_lightning.data import VoxelMoves
from smash_lightning.engine import Local
from smash_lightning.scoring import RecalibratedStatistics, WarmStart
from smash_lightning.search_space import ParallelConvolutions, SingleConvolution, SizeBalanced, SizeMatched
from smash_lightning.strategies import (
    ArchitecturalGradient,
    AutoregressiveSampler,
    Evolution,
    LearnedPredictor,
    Perturb,
    Racing,
    Random,
    RankingOptions,
)
from smash_lightning.training import RetrainOptions, SearchOptions
from tests.cases import V1

RANKING = RankingOptions({"random": Random(1)}, RecalibratedStatistics(), 0, 1)
RACING = Racing(first=50, growth=2.0, keep=0.05, min_keep=1, risk=0.05)
SEARCH = SearchOptions(1, 1, 0.1, (0.9, 0.99), 1e-8, 0.0, 1, 1)
RETRAIN = RetrainOptions(1, 0.1, 0.9, 0.0, 1, 1, 1, 1, None, "random", False, 1.0)
OUTSIDE: dict[str, Callable[[], object]] = {
    "search.hypernets must be greater than 0, got 0": lambda: replace(SEARCH, hypernets=0),
    "search.hypernets must be less than 999, got 999": lambda: replace(SEARCH, hypernets=999),
    "retrain.seeds must be less than 999, got 1000000000": lambda: replace(RETRAIN, seeds=10**9),
    "search_space.max_ops must be less than or equal to 1000, got 1000000": lambda: replace(V1, max_ops=10**6),
    "engine.workers must be less than or equal to 10000, got 1000000": lambda: Local(workers=10**6),
    "search.epochs must be a valid integer, got '3'": lambda: replace(SEARCH, epochs="3"),
    "search.sampling must be 'space', 'candidates' or 'balanced', got 'all'": lambda: replace(SEARCH, sampling="all"),
    "retrain.rank must be greater than or equal to 0, got -1": lambda: replace(RETRAIN, rank=-1),
    "ranking.latency_batch must be greater than 0, got 0": lambda: replace(RANKING, latency_batch=0),
    "ranking: the first strategy must be random": lambda: replace(RANKING, strategies={"perturb": Perturb(1, 0.1)}),
    "ranking.batch_norm.images must be greater than or equal to 2, got 1": lambda: RecalibratedStatistics(1),
    "ranking.batch_norm.steps must be greater than 0, got 0": lambda: WarmStart(0),
    "ranking.racing.growth must be greater than 1, got 1.0": lambda: replace(RACING, growth=1.0),
    "ranking.racing.growth must be a finite number, got inf": lambda: replace(RACING, growth=float("inf")),
    "ranking.strategies.random.count must be greater than or equal to 0, got -1": lambda: Random(-1),
    "ranking.strategies.perturb.probability must be less than or equal to 1, got 1.5": lambda: Perturb(1, 1.5),
    "ranking.strategies.evolution.population must be greater than 0, got 0": lambda: Evolution(1, 0, 1, 0.1),
    "ranking.strategies.predictor.members must be greater than or equal to 2, got 1": lambda: LearnedPredictor(
        1, 4, 1, 0.1, 1
    ),
    "ranking.strategies.gradient.pool must be greater than 0, got 0": lambda: ArchitecturalGradient(1, 0, 0.2),
    "ranking.strategies.autoregressive.elite must be greater than 0, got 0.0": lambda: AutoregressiveSampler(1, 1, 0.0),
    "SizeMatched.tolerance must be less than 1, got 1.5": lambda: SizeMatched(V1, 1.5),
    "SizeBalanced.pool must be greater than or equal to 2, got 1": lambda: SizeBalanced(V1, pool=1),
    "search_space.base must be greater than 0, got 0": lambda: replace(V1, base=0),
    "search_space.units must be 'near_read' or 'uniform', got 'any'": lambda: replace(V1, units="any"),
    "search_space.min_ops=5 is more than max_ops=3": lambda: replace(V1, min_ops=5, max_ops=3),
    "search_space.budget_share must rise, got [0.5, 0.3]": lambda: replace(V1, budget_share=(0.5, 0.3)),
    "search_space.body.kernel must be odd, got 4": lambda: SingleConvolution(kernel=4),
    "search_space.body.kernels must be odd, got [3, 4]": lambda: ParallelConvolutions(kernels=(3, 4)),
    "search_space.body.kernels must have at least 1 item": lambda: ParallelConvolutions(kernels=()),
    "search_space.body: kernel 7 spans more than max_span=5": lambda: ParallelConvolutions(max_span=5),
    "search_space.body.groups must be greater than 0, got (0, 1)": lambda: ParallelConvolutions(groups=(0, 1)),
    "dataset.augmentation.rotations must be greater than 0, got 0": lambda: VoxelMoves(rotations=0),
    "search_space.body.most must be 1 or 4, got 2": lambda: ParallelConvolutions(most=2),
}


@pytest.mark.parametrize("message", OUTSIDE)
def test_values_out_of_bounds_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        OUTSIDE[message]()
