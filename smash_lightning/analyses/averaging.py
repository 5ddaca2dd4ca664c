"""What does it bring to average the scores of several HyperNets? (Paper, figure 5b: three of different seeds.)"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from matplotlib.figure import Figure

from smash_lightning.analyses.load_run import Truths, enough_truths
from smash_lightning.analyses.results import interval, save_results, which, wrapped
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, pearson, ranks
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.evaluation.verdict import figure
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.intervals import interval_lines
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

MOST = 64  # subsets of one size; where there are more, so many random ones stand for them

Subset = tuple[int, ...]
Pair = tuple[Subset, Subset]


@dataclass(frozen=True, slots=True)
class OneScore:
    """A row of `averaging.csv`: one architecture, scored by one HyperNet.

    Args:
        fingerprint: the architecture.
        hypernet: its place in `val_loss_by_hypernet`.
        val_loss: validation loss with this HyperNet, nats.
        true_loss: mean test loss after ordinary training, nats.
    """

    fingerprint: str
    hypernet: int
    val_loss: float
    true_loss: float


@dataclass(frozen=True, slots=True)
class Average:
    """What a mean over so many HyperNets is worth.

    Args:
        hypernets: how many are averaged.
        subsets: over how many choices of them the next figure is a mean.
        truth: Spearman of the mean loss and the true loss.
        pairs: over how many pairs of choices without a common member the next figure is a mean.
        agreement: Spearman between the mean losses of two such choices; None where there are too few HyperNets.
    """

    hypernets: int
    subsets: int
    truth: Estimate | None
    pairs: int
    agreement: Estimate | None


@dataclass(frozen=True, slots=True)
class Averaging:
    """The figures of the investigation.

    Args:
        architectures: representative ones with score and truth.
        ceiling: about the highest Spearman that the truth's noise allows.
        averages: by the number of HyperNets, rising from one to all.
        gain: Spearman with the truth of all together less that of a single one, paired.
    """

    architectures: int
    ceiling: Estimate | None
    averages: tuple[Average, ...]
    gain: Estimate | None


def averaging(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares means over few and over many HyperNets of an earlier run with its true losses.

    Args:
        experiment: its source folder holds a ranking by two HyperNets or more, and true losses.
        tracker: gets table, picture and figures.

    Returns:
        Spearman with the truth of the mean over all, less that of a single HyperNet; None where it is undefined.

    Raises:
        ValueError: there is one HyperNet only, or too few true losses.
    """
    truths = enough_truths(experiment)
    if truths.by_hypernet.shape[1] < 2:
        raise ValueError(
            f"{experiment.source_folder().path} was scored by one HyperNet, and there is nothing to average: name a "
            "run with search.hypernets=2 or more with checkpoint=FOLDER"
        )
    found = average(truths, experiment.evaluation.bootstrap, experiment.seed)
    rows = [
        OneScore(architecture.fingerprint, hypernet, float(loss), float(truth))
        for architecture, losses, truth in zip(truths.architectures, truths.by_hypernet, truths.losses, strict=True)
        for hypernet, loss in enumerate(losses)
    ]
    save_results(experiment, tracker, "averaging", rows, found, picture(found), words(found))
    return None if found.gain is None else found.gain.value


def average(truths: Truths, resamples: int, seed: int) -> Averaging:
    """The worth of means over one to all HyperNets.

    Args:
        truths: architectures with validation losses and true losses.
        resamples: of the bootstrap over architectures.
        seed: of the resamples, and of the choices where there are too many.
    """
    total = truths.by_hypernet.shape[1]
    sizes = range(1, total + 1)
    chosen = [subsets(total, size, MOST, rng(Stream.SUBSETS, seed, size)) for size in sizes]
    paired = [disjoint_pairs(total, size, MOST, rng(Stream.PAIRS, seed, size)) for size in sizes]
    truth = truths.losses

    def ranked(subset: Subset, weights: Floats) -> Floats:
        return ranks(mean_loss(truths, subset), weights)

    def all_figures(weights: Floats) -> Floats:
        of_truth = ranks(truth, weights)
        agreeing = [[pearson(ranked(subset, weights), of_truth, weights) for subset in part] for part in chosen]
        between = [
            [pearson(ranked(one, weights), ranked(other, weights), weights) for one, other in part] for part in paired
        ]
        columns = [np.mean(part, axis=0) if part else np.full(len(weights), np.nan) for part in agreeing + between]
        return np.stack([*columns, columns[total - 1] - columns[0]], axis=1)

    bootstrap = Bootstrap(len(truth), resamples, seed)
    *estimates, gain = bootstrap.estimates(all_figures, 2 * total + 1)
    return Averaging(
        architectures=len(truth),
        ceiling=reliability(truths.trainings, resamples, seed).ceiling,
        averages=tuple(
            Average(size, len(chosen[place]), estimates[place], len(paired[place]), estimates[total + place])
            for place, size in enumerate(sizes)
        ),
        gain=gain,
    )


def mean_loss(truths: Truths, subset: Subset) -> Floats:
    """Validation loss of each architecture, mean over some HyperNets, (n,)."""
    return truths.by_hypernet[:, list(subset)].mean(1)


def subsets(total: int, size: int, most: int, chance: random.Random) -> list[Subset]:
    """All choices of `size` out of `total`, or `most` random ones where there are more."""
    if comb(total, size) <= most:
        return list(combinations(range(total), size))
    found: set[Subset] = set()
    while len(found) < most:
        found.add(tuple(sorted(chance.sample(range(total), size))))
    return sorted(found)


def disjoint_pairs(total: int, size: int, most: int, chance: random.Random) -> list[Pair]:
    """All pairs of choices without a common member, or `most` random ones where there are more."""
    if comb(total, size) * comb(total - size, size) // 2 <= most:
        every = combinations(combinations(range(total), size), 2)
        return [(one, other) for one, other in every if not set(one) & set(other)]
    found: set[Pair] = set()
    while len(found) < most:
        both = chance.sample(range(total), 2 * size)
        one, other = sorted((tuple(sorted(both[:size])), tuple(sorted(both[size:]))))
        found.add((one, other))
    return sorted(found)


def picture(found: Averaging) -> Figure:
    """Draws agreement with the truth, and of HyperNets with each other: `averaging.png`."""
    series = {
        "with the test loss": {average.hypernets: average.truth for average in found.averages},
        "between two groups of HyperNets": {average.hypernets: average.agreement for average in found.averages},
    }
    points = {
        name: [(float(x), *bar) for x, estimate in line.items() if (bar := interval(estimate)) is not None]
        for name, line in series.items()
    }
    return interval_lines(
        {name: line for name, line in points.items() if line},
        x_label="HyperNets whose losses are averaged",
        y_label=r"Spearman $\rho$",
        title="What averaging scores brings",
        note=f"{_basis(found)}; bars: 95 % intervals",
    )


def words(found: Averaging) -> str:
    """The figures as a table, and what they say."""
    lines = wrapped(f"What averaging scores brings: {_basis(found)}. Spearman with [95 % interval over architectures].")
    lines.append(f"  {'HyperNets averaged':<22}{'with the true loss':<26}between two such groups")
    for average in found.averages:
        agreement = figure(average.agreement) if average.pairs else ""
        lines.append(f"  {average.hypernets:<22}{figure(average.truth):<26}{agreement}".rstrip())
    says = which(
        found.gain,
        above="averaging helps",
        below="averaging makes the score worse",
        around="averaging cannot be told to help",
    )
    total = found.averages[-1].hypernets
    return "\n".join([*lines, *wrapped(f"So {says}: all {total} together less a single one {figure(found.gain)}.")])


def _basis(found: Averaging) -> str:
    return f"{found.architectures} architectures, noise ceiling {figure(found.ceiling)}"
