"""Racing: all candidates are scored on a few images, on more only those that may still be among the best.

A candidate is dropped when `keep` others are significantly better in a paired t-test on the same images, so that the
difficulty of an image cancels; this takes more images where candidates are similar. The idea is that of Maron and Moore
(1994), whose bound requires bounded losses; paired tests in its place are those of Moore and Lee (1994).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from scipy import stats
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.checkpoint import load_checkpoint, save_checkpoint
from smash_lightning.engine import Engine
from smash_lightning.option_types import Share, require_bounds
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring import Score, Scorer

MIN_VARIANCE_SHARE = 0.5  # least variance of a difference, as a share of the candidate's mean over all others


@dataclass(frozen=True)
class Racing:
    """Options of a race; conf/ranking/racing.yaml explains each."""

    first: Annotated[int, Field(ge=20)]  # losses are skewed, and a t-test of fewer shows little
    growth: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    keep: Share
    min_keep: PositiveInt
    risk: Annotated[float, Field(ge=0, lt=1)]

    def __post_init__(self) -> None:
        require_bounds(self, "ranking.racing")

    def kept(self, candidates: int) -> int:
        """Number of candidates that are to be found among `candidates`."""
        return min(candidates, max(self.min_keep, math.ceil(round(self.keep * candidates, 9))))

    def sizes(self, images: int) -> list[int]:
        """Images scored by the end of each round: from `first` to all of them, by equal factors."""
        first = min(self.first, images)
        steps = math.ceil(round(math.log(images / first, self.growth), 9))
        return sorted({round(first * (images / first) ** (i / steps)) for i in range(steps)} | {images})

    def level(self, candidates: int, images: int) -> float:
        """Error probability of one comparison of two candidates in one round.

        The s-th of the `keep` best from below is dropped only if s candidates seem better by error. On average at most
        (candidates - 1) level do, and so, by Markov's inequality, s do with at most 1/s of that probability, however
        candidates depend on each other. The mean over s = 1 to keep, in all rounds together, is the risk.
        """
        keep, rounds = self.kept(candidates), max(1, len(self.sizes(images)) - 1)
        harmonic = sum(1 / s for s in range(1, keep + 1))
        level = self.risk * keep / (rounds * max(1, candidates - 1) * harmonic)
        return min(level, 0.5)  # a candidate that is not behind is never dropped


@dataclass(frozen=True, slots=True)
class RaceState:
    """Between two rounds of a race: values of each candidate, and the candidates that are still in the race.

    Values are (HyperNets + 1, images so far): losses with each HyperNet, and last whether it was wrong, from 0 to 1.
    """

    values: tuple[Tensor, ...]
    active: tuple[int, ...]

    @property
    def images(self) -> tuple[int, ...]:
        """Number of images that each candidate was scored on."""
        return tuple(values.shape[-1] for values in self.values)


def race(
    racing: Racing,
    candidates: int,
    images: int,
    seed: int,
    score: Callable[[tuple[int, ...], Tensor], Sequence[Tensor]],
    state: RaceState | None = None,
    after: Callable[[RaceState], None] = lambda state: None,
) -> RaceState:
    """Runs a race to its end: its survivors are scored on all images.

    `score` gives values (HyperNets + 1, positions) of each of some candidates on the images at some positions; `after`
    is called with the state after each round; `seed` is that of the order of the images.
    """
    keep, level, order = racing.kept(candidates), racing.level(candidates, images), image_order(images, seed)
    state = state or RaceState((torch.zeros(0),) * candidates, tuple(range(candidates)))
    while (done := max(state.images)) < images:
        # When only `keep` candidates remain, nothing is to be decided.
        last = images if len(state.active) <= keep else next(size for size in racing.sizes(images) if size > done)
        values, active = list(state.values), state.active
        for candidate, new in zip(active, score(active, order[done:last]), strict=True):
            values[candidate] = torch.cat([values[candidate], new.double().cpu()], -1)
        if last < images:
            losses = torch.stack([values[candidate][:-1].mean(0) for candidate in active])
            active = tuple(compress(active, undominated(losses, images, keep, level)))
        state = RaceState(tuple(values), active)
        after(state)
    return state


def image_order(images: int, seed: int) -> Tensor:
    """Positions of all images in the order of a race."""
    return torch.randperm(images, generator=generator(Stream.RACE_ORDER, seed))


def undominated(losses: Tensor, images: int, keep: int, level: float) -> list[bool]:
    """Whether fewer than `keep` others are superior to a candidate in a paired t-test.

    Where losses are small but for rare errors, two candidates without an error so far would differ significantly; the
    variance of errors is known from other pairs, so a difference has at least `MIN_VARIANCE_SHARE` of the candidate's
    mean variance. A candidate with a loss that is not finite is the worst.

    Args:
        losses: of the active candidates (candidates, n), on the same images.
        images: number of all images, of which the n are a random part; only the others are uncertain.
        keep: number of candidates to be found.
        level: error probability of one test.
    """
    finite = losses.isfinite().all(1)
    if finite.sum() < keep:
        return [True] * len(losses)
    losses, n = losses[finite], losses.shape[1]
    covariance = torch.atleast_2d(torch.cov(losses))
    variance = covariance.diagonal()[:, None] + covariance.diagonal() - 2 * covariance  # of the differences
    variance = variance.clamp(min=MIN_VARIANCE_SHARE * variance.sum(1, keepdim=True) / max(1, len(losses) - 1))
    margin = float(stats.t.isf(level, n - 1)) * (variance / n * (1 - n / images)).sqrt()
    mean = losses.mean(1)
    stays = finite.clone()
    stays[finite] = (mean[:, None] - mean > margin).sum(1) < keep
    return stays.tolist()


def race_scores(state: RaceState, keep: int) -> list[Score]:
    """Scores of all candidates: survivors have loss and error of all images, others an estimate of them.

    A control variate: as images are hard or easy for all candidates, the mean of a dropped one over its images is
    corrected by the difference of the survivors' means over all images and over these.
    """
    values = [own.where(own.isfinite(), math.inf) for own in state.values]
    complete = [values[candidate] for candidate in state.active if values[candidate].isfinite().all()]
    shared = torch.stack(complete).mean(0) if complete else torch.zeros_like(values[state.active[0]])
    means = [own.mean(1) + (shared.mean(1) - shared[:, : own.shape[1]].mean(1)) for own in values]
    losses = [mean[:-1].mean().item() for mean in means]
    # `keep` others are better than one that was dropped: an estimate that contradicts this is corrected.
    least = sorted(losses[candidate] for candidate in state.active)[keep - 1]
    scores = []
    for candidate, (mean, images) in enumerate(zip(means, state.images, strict=True)):
        loss = losses[candidate] if candidate in state.active else max(losses[candidate], least)
        no_predictions = torch.zeros(())  # so the candidate is not in the ensemble
        scores.append(Score(100 * mean[-1].item(), loss, tuple(mean[:-1].tolist()), no_predictions, images=images))
    return scores


def run_race(
    racing: Racing,
    architectures: Sequence[Architecture],
    images: int,
    seed: int,
    engine: Engine,
    scorer: Scorer,
    path: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[Score], float]:
    """Scores `architectures` in a race; returns scores in their order, and the share of all images that was scored.

    Each process of `engine` has a copy of `scorer`. The file at `path` keeps finished rounds, from which an interrupted
    race resumes; `progress` is called with the share of all images after each round.
    """
    owner = [repr(racing), str(seed), *(each.digest() for each in scorer.hypernets)]
    owner += [architecture.fingerprint for architecture in architectures]
    state, total = None, images * len(architectures)
    if path is not None and path.exists() and (saved := load_checkpoint(path, "owner")).pop("owner") == owner:
        state = RaceState(**saved)

    def after(state: RaceState) -> None:
        if path is not None:
            save_checkpoint({"owner": owner, "values": state.values, "active": state.active}, path)
        progress(sum(state.images) / total)

    with engine.pool(score_images, scorer) as pool:

        def score(active: tuple[int, ...], positions: Tensor) -> list[Tensor]:
            jobs = [(architectures[candidate], positions) for candidate in active]
            return list(pool.ordered_results(jobs, lambda i: f"scoring architecture {jobs[i][0].fingerprint}"))

        state = race(racing, len(architectures), images, seed, score, state, after)
    return race_scores(state, racing.kept(len(architectures))), sum(state.images) / total


def score_images(scorer: Scorer, job: tuple[Architecture, Tensor], send: object) -> Tensor:
    """`Scorer.score_images` as a job of a pool."""
    del send
    return scorer.score_images(*job)
