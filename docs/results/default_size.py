"""What does a smaller default cost? python docs/results/default_size.py > docs/results/default_size.json.

Each of the six runs of `default_pools.csv`, 60 architectures and 5 seeds, is compared with subsets of itself of 48
architectures and 4 seeds: Spearman of SMASH score and mean test loss, and the width of its 95 % bootstrap interval.
"""

from functools import partial

import numpy as np
import pandas as pd
from collect import record
from pooled import RUN_SEEDS, RUNS, read_pools

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.evaluation.sample import numbered

RESAMPLES = 1_000
SUBSETS = 50  # random ones of each run
ARCHITECTURES, SEEDS = 48, 4


def interval(table: pd.DataFrame, trainings: Floats) -> tuple[float, float]:
    """Spearman of the rows' scores and mean test losses, and the width of its interval."""
    statistic = partial(spearman, table["smash_score"].to_numpy(float), trainings.mean(1))
    found = Bootstrap(len(table), RESAMPLES, 0).estimate(statistic)
    assert found is not None
    return found.value, found.high - found.low


def of_run(table: pd.DataFrame, seed: int) -> dict[str, float]:
    """Spearman and width of the whole run, and their means over the subsets."""
    trainings, rng = numbered(table, "true_loss"), np.random.default_rng(seed)
    whole, smaller = interval(table, trainings), []
    for _ in range(SUBSETS):
        rows = rng.permutation(len(table))[:ARCHITECTURES]
        columns = rng.permutation(trainings.shape[1])[:SEEDS]
        smaller.append(interval(table.iloc[rows], trainings[np.ix_(rows, columns)]))
    spearman_less, width_less = np.mean(smaller, axis=0)
    return {
        "seed": seed,
        "spearman": whole[0],
        "spearman_smaller": float(spearman_less),
        "width": whole[1],
        "width_smaller": float(width_less),
        "ratio": float(width_less / whole[1]),
    }


if __name__ == "__main__":
    runs = [of_run(table, seed) for table, seed in zip(read_pools(RUNS), RUN_SEEDS, strict=True)]
    print(record(["python docs/results/default_size.py"], {"six runs": runs}))
