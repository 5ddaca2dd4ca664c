"""Does dE/dc know which change of an architecture lowers its score? (Paper, section 4: no better than chance.)"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from smash_lightning.analyses.load_run import random_candidates, told_c
from smash_lightning.analyses.results import (
    counted,
    digits,
    interval,
    mean,
    save_results,
    which,
    wrapped,
)
from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.engine import Pool
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.evaluation.verdict import figure
from smash_lightning.hypernet import ConditionalWeightSource
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.panels import Panel, interval_panels
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Score
from smash_lightning.search_space import SearchSpace
from smash_lightning.stages.experiment import Experiment
from smash_lightning.strategies import ArchitecturalGradient, Gradient, History, ScoredCandidate
from smash_lightning.strategies.gradient import change
from smash_lightning.training.messages import Send

GRADIENT, RANDOM = "gradient", "random"
DRAWS = 50  # attempts at each random perturbation that is new

Job = tuple[Architecture, list[Architecture]]  # a parent and its random perturbations


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of `gradient.csv`: one perturbation of one architecture.

    Args:
        parent: the architecture's fingerprint.
        method: what proposed the perturbation, gradient or random.
        draw: its place among the parent's random ones, in the order in which they were drawn.
        fingerprint: the perturbation's.
        predicted: change of the validation loss to first order, the gradient times the change of c, nats.
        parent_loss: validation loss of the parent, nats.
        val_loss: validation loss of the perturbation, nats.
        seconds: of scoring it.
        gradient_seconds: of the gradient; 0 for a random perturbation.
    """

    parent: str
    method: str
    draw: int
    fingerprint: str
    predicted: float
    parent_loss: float
    val_loss: float
    seconds: float
    gradient_seconds: float


@dataclass(frozen=True)
class Trial:
    """What is done with one parent.

    Args:
        score: of an architecture.
        gradient: dE/dc at an architecture, the shape of its c.
        encoding: writes c.
        space: of the candidates.
        drawn: fingerprints that the HyperNets' training drew, which no perturbation may have.
        pool: perturbations that the gradient chooses from.
        probability: of each element of the parent to be redrawn.
        trials: random perturbations.
        seed: of all draws.
    """

    score: Callable[[Architecture], Score]
    gradient: Gradient
    encoding: Encoding
    space: SearchSpace
    drawn: Collection[str]
    pool: int
    probability: float
    trials: int
    seed: int

    def __call__(self, parent: Architecture, others: Sequence[Architecture]) -> list[Tried]:
        """A row of the gradient's pick, then one of each of `others`, the random perturbations."""
        started = time.perf_counter()
        slope, c = self.gradient(parent).double(), self.encoding.encode(parent).double()
        gradient_seconds = time.perf_counter() - started
        parent_loss = self.score(parent).val_loss
        history = History(
            before=[ScoredCandidate(parent, "random", "", parent_loss)],
            gradient=lambda architecture: slope,
            encoding=self.encoding,
            accepts=lambda architecture: self._admits(parent, architecture),
        )
        strategy = ArchitecturalGradient(count=1, pool=self.pool, probability=self.probability)
        proposal, _ = strategy.propose(self.space, history, rng(Stream.GRADIENT, self.seed, parent.fingerprint))
        rows = []
        for place, child in enumerate([proposal, *others]):
            score = self.score(child)
            method, draw, spent = (RANDOM, place - 1, 0.0) if place else (GRADIENT, 0, gradient_seconds)
            predicted = float((slope * change(self.encoding, parent, child, c)).sum())
            names = parent.fingerprint, method, draw, child.fingerprint
            rows.append(Tried(*names, predicted, parent_loss, score.val_loss, score.seconds, spent))
        return rows

    def perturbations(self, parent: Architecture) -> list[Architecture]:
        """Different random perturbations of an architecture, as many as `trials`.

        Raises:
            ValueError: so many are not found.
        """
        chance = rng(Stream.RANDOM_PERTURBATIONS, self.seed, parent.fingerprint)
        found: dict[Architecture, None] = {}
        for _ in range(DRAWS * self.trials):
            child = self.space.perturb(parent, chance, self.probability)
            if self._admits(parent, child):
                found[child] = None
            if len(found) == self.trials:
                return list(found)
        raise ValueError(
            f"architecture {parent.fingerprint} has {len(found)} new perturbations in {DRAWS * self.trials} draws: "
            f"raise task.probability={self.probability} or lower task.trials={self.trials}"
        )

    def _admits(self, parent: Architecture, child: Architecture) -> bool:
        return child != parent and child.fingerprint not in self.drawn


@dataclass(frozen=True, slots=True)
class GradientResult:
    """The figures of the investigation; changes are of the validation loss against the parent's, nats, lower is better.

    Args:
        parents: architectures that were perturbed.
        hypernets: over which scores and gradients were averaged.
        trials: random perturbations of each.
        gradient: mean change by the gradient's pick.
        best_random: mean change by the first random perturbation, by the best of the first two, and so on to `trials`.
        gradient_minus_random: by how much the gradient's exceeds each of these, paired.
        prediction: Spearman of predicted and true change, over the first random perturbation of each parent.
        gradient_seconds: median of a gradient.
        score_seconds: median of a score.
    """

    parents: int
    hypernets: int
    trials: int
    gradient: Estimate | None
    best_random: tuple[Estimate | None, ...]
    gradient_minus_random: tuple[Estimate | None, ...]
    prediction: Estimate | None
    gradient_seconds: float
    score_seconds: float


def gradient(
    experiment: Experiment, tracker: Tracker, *, parents: int, pool: int, probability: float, trials: int
) -> float | None:
    """Perturbs random architectures of an earlier run as the gradient says, and at random.

    Args:
        experiment: its source folder holds HyperNets and a ranking.
        tracker: gets table, picture and figures.
        parents: at most so many random ones of the ranking.
        pool: perturbations that the gradient chooses from, which are not scored.
        probability: of each element of a parent to be redrawn.
        trials: random perturbations that cost as much as the gradient and the score of its pick.

    Returns:
        By how much the gradient's pick changes the validation loss more than the best of `trials` random perturbations
        does, nats, below 0 where the gradient is better; None where it is undefined.

    Raises:
        ValueError: there is no HyperNet that sees c, or there are too few architectures or perturbations.
    """
    if min(pool, trials) < 1 or not 0 < probability <= 1:
        raise ValueError(
            f"task.pool ({pool}) and task.trials ({trials}) must be at least 1, and task.probability ({probability}) "
            "lie between 0 and 1"
        )
    scorer, drawn = told_c(experiment, "gradient")
    chosen = random_candidates(experiment, parents, "task.parents")
    source, space = scorer.hypernets[0].weights, experiment.candidates
    assert isinstance(source, ConditionalWeightSource)
    trial = Trial(scorer, scorer.gradient, source.encoding, space, drawn, pool, probability, trials, experiment.seed)
    rows = _measure(trial, [(parent, trial.perturbations(parent)) for parent in chosen], experiment.workers)
    found = compare(rows, len(scorer.hypernets), experiment.evaluation.bootstrap, experiment.seed)
    save_results(experiment, tracker, "gradient", rows, found, picture(found), words(found))
    lead = found.gradient_minus_random[-1]
    return None if lead is None else lead.value


def _measure(trial: Trial, jobs: Sequence[Job], workers: int) -> list[Tried]:
    parts: dict[int, list[Tried]] = {}
    with ProgressBars(["perturbing"], [len(jobs)]) as bars, Pool(try_parent, trial, workers) as pool:
        tried = pool.results(jobs, lambda i: f"perturbing architecture {jobs[i][0].fingerprint}")
        for count, (position, outcome) in enumerate(tried, start=1):
            parts[position] = outcome
            bars.show(0, count)
    return [row for position in sorted(parts) for row in parts[position]]


def try_parent(trial: Trial, job: Job, send: Send) -> list[Tried]:
    """The rows of one parent, in a process of its own."""
    del send
    return trial(*job)


def compare(rows: Sequence[Tried], hypernets: int, resamples: int, seed: int) -> GradientResult:
    """The changes by each method and their differences.

    Args:
        rows: as many random perturbations of each parent, in the order in which they were drawn.
        hypernets: over which they were averaged.
        resamples: of the bootstrap over parents.
        seed: of the resamples.
    """
    picks = [row for row in rows if row.method == GRADIENT]
    others = [[row for row in rows if row.method == RANDOM and row.parent == proposal.parent] for proposal in picks]
    by_gradient = np.array([row.val_loss - row.parent_loss for row in picks])
    by_chance = np.array([[row.val_loss - row.parent_loss for row in part] for part in others])
    best = np.minimum.accumulate(by_chance, axis=1)
    predicted = np.array([part[0].predicted for part in others])
    bootstrap = Bootstrap(len(picks), resamples, seed)

    def of_mean(column: Floats) -> Estimate | None:
        return bootstrap.estimate(partial(mean, column))

    return GradientResult(
        parents=len(picks),
        hypernets=hypernets,
        trials=by_chance.shape[1],
        gradient=of_mean(by_gradient),
        best_random=tuple(of_mean(column) for column in best.T),
        gradient_minus_random=tuple(of_mean(by_gradient - column) for column in best.T),
        prediction=bootstrap.estimate(partial(spearman, predicted, by_chance[:, 0])),
        gradient_seconds=float(np.median([row.gradient_seconds for row in picks])),
        score_seconds=float(np.median([row.seconds for row in rows])),
    )


def picture(found: GradientResult) -> Figure:
    """Draws the changes, and the gradient's against those by chance: `gradient.png`."""
    names = _names(found)
    changes = dict(zip(names, map(interval, (found.gradient, *found.best_random)), strict=True))
    differences = dict(zip(names[1:], map(interval, found.gradient_minus_random), strict=True))
    panels = [
        Panel("Change against the parent", "validation loss (nats)", changes),
        Panel("The gradient's pick minus it (paired)", "validation loss (nats)", differences),
    ]
    note = f"{_basis(found)}; bars are 95 % bootstrap intervals over parents"
    return interval_panels(names, panels, title="Does the gradient in c know what to change?", note=note)


def words(found: GradientResult) -> str:
    """The figures as a table, and what they say."""
    changes, differences = (found.gradient, *found.best_random), (None, *found.gradient_minus_random)
    nats = digits(*changes, *differences)
    lines = wrapped(
        f"Does the gradient in c know what to change? {_basis(found)}. Change of the validation loss against the "
        "parent's, nats, lower is better; [95 % intervals over parents]."
    )
    lines.append(f"  {'':<32}{'change':<30}gradient's pick minus it (paired)")
    for name, own, difference in zip(_names(found), changes, differences, strict=True):
        paired = "" if difference is None else figure(difference, nats)
        lines.append(f"  {name:<32}{figure(own, nats):<30}{paired}".rstrip())
    lines.append(f"Predicted and true change of a random perturbation, Spearman: {figure(found.prediction)}.")
    chance = _names(found)[-1]
    says = which(
        found.gradient_minus_random[-1],
        above=f"the gradient is worse than {chance}; the paper found it no better",
        below=f"the gradient is better than {chance}, unlike in the paper",
        around=f"the gradient cannot be told from {chance}",
    )
    ratio = found.gradient_seconds / found.score_seconds
    cost = f"With the score of its pick it took as long as {1 + ratio:.1f} scores, each by all HyperNets"
    return "\n".join([*lines, *wrapped(f"So {says}. {cost}.")])


def _names(found: GradientResult) -> list[str]:
    more = [f"the best of {count} random ones" for count in range(2, found.trials + 1)]
    return ["the gradient's pick", "one random perturbation", *more]


def _basis(found: GradientResult) -> str:
    return f"{found.parents} parents, {counted(found.hypernets, 'HyperNet')}"
