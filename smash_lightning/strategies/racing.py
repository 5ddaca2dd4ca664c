"""Racing: all candidates are scored on a few images, on more only those that may still be among the best.

Candidates are compared on the same images, so that the difficulty of an image cancels. A candidate is dropped when
`keep` others are significantly better, which takes more images where candidates are similar. The idea is that of Maron
and Moore (1994), whose bound requires bounded losses; paired tests in its place are those of Moore and Lee (1994).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.engine import Pool
from smash_lightning.files import atomic_write
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring import Score, Scorer
from smash_lightning.training import load_checkpoint

MIN_IMAGES = 20  # of the first round: losses are skewed, and a t-test of fewer shows little
MIN_CLASS_IMAGES = 8  # a class with fewer has no variance of its own
MIN_VARIANCE_SHARE = 0.5  # least variance of a difference, as a share of the candidate's mean over all others


@dataclass(frozen=True)
class Racing:
    """Options of a race.

    Args:
        first: images of the first round; enough that good candidates get several of them wrong.
        growth: largest factor between the numbers of images of two rounds.
        keep: share of the candidates that is to be found, the best ones.
        min_keep: fewest candidates to be found, whatever their share.
        risk: share of those that a race may lose on average, however little candidates differ; 0 drops none.
    """

    first: int
    growth: float
    keep: float
    min_keep: int
    risk: float

    def __post_init__(self) -> None:
        if self.first < MIN_IMAGES:
            raise ValueError(f"ranking.racing.first must be at least {MIN_IMAGES} images, got {self.first}")
        if not 1 < self.growth < math.inf:
            raise ValueError(f"ranking.racing.growth must be above 1, such as 2, got {self.growth}")
        if not 0 < self.keep <= 1:
            raise ValueError(f"ranking.racing.keep must be a share above 0 and up to 1, got {self.keep}")
        if self.min_keep < 1:
            raise ValueError(f"ranking.racing.min_keep must be at least 1 candidate, got {self.min_keep}")
        if not 0 <= self.risk < 1:
            raise ValueError(f"ranking.racing.risk must be a share from 0 to below 1, got {self.risk}")

    def kept(self, candidates: int) -> int:
        """Number of candidates that are to be found among `candidates`."""
        return min(candidates, max(self.min_keep, math.ceil(round(self.keep * candidates, 9))))

    def sizes(self, images: int) -> tuple[int, ...]:
        """Images scored by the end of each round: from `first` to all of them, by equal factors."""
        first = min(self.first, images)
        steps = math.ceil(round(math.log(images / first, self.growth), 9))
        return tuple(sorted({round(first * (images / first) ** (i / steps)) for i in range(steps)} | {images}))

    def level(self, candidates: int, images: int) -> float:
        """Error probability of one comparison of two candidates in one round.

        A candidate of true rank r <= keep is dropped only if `keep` others seem better. At most r - 1 are, so at least
        s = keep - r + 1 win by error. On average at most (candidates - 1) level do, and so, by Markov's inequality, s
        do with at most 1/s of that probability, however candidates depend on each other. The mean over the best, s = 1
        to keep, is (candidates - 1) level (1 + 1/2 + ... + 1/keep) / keep. All rounds together get `risk`.
        """
        keep, tests = self.kept(candidates), len(self.sizes(images)) - 1
        harmonic = sum(1 / s for s in range(1, keep + 1))
        level = self.risk * keep / (max(1, tests) * max(1, candidates - 1) * harmonic)
        return min(level, 0.5)  # a candidate that is not behind is never dropped


@dataclass(frozen=True, slots=True)
class RaceState:
    """Between two rounds of a race.

    Args:
        losses: of each candidate (images so far,), in the order of the race.
        active: candidates that are still in the race.
    """

    losses: tuple[Tensor, ...]
    active: tuple[int, ...]

    @property
    def images(self) -> int:
        """Images that the active candidates were scored on."""
        return len(self.losses[self.active[0]])


@dataclass(frozen=True)
class Race:
    """The procedure for so many candidates and validation images with labels (images,): a function of the losses."""

    racing: Racing
    candidates: int
    labels: Tensor
    seed: int
    order: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", class_balanced_order(self.labels, self.seed))

    @property
    def keep(self) -> int:
        """Number of candidates that are to be found."""
        return self.racing.kept(self.candidates)

    def init(self) -> RaceState:
        """All candidates are active, without losses."""
        return RaceState((torch.zeros(0, dtype=torch.float64),) * self.candidates, tuple(range(self.candidates)))

    def positions(self, state: RaceState) -> Tensor:
        """Positions of the validation images of the next round; none when the race is finished."""
        images = len(self.labels)
        if len(state.active) <= self.keep:
            return self.order[state.images :]  # nothing remains to be decided
        return self.order[state.images : next((n for n in self.racing.sizes(images) if n > state.images), images)]

    def update(self, state: RaceState, losses: Tensor) -> RaceState:
        """Adds the losses of a round (active candidates, its images), and drops candidates unless it was the last."""
        assert losses.shape == (len(state.active), len(self.positions(state)))
        every, losses = list(state.losses), losses.double().cpu()
        losses = losses.where(losses.isfinite(), math.inf)  # NaN counts as the worst
        for candidate, new in zip(state.active, losses, strict=True):
            every[candidate] = torch.cat([every[candidate], new])
        state = RaceState(tuple(every), state.active)
        if state.images == len(self.labels):
            return state
        seen, labels = torch.stack([every[candidate] for candidate in state.active]), self.labels.cpu()
        level = self.racing.level(self.candidates, len(labels))
        stays = undominated(seen, labels[self.order[: state.images]], len(labels), self.keep, level).tolist()
        return RaceState(state.losses, tuple(c for c, stay in zip(state.active, stays, strict=True) if stay))

    def image_share(self, state: RaceState) -> float:
        """Images scored so far, as a share of all candidates on all images."""
        return sum(len(losses) for losses in state.losses) / (self.candidates * len(self.labels))


def undominated(losses: Tensor, labels: Tensor, images: int, keep: int, level: float) -> Tensor:
    """Candidates (candidates,) of bool to which fewer than `keep` others are superior in a paired t-test.

    The mean difference varies with the variance within classes only, since every class has its share (a fifth of the
    variance is between classes on digits), and only as far as images are left. Where losses are small but for rare
    errors, two candidates without an error so far would differ significantly; the variance of errors is known from
    other pairs, so a difference has at least `MIN_VARIANCE_SHARE` of the candidate's mean variance. (With simulated
    errors of 1 %, recall rose from .4 to 1; on digits it takes 1 % more images.)

    Args:
        losses: of the active candidates (candidates, n), on the same images.
        labels: of these images (n,).
        images: number of all images, of which the n are a part.
        keep: number of candidates to be found.
        level: error probability of one test.
    """
    finite = losses.isfinite().all(1)
    if finite.sum() < keep:
        return torch.ones_like(finite)
    losses, n = losses[finite], losses.shape[1]
    residuals, classes = _within_classes(losses, labels)
    products = residuals @ residuals.T / n
    variance = products.diagonal()[:, None] + products.diagonal() - 2 * products
    variance = torch.maximum(variance, MIN_VARIANCE_SHARE * variance.sum(1, keepdim=True) / max(1, len(losses) - 1))
    margin = float(stats.t.isf(level, n - classes)) * (variance / n * (1 - n / images)).sqrt()
    mean = losses.mean(1)
    stays = finite.clone()
    stays[finite] = (mean[:, None] - mean > margin).sum(1) < keep
    return stays


def _within_classes(losses: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Differences (candidates, n) from the mean of their class, and the number of classes.

    They are scaled such that their mean square is the mean variance of a class, without bias. Classes with few images
    count as one class; with a single such image all classes do, since alone it would have no variance.
    """
    _, of_class, counts = labels.unique(return_inverse=True, return_counts=True)
    few = counts[of_class] < MIN_CLASS_IMAGES
    together = few if few.sum() != 1 else torch.ones_like(few)
    _, of_class, counts = of_class.where(~together, -1).unique(return_inverse=True, return_counts=True)
    means = losses.new_zeros(len(losses), len(counts)).index_add_(1, of_class, losses) / counts
    return (losses - means[:, of_class]) * (counts / (counts - 1)).sqrt()[of_class], len(counts)


def estimated_means(values: Sequence[Tensor]) -> list[float]:
    """Means over all images, of losses or errors that some candidates have on the first images only.

    A control variate. Candidates scored on all images have mean M over these, and m over the first n. As images are
    hard or easy for all, a candidate's mean x over the first n differs from its mean over all about as m from M, and
    x + (M - m) is the estimate, without bias for a given n. (On digits a fitted coefficient did worse than 1.) `values`
    are those of each candidate (its images,), in one order of the images.
    """
    images = max(len(own) for own in values)
    complete = [own for own in values if len(own) == images and own.isfinite().all()]
    shared = torch.stack(complete).mean(0) if complete else torch.zeros(images, dtype=torch.float64)
    return [(own.mean() + (shared.mean() - shared[: len(own)].mean())).item() for own in values]


def class_balanced_order(labels: Tensor, seed: int) -> Tensor:
    """Positions of all images, by labels (images,), such that each prefix has every class to within one of its share.

    Within a class the order is random. Image j = 0, 1, ... of a class of m has its position between j n / m and
    (j + 1) n / m of all n. Such an order exists (the chairman assignment problem, Tijdeman 1980), and taking the
    earliest deadline first finds it.
    """
    rng, labels, n = generator(Stream.RACE_ORDER, seed), labels.cpu(), len(labels)
    shuffled, classes = torch.randperm(n, generator=rng), labels.unique()
    windows = []  # of an image: first position, deadline, order of its class among equals, index
    for turn, label in enumerate(classes[torch.randperm(len(classes), generator=rng)]):
        members = shuffled[labels[shuffled] == label].tolist()
        m = len(members)
        windows += [(j * n // m, -(-(j + 1) * n // m), turn, index) for j, index in enumerate(members)]
    windows.sort(reverse=True)
    ready: list[tuple[int, int, int]] = []
    order = []
    for position in range(n):
        while windows and windows[-1][0] <= position:
            heapq.heappush(ready, windows.pop()[1:])
        order.append(heapq.heappop(ready)[-1])
    return torch.tensor(order)


def run_race(
    racing: Racing,
    architectures: Sequence[Architecture],
    labels: Tensor,
    seed: int,
    workers: int,
    scorer: Scorer,
    path: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[Score], float]:
    """Scores `architectures` in a race; returns scores in their order, and the share of all images that was scored.

    Survivors have loss and error of all images, others an estimate of them.

    Args:
        racing: the options.
        architectures: candidates.
        labels: of the validation images (images,).
        seed: of the order of the images.
        workers: processes, each with a copy of `scorer`.
        scorer: scores candidates on single images.
        path: file of the rounds that are finished, from which an interrupted race resumes; None for no file.
        progress: called with the share of all images after each round.
    """
    race = Race(racing, len(architectures), labels, seed)
    owner = [repr(racing), str(seed), *(architecture.fingerprint for architecture in architectures)]
    state, parts = race.init(), [torch.zeros(len(scorer.hypernets) + 1, 0)] * race.candidates
    if path is not None and path.exists() and (saved := load_checkpoint(path, "owner"))["owner"] == owner:
        state, parts = RaceState(saved["losses"], saved["active"]), saved["parts"]
    with Pool[Any, Tensor](score_images, scorer, workers) as pool:
        while len(positions := race.positions(state)):
            jobs = [(architectures[candidate], positions) for candidate in state.active]
            found = dict(pool.results(jobs, lambda i: f"scoring architecture {jobs[i][0].fingerprint}"))  # noqa: B023
            for i, candidate in enumerate(state.active):
                parts[candidate] = torch.cat([parts[candidate], found[i]], 1)
            state = race.update(state, torch.stack([found[i][:-1].mean(0) for i in range(len(jobs))]))
            if path is not None:
                with atomic_write(path) as partial:
                    torch.save(
                        {"owner": owner, "losses": state.losses, "active": state.active, "parts": parts}, partial
                    )
            progress(race.image_share(state))
    return _scores(race, state, parts), race.image_share(state)


def score_images(scorer: Scorer, job: tuple[Architecture, Tensor], send: object) -> Tensor:
    """`Scorer.score_images` as a job of a pool."""
    del send
    return scorer.score_images(*job)


def _scores(race: Race, state: RaceState, parts: Sequence[Tensor]) -> list[Score]:
    finite = [part.where(part.isfinite(), math.inf) for part in parts]
    means = [estimated_means([part[row] for part in finite]) for row in range(len(parts[0]))]  # losses, then the error
    survivors = sorted(mean for c, mean in enumerate(estimated_means(state.losses)) if c in set(state.active))
    # `keep` others are better than one that was dropped: an estimate that contradicts this is corrected.
    least = survivors[min(race.keep, len(survivors)) - 1]
    scores = []
    for candidate in range(race.candidates):
        *losses, error = (of_row[candidate] for of_row in means)
        mean = sum(losses) / len(losses)
        loss, images = mean if candidate in state.active else max(mean, least), len(state.losses[candidate])
        scores.append(Score(100 * error, loss, tuple(losses), torch.zeros(()), images=images))  # not in the ensemble
    return scores
