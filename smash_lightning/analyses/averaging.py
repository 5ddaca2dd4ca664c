"""Does averaging the scores of several HyperNets help? (Paper, figure 5b: three of different seeds.)

averaging.csv: validation and test loss (nats) of each architecture with each HyperNet.
averaging.json: `ceiling`, about the highest Spearman that the noise of the ground truth allows; `averages`, for one to
all HyperNets: Spearman of mean loss and test loss (`spearman`, over `subsets` of that size) and of the mean losses of
two disjoint subsets (`agreement`, over `pairs`); `gain`: Spearman of all HyperNets less the mean of single ones,
paired.
"""

from __future__ import annotations

import random
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from smash_lightning.analyses import frame
from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import Floats, pearson, ranks
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

MOST = 64  # subsets of one size; of more, this many random ones are used

Subset = tuple[int, ...]


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
        for key, label in (("spearman", "with the test loss"), ("agreement", "between two disjoint groups"))
    }
    result = frame.select(
        found["gain"],
        above="averaging helps",
        below="averaging makes the score worse",
        around="the effect of averaging is not significantly different from zero",
    )
    note = f"{len(losses)} architectures, noise ceiling {frame.text(found['ceiling'])}; {frame.BARS}"
    x, y = "HyperNets whose losses are averaged", "Spearman's rho"
    picture = frame.Picture("Agreement of averaged scores", note, x, y)
    sentence = f"Result: {result}; all {total} less a single one: {frame.text(found['gain'])}."
    frame.publish(experiment, "averaging", table, found, panels, picture, sentence)
    return frame.value(found["gain"])


def average(trained: frame.TrainedSample, resamples: int, seed: int) -> dict[str, Any]:
    """The contents of averaging.json, from `resamples` of the architectures."""
    total = trained.by_hypernet.shape[1]
    sizes = range(1, total + 1)
    chosen = [subsets(total, size, MOST, rng(Stream.SUBSETS, seed, size)) for size in sizes]
    paired = [disjoint_pairs(total, size, MOST, rng(Stream.PAIRS, seed, size)) for size in sizes]

    def ranked(subset: Subset, weights: Floats) -> Floats:
        return ranks(trained.by_hypernet[:, list(subset)].mean(1), weights)

    def coefficients(weights: Floats) -> Floats:
        target = ranks(trained.test_loss, weights)
        agreeing = [[pearson(ranked(subset, weights), target, weights) for subset in part] for part in chosen]
        between = [
            [pearson(ranked(one, weights), ranked(other, weights), weights) for one, other in part] for part in paired
        ]
        means = [np.mean(part, axis=0) if part else np.full(len(weights), np.nan) for part in agreeing + between]
        return np.stack([*means, means[total - 1] - means[0]], axis=1)

    *estimates, gain = Bootstrap(len(trained.test_loss), resamples, seed).estimates(coefficients, 2 * total + 1)
    names, counts = ("hypernets", "subsets", "pairs", "spearman", "agreement"), [map(len, chosen), map(len, paired)]
    averages = [
        dict(zip(names, row, strict=True))
        for row in zip(sizes, *counts, estimates[:total], estimates[total:], strict=True)
    ]
    ceiling = reliability(trained.trainings, resamples, seed).ceiling
    return {"architectures": len(trained.test_loss), "ceiling": ceiling, "averages": averages, "gain": gain}


def subsets(total: int, size: int, most: int, generator: random.Random) -> list[Subset]:
    """All subsets of `size` out of `total`, or `most` random ones where there are more."""
    if comb(total, size) <= most:
        return list(combinations(range(total), size))
    found: set[Subset] = set()
    while len(found) < most:
        found.add(tuple(sorted(generator.sample(range(total), size))))
    return sorted(found)


def disjoint_pairs(total: int, size: int, most: int, generator: random.Random) -> list[tuple[Subset, Subset]]:
    """All pairs of subsets without a common member, or `most` random ones where there are more."""
    if comb(total, size) * comb(total - size, size) // 2 <= most:
        every = combinations(combinations(range(total), size), 2)
        return [(one, other) for one, other in every if not set(one) & set(other)]
    found: set[tuple[Subset, Subset]] = set()
    while len(found) < most:
        both = generator.sample(range(total), 2 * size)
        one, other = sorted((tuple(sorted(both[:size])), tuple(sorted(both[size:]))))
        found.add((one, other))
    return sorted(found)
