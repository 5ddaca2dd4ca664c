from __future__ import annotations

from pathlib import Path

from scipy.stats import kstest, spearmanr

from smash_lightning.baselines import RandomScore
from smash_lightning.random_streams import rng
from tests.baselines.small_context import digits_context
from tests.stages.small_run import SPACE

DRAWN = {architecture.fingerprint: architecture for architecture in (SPACE.sample(rng("c", i)) for i in range(400))}
ARCHITECTURES = list(DRAWN.values())


def values(folder: Path, seed: int) -> list[float]:
    context = digits_context(folder, seed=seed)
    return [RandomScore().predict(architecture, context) for architecture in ARCHITECTURES]


def test_values_are_uniform(tmp_path: Path) -> None:
    found = values(tmp_path, 0)
    assert len(found) > 300
    assert kstest(found, "uniform").pvalue > 0.01


def test_values_do_not_depend_on_their_order(tmp_path: Path) -> None:
    context = digits_context(tmp_path, seed=0)
    backwards = [RandomScore().predict(architecture, context) for architecture in reversed(ARCHITECTURES)]
    assert backwards[::-1] == values(tmp_path, 0)


def test_two_seeds_are_uncorrelated(tmp_path: Path) -> None:
    assert abs(spearmanr(values(tmp_path, 0), values(tmp_path, 1)).statistic) < 0.15
