"""Gradients of architectures and batches: components of variance of made-up ones, and one run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smash_lightning.analyses import gradient_conflict
from smash_lightning.analyses.gradient_conflict import COSINES, SHARES, inner_products, statistics
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on, read_results


def made_up(n: int, batches: int, parameters: int, stds: tuple[float, float, float]) -> np.ndarray:
    """A mean, effects of architectures and of batches, and interactions, of these standard deviations."""
    rng = np.random.default_rng(0)
    shapes = ((n, 1, parameters), (1, batches, parameters), (n, batches, parameters))
    parts = [std * rng.normal(size=shape) for std, shape in zip(stds, shapes, strict=True)]
    return rng.normal(size=parameters) + sum(parts)


def test_estimates_equal_those_of_the_mean_squares_and_of_all_pairs() -> None:
    n, batches = 5, 4
    gradients = made_up(n, batches, 7, (1.0, 0.5, 0.7))
    found = dict(zip(COSINES + SHARES, statistics(inner_products(gradients), np.ones((1, n)))[0].tolist(), strict=True))
    mean, rows, columns = gradients.mean((0, 1)), gradients.mean(1), gradients.mean(0)
    rest = gradients - rows[:, None] - columns + mean
    error = (rest**2).sum() / ((n - 1) * (batches - 1))
    architecture = (batches * ((rows - mean) ** 2).sum() / (n - 1) - error) / batches
    batch = (n * ((columns - mean) ** 2).sum() / (batches - 1) - error) / n
    expected = np.array([architecture, batch, error]) / (architecture + batch + error)
    assert [found[name] for name in SHARES] == pytest.approx(expected.tolist())

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    every = [(a, b, c, d) for a in range(n) for b in range(n) for c in range(batches) for d in range(batches)]
    chosen = {COSINES[0]: (False, True), COSINES[1]: (True, False), COSINES[2]: (False, False)}
    for name, same in chosen.items():
        pairs = [cosine(gradients[a, c], gradients[b, d]) for a, b, c, d in every if (a == b, c == d) == same]
        assert found[name] == pytest.approx(np.mean(pairs)), name


def test_copies_of_an_architecture_in_a_resample_are_no_pairs() -> None:
    gradients = made_up(4, 3, 9, (1.0, 1.0, 1.0))
    weights = np.array([[2.0, 1.0, 1.0, 0.0]])
    found = statistics(inner_products(gradients), weights)[0]
    weighted = inner_products(gradients[[0, 1, 2]])["cosine_same"]
    pairs = 2 * weighted[0, 1] + 2 * weighted[0, 2] + weighted[1, 2]
    assert found[0] == pytest.approx(pairs / 5)


def test_it_writes_table_estimates_and_picture(source: Path, tmp_path: Path) -> None:
    share = gradient_conflict(experiment_on(source, tmp_path), NO_LOGGERS, architectures=5, batches=2)
    rows, found = read_results(tmp_path, "gradient_conflict")
    assert len(rows) == 2 * 2 * 5 * 5, "states, HyperNets, pairs"
    itself = rows[rows["architecture"] == rows["other"]]
    assert itself["cosine_same"].to_numpy() == pytest.approx(1)
    assert (itself["product_same"] > 0).all()
    assert found["states"]["trained"]["shares"]["architecture"]["value"] == share
    for state, part in found["states"].items():
        assert sum(one["value"] for one in part["shares"].values()) == pytest.approx(1), state
    start = [pd.Series(rows[rows["state"] == state]["product_same"].to_numpy()) for state in ("start", "trained")]
    assert not start[0].equals(start[1])
