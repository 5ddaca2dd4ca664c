"""Does dE/dc predict which change of an architecture lowers its score? (Paper, section 4: no better than random.)

gradient.csv: a row per perturbation of a parent; `draw` numbers the random ones, `predicted` is the gradient times the
change of c (the change of the loss to first order, nats), `gradient_seconds` is 0 for random ones.
gradient.json: mean `changes` of the validation loss against the parent's (nats, lower is better), `gradient_minus`
those of random perturbations, paired, and the Spearman of predicted and measured change of the first random one
(`prediction`).
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pydantic import PositiveInt

from smash_lightning.analyses import frame
from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import spearman
from smash_lightning.option_types import Share
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Score
from smash_lightning.search_space import SearchSpace
from smash_lightning.stages.experiment import Experiment
from smash_lightning.strategies import ArchitecturalGradient, Gradient, History, ScoredCandidate
from smash_lightning.strategies.gradient import change

GRADIENT, RANDOM = "gradient", "random"
DRAWS = 50  # attempts at each random perturbation that is new
COLUMNS = ["parent", "method", "draw", "fingerprint", "predicted", "parent_loss", "val_loss", "seconds"]
COLUMNS += ["gradient_seconds"]


@dataclass(frozen=True)
class Trial:
    """Perturbs one parent by the gradient, as `ArchitecturalGradient` does, and at random."""

    score: Callable[[Architecture], Score]
    gradient: Gradient  # dE/dc at an architecture, the shape of its c
    encoding: Encoding
    space: SearchSpace
    drawn: Collection[str]  # fingerprints that the HyperNets' training drew, which no perturbation may have
    pool: int  # perturbations that the gradient chooses from, which are not scored
    probability: float  # of each element of the parent to be redrawn
    trials: int  # random perturbations
    seed: int

    def __call__(self, job: tuple[Architecture, Sequence[Architecture]]) -> list[tuple[Any, ...]]:
        """Rows of a parent: of the gradient's choice, then of each of the random perturbations."""
        parent, others = job
        started = time.perf_counter()
        slope, c = self.gradient(parent).double(), self.encoding.encode(parent).double()
        gradient_seconds = time.perf_counter() - started
        parent_loss = self.score(parent).val_loss
        before, accepts = [ScoredCandidate(parent, "random", "", parent_loss)], partial(self._admits, parent)
        history = History(before=before, gradient=lambda one: slope, encoding=self.encoding, accepts=accepts)
        strategy = ArchitecturalGradient(count=1, pool=self.pool, probability=self.probability)
        proposal, _ = strategy.propose(self.space, history, rng(Stream.GRADIENT, self.seed, parent.fingerprint))
        rows = []
        for draw, child in enumerate([proposal, *others], start=-1):
            score, predicted = self.score(child), float((slope * change(self.encoding, parent, child, c)).sum())
            method, number, seconds = (GRADIENT, 0, gradient_seconds) if draw < 0 else (RANDOM, draw, 0.0)
            row = (parent.fingerprint, method, number, child.fingerprint, predicted, parent_loss)
            rows.append((*row, score.val_loss, score.seconds, seconds))
        return rows

    def perturbations(self, parent: Architecture) -> list[Architecture]:
        """Different random perturbations of an architecture, `trials` of them."""
        generator = rng(Stream.RANDOM_PERTURBATIONS, self.seed, parent.fingerprint)
        found: dict[Architecture, None] = {}
        for _ in range(DRAWS * self.trials):
            child = self.space.perturb(parent, generator, self.probability)
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


def gradient(
    experiment: Experiment,
    tracker: Tracker,
    *,
    parents: frame.AtLeastFive,
    pool: PositiveInt,
    probability: Share,
    trials: PositiveInt,
) -> float | None:
    """Returns the last of `gradient_minus`, nats, or None; conf/task/gradient.yaml explains the options."""
    scorer, encoding, drawn = frame.conditional_scorer(experiment, "gradient")
    chosen, space = frame.random_candidates(experiment, parents), experiment.candidates
    trial = Trial(scorer, scorer.gradient, encoding, space, drawn, pool, probability, trials, experiment.seed)
    jobs = [(parent, trial.perturbations(parent)) for parent in chosen]
    rows = frame.run_jobs(trial, jobs, experiment.engine, "perturbing", lambda job: job[0].fingerprint)
    table = pd.DataFrame([row for part in rows for row in part], columns=COLUMNS)
    found = compare(table, experiment.evaluation.bootstrap, experiment.seed)
    last, difference = list(found["gradient_minus"].items())[-1]
    title = "Changes by the gradient in c and by random perturbations"
    note = f"{len(chosen)} parents; 95 % bootstrap intervals over parents"
    picture = frame.Picture(title, note, "change of the validation loss (nats, lower is better)")
    panels = {"change": found["changes"], "gradient minus it (paired)": found["gradient_minus"]}
    answers = [
        ("Spearman of predicted and measured change of a random perturbation", found["prediction"]),
        (f"Loss after the gradient's change less that after {last}, nats", difference),
    ]
    return frame.publish(experiment, "gradient", table, found, panels, picture, answers)


def compare(table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """The contents of gradient.json: of its table, by `resamples` of the parents."""
    chosen, others = table[table["method"] == GRADIENT], table[table["method"] == RANDOM]
    by_gradient = (chosen["val_loss"] - chosen["parent_loss"]).to_numpy()
    by_random = (others["val_loss"] - others["parent_loss"]).to_numpy().reshape(len(chosen), -1)
    best = np.minimum.accumulate(by_random, axis=1)
    predicted = others["predicted"].to_numpy().reshape(by_random.shape)[:, 0]
    names = ["one random change", *(f"the best of {count} random changes" for count in range(2, len(best.T) + 1))]
    columns = dict(zip(names, best.T, strict=True))
    bootstrap = Bootstrap(len(chosen), resamples, seed)
    mean = partial(frame.estimate, bootstrap, frame.mean)
    return {
        "parents": len(chosen),
        "changes": {"the gradient": mean(by_gradient)} | {name: mean(column) for name, column in columns.items()},
        "gradient_minus": {name: mean(by_gradient - column) for name, column in columns.items()},
        "prediction": bootstrap.estimate(partial(spearman, predicted, by_random[:, 0])),
        "gradient_seconds": float(chosen["gradient_seconds"].median()),
        "score_seconds": float(table["seconds"].median()),
    }
