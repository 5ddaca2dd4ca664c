"""When does the ranking settle? HyperNets are trained anew, and the order of their scores is followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from smash_lightning.analyses.load_run import Truths, enough_truths
from smash_lightning.analyses.results import counted, interval, save_results, which, wrapped
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, mean_pairwise_spearman, pearson, ranks
from smash_lightning.evaluation.reliability import reliability
from smash_lightning.evaluation.verdict import figure
from smash_lightning.report.intervals import interval_lines
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import search
from smash_lightning.stages.search import settling as followed

SHOWN = 12  # rows of the printed table


@dataclass(frozen=True, slots=True)
class Followed:
    """A row of `settling.csv`: one architecture, scored by one HyperNet after so many epochs of its training.

    Args:
        hypernet: its place among those that were trained.
        epoch: of its training.
        fingerprint: the architecture.
        val_loss: validation loss, nats.
        true_loss: mean test loss after ordinary training, nats.
    """

    hypernet: int
    epoch: int
    fingerprint: str
    val_loss: float
    true_loss: float


@dataclass(frozen=True, slots=True)
class Moment:
    """The ranking after so many epochs, by the mean loss over the HyperNets.

    Args:
        epoch: of the training.
        last: Spearman with the ranking after the last epoch; None for that itself.
        truth: Spearman with the true losses.
        agreement: mean Spearman between two HyperNets; None for one.
    """

    epoch: int
    last: Estimate | None
    truth: Estimate | None
    agreement: Estimate | None


@dataclass(frozen=True, slots=True)
class Settling:
    """The figures of the investigation.

    Args:
        architectures: representative ones with a true loss, which training never drew.
        hypernets: that were trained.
        ceiling: about the highest Spearman that the truth's noise allows.
        moments: in order.
        second_half: Spearman with the truth after the last epoch, less that half-way, paired.
        half: the epoch that counts as half-way, the last one that was followed in the first half.
    """

    architectures: int
    hypernets: int
    ceiling: Estimate | None
    moments: tuple[Moment, ...]
    second_half: Estimate | None
    half: int


def settling(experiment: Experiment, tracker: Tracker, *, every: int, hypernets: int | None = None) -> float | None:
    """Trains HyperNets with the options of an earlier run, and follows its architectures with true losses.

    Args:
        experiment: its source folder holds a ranking and true losses.
        tracker: gets the trainings' metrics, table, picture and figures.
        every: epochs between scores.
        hypernets: how many are trained; None for as many as `search.hypernets`.

    Returns:
        Spearman with the truth after the last epoch, less that half-way; None where it is undefined.

    Raises:
        ValueError: nothing was retrained, or an option makes no sense.
        RuntimeError: a training failed.
    """
    epochs = experiment.search.epochs
    if not 1 <= every <= epochs // 2:
        raise ValueError(f"task.every must lie between 1 and half of search.epochs={epochs}, got {every}")
    if hypernets is not None and hypernets < 1:
        raise ValueError(f"task.hypernets must be at least 1, or null, got {hypernets}")
    truths = enough_truths(experiment)
    changed = replace(
        experiment,
        search=replace(experiment.search, hypernets=hypernets or experiment.search.hypernets),
        ranking=replace(experiment.ranking, fixed_every=every),
    )
    histories = [dict(followed(path)) for path in search(changed, tracker, "settling", truths.architectures)]
    moments = sorted(set(histories[0]).intersection(*histories))
    losses = np.array([[history[epoch] for epoch in moments] for history in histories])
    found = follow(truths, moments, losses, experiment.evaluation.bootstrap, experiment.seed)
    save_results(experiment, tracker, "settling", _rows(truths, moments, losses), found, picture(found), words(found))
    return None if found.second_half is None else found.second_half.value


def _rows(truths: Truths, epochs: Sequence[int], losses: NDArray[np.float64]) -> list[Followed]:
    return [
        Followed(hypernet, epoch, architecture.fingerprint, float(loss), float(truth))
        for hypernet, history in enumerate(losses)
        for epoch, column in zip(epochs, history, strict=True)
        for architecture, loss, truth in zip(truths.architectures, column, truths.losses, strict=True)
    ]


def follow(truths: Truths, epochs: Sequence[int], losses: NDArray[np.float64], resamples: int, seed: int) -> Settling:
    """The ranking at each moment, against the last one and against the truth.

    Args:
        truths: the architectures.
        epochs: the moments, rising; one at least in the first half.
        losses: validation losses (HyperNets, epochs, n), nats; one that is not finite ranks last.
        resamples: of the bootstrap over architectures.
        seed: of the resamples.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    means = losses.mean(0)
    half = max(place for place, epoch in enumerate(epochs) if 2 * epoch <= epochs[-1])
    count = len(epochs)

    def all_figures(weights: Floats) -> Floats:
        of_truth = ranks(truths.losses, weights)
        moments = [ranks(column, weights) for column in means]
        last = [pearson(moment, moments[-1], weights) for moment in moments]
        truth = [pearson(moment, of_truth, weights) for moment in moments]
        agreement = [mean_pairwise_spearman(list(losses[:, place]), weights) for place in range(count)]
        return np.stack([*last, *truth, *agreement, truth[-1] - truth[half]], axis=1)

    bootstrap = Bootstrap(len(truths.losses), resamples, seed)
    *estimates, second_half = bootstrap.estimates(all_figures, 3 * count + 1)
    return Settling(
        architectures=len(truths.losses),
        hypernets=len(losses),
        ceiling=reliability(truths.trainings, resamples, seed).ceiling,
        moments=tuple(
            Moment(
                epoch,
                None if place == count - 1 else estimates[place],
                estimates[count + place],
                estimates[2 * count + place],
            )
            for place, epoch in enumerate(epochs)
        ),
        second_half=second_half,
        half=epochs[half],
    )


def picture(found: Settling) -> Figure:
    """Draws how the order settles: `settling.png`."""
    names = {"last": "with the last ranking", "truth": "with the test loss", "agreement": "between two HyperNets"}
    series = {
        name: [
            (float(moment.epoch), *bar)
            for moment in found.moments
            if (bar := interval(getattr(moment, part))) is not None
        ]
        for part, name in names.items()
    }
    return interval_lines(
        {name: points for name, points in series.items() if points},
        x_label="epoch of the HyperNets",
        y_label=r"Spearman $\rho$ of the scores",
        title="When does the ranking settle?",
        note=f"{_basis(found)}; bars: 95 % intervals",
    )


def words(found: Settling) -> str:
    """The figures as a table, and what they say."""
    lines = wrapped(
        f"When does the ranking settle? {_basis(found)}. Spearman with [95 % interval over architectures] of the "
        "scores after so many epochs."
    )
    several = found.hypernets > 1
    between = "between two HyperNets" if several else ""
    lines.append(f"  {'epoch':<10}{'with the last ranking':<26}{'with the true loss':<26}{between}".rstrip())
    step = -(-len(found.moments) // SHOWN)
    for moment in found.moments[::-step][::-1]:
        last = "" if moment is found.moments[-1] else figure(moment.last)
        agreement = figure(moment.agreement) if several else ""
        lines.append(f"  {moment.epoch:<10}{last:<26}{figure(moment.truth):<26}{agreement}".rstrip())
    says = which(
        found.second_half,
        above="the second half of the training brings the ranking nearer to the truth",
        below="the second half of the training takes the ranking away from the truth",
        around="the second half of the training cannot be told to bring the ranking nearer to the truth",
    )
    gain = f"epoch {found.moments[-1].epoch} less epoch {found.half} {figure(found.second_half)}"
    return "\n".join([*lines, *wrapped(f"So {says}: {gain}.")])


def _basis(found: Settling) -> str:
    text = f"{found.architectures} architectures, {counted(found.hypernets, 'HyperNet')}"
    return f"{text}, noise ceiling {figure(found.ceiling)}"
