"""Does averaging the scores of several HyperNets help? (Paper, figure 5b: three of different seeds.)

averaging.csv: validation and test loss (nats) of each architecture with each HyperNet.
averaging.json: `ceiling`, about the highest Spearman that the noise of the ground truth allows; `averages`, for one to
all HyperNets: Spearman of mean loss and test loss (`spearman`, over `subsets` of that size) and of the mean losses of
two disjoint subsets (`agreement`, over `pairs`); `gain`: Spearman of all HyperNets less the mean of single ones,
paired.
"""

import random
from collections.abc import Iterable
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from smash_lightning.analyses import frame
from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import Floats, pearson, ranks
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

LABELS = {"spearman": "with the test loss", "agreement": "between two disjoint groups"}
MOST = 64  # subsets of one size, and disjoint pairs of these

Item = TypeVar("Item", bound=tuple[Any, ...])


def averaging(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares means over few and over many HyperNets of an earlier run with its ground truth.

    Returns:
        The gain; None where it is undefined.
    """
    trained = frame.load_trained(experiment)
    total = trained.by_hypernet.shape[1]
    if total < 2:
        raise ValueError(
            f"{experiment.source_folder().path} was scored by one HyperNet, and there is nothing to average: name a "
            "run with search.hypernets=2 or more with checkpoint=FOLDER"
        )
    found = average(trained, experiment.evaluation.bootstrap, experiment.seed)
    losses = pd.DataFrame(trained.by_hypernet).assign(fingerprint=list(trained.by_name()), true_loss=trained.test_loss)
    table = losses.melt(["fingerprint", "true_loss"], var_name="hypernet", value_name="val_loss")
    panels = {
        label: {one["hypernets"]: one[key] for one in found["averages"] if key == "spearman" or one["pairs"]}
        for key, label in LABELS.items()
    }
    note = f"{len(losses)} architectures, noise ceiling {frame.text(found['ceiling'])}; {frame.BARS}"
    x, y = "HyperNets whose losses are averaged", "Spearman's rho"
    picture = frame.Picture("Agreement of averaged scores", note, x, y)
    answer = (f"Spearman of all {total} HyperNets less that of a single one", found["gain"])
    return frame.publish(experiment, "averaging", table, found, panels, picture, [answer])


def average(trained: frame.TrainedSample, resamples: int, seed: int) -> dict[str, Any]:
    """The contents of averaging.json, from `resamples` of the architectures."""
    total = trained.by_hypernet.shape[1]
    sizes = range(1, total + 1)
    chosen = [at_most(combinations(range(total), size), rng(Stream.SUBSETS, seed, size)) for size in sizes]
    paired = [
        at_most(((one, other) for one, other in combinations(part, 2) if not set(one) & set(other)), generator)
        for part, generator in zip(chosen, (rng(Stream.PAIRS, seed, size) for size in sizes), strict=True)
    ]

    def coefficients(weights: Floats) -> Floats:
        target = ranks(trained.test_loss, weights)
        ranked = {one: ranks(trained.by_hypernet[:, list(one)].mean(1), weights) for part in chosen for one in part}
        agreeing = [[pearson(ranked[subset], target, weights) for subset in part] for part in chosen]
        between = [[pearson(ranked[one], ranked[other], weights) for one, other in part] for part in paired]
        means = [np.mean(part, axis=0) if part else np.full(len(weights), np.nan) for part in agreeing + between]
        return np.stack([*means, means[total - 1] - means[0]], axis=1)

    *estimates, gain = Bootstrap(len(trained.test_loss), resamples, seed).estimates(coefficients, 2 * total + 1)
    names, counts = ("hypernets", "subsets", "pairs", "spearman", "agreement"), [map(len, chosen), map(len, paired)]
    columns = zip(sizes, *counts, estimates[:total], estimates[total:], strict=True)
    return {
        "architectures": len(trained.test_loss),
        "ceiling": reliability(trained.trainings, resamples, seed).ceiling,
        "averages": [dict(zip(names, row, strict=True)) for row in columns],
        "gain": gain,
    }


def at_most(items: Iterable[Item], generator: random.Random) -> list[Item]:
    """All items, or 64 random ones where there are more."""
    every = list(items)
    return every if len(every) <= MOST else sorted(generator.sample(every, MOST))
