"""Do averaged weights make the ground truth less noisy? docs/results/averaged_weights.py RUN AVERAGED > FILE.json.

AVERAGED is task=retrain with `retrain.average` on the ranking of RUN. Both trained the same architectures with the same
initial weights and batches, so that reliabilities are compared pair by pair; resamples draw architectures anew.
"""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from collect import record

from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import spearman
from smash_lightning.evaluation.reliability import icc_mean, icc_of_ranks

RESAMPLES = 10_000


def trainings(folder: Path) -> pd.DataFrame:
    """Test losses of the architectures that represent the ranking, a column for each seed."""
    table = pd.read_csv(folder / "retrained.csv")
    sample = table[(table["random"] == 1) | (table["stratified"] == 1)]
    return sample.pivot(index="fingerprint", columns="seed", values="true_loss").dropna()


def figures(plain: pd.DataFrame, averaged: pd.DataFrame) -> dict[str, object]:
    """Reliabilities of the mean over seeds, their differences, and the agreement of the two means."""
    averaged = averaged.loc[plain.index]
    bootstrap = Bootstrap(len(plain), RESAMPLES, 0)
    columns = [list(table.to_numpy(float).T) for table in (plain, averaged)]
    found: dict[str, object] = {"architectures": len(plain), "seeds": plain.shape[1]}
    for name, statistic in (("of ranks", icc_of_ranks), ("of losses", icc_mean)):
        one, other = (partial(statistic, table) for table in columns)
        found[f"reliability {name}"] = asdict(bootstrap.estimate(one))
        found[f"reliability {name}, averaged weights"] = asdict(bootstrap.estimate(other))
        found[f"difference {name}"] = asdict(bootstrap.estimate(lambda w, one=one, other=other: other(w) - one(w)))
    means = [np.mean(table, axis=0) for table in columns]
    found["Spearman of the means"] = asdict(bootstrap.estimate(partial(spearman, *means)))
    losses = [float(mean.mean()) for mean in means]
    return found | {"mean test loss": losses[0], "mean test loss, averaged weights": losses[1]}


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:3]]
    commands = "python run.py seed=0; python run.py task=retrain checkpoint=RUN retrain.average=0.9"
    print(record([commands], {"seed 0": figures(*map(trainings, folders))}))
