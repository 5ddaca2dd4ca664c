"""A race: all candidates on a few images, on more only those that may still be among the best.

Candidates are compared on the same images, so that what makes an image hard cancels. One leaves when `keep` others beat
it beyond doubt, which takes more images where candidates are alike. The idea is that of Maron and Moore (1994), whose
bound asks for losses that have one; paired tests in its place are those of Moore and Lee (1994).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from smash_lightning.random_streams import Stream, generator

LEAST_IMAGES = 20  # of the first round: losses are skewed, and a t-test of fewer says little
LEAST_OF_CLASS = 8  # images from which on a class has a variance of its own
LEAST_OF_MEAN = 0.5  # least variance of a difference, as a share of the candidate's mean over all others


@dataclass(frozen=True)
class Racing:
    """What a race looks for, and how it spends images.

    Args:
        first: images of the first round; better so many that good candidates get several of them wrong.
        growth: most by which their number is multiplied from round to round.
        keep: share of the candidates that matters, the best ones.
        least: fewest candidates that matter, whatever their share.
        risk: share of those that a race may lose on average, however little candidates differ; 0 drops none.
    """

    first: int
    growth: float
    keep: float
    least: int
    risk: float

    def __post_init__(self) -> None:
        if self.first < LEAST_IMAGES:
            raise ValueError(f"ranking.racing.first must be at least {LEAST_IMAGES} images, got {self.first}")
        if not 1 < self.growth < math.inf:
            raise ValueError(f"ranking.racing.growth must be above 1, such as 2, got {self.growth}")
        if not 0 < self.keep <= 1:
            raise ValueError(f"ranking.racing.keep must be a share above 0 and up to 1, got {self.keep}")
        if self.least < 1:
            raise ValueError(f"ranking.racing.least must be at least 1 candidate, got {self.least}")
        if not 0 <= self.risk < 1:
            raise ValueError(f"ranking.racing.risk must be a share from 0 to below 1, got {self.risk}")

    def kept(self, candidates: int) -> int:
        """How many of so many candidates matter."""
        return min(candidates, max(self.least, math.ceil(round(self.keep * candidates, 9))))

    def sizes(self, images: int) -> tuple[int, ...]:
        """Images seen by the end of each round: from `first` to all of them, by equal factors."""
        first = min(self.first, images)
        steps = math.ceil(round(math.log(images / first, self.growth), 9))
        return tuple(sorted({round(first * (images / first) ** (i / steps)) for i in range(steps)} | {images}))

    def level(self, candidates: int, images: int) -> float:
        """Error probability of one comparison of two candidates in one round.

        A candidate of true rank r <= keep leaves only if `keep` others seem better. At most r - 1 are, so at least
        s = keep - r + 1 win by chance. On average (candidates - 1) level do at most, and so, by Markov's inequality,
        s do with 1/s of that probability at most, however candidates depend on each other. The mean over the best,
        s = 1 to keep, is (candidates - 1) level (1 + 1/2 + ... + 1/keep) / keep. All rounds together get `risk`.
        """
        keep, tests = self.kept(candidates), len(self.sizes(images)) - 1
        harmonic = sum(1 / s for s in range(1, keep + 1))
        level = self.risk * keep / (max(1, tests) * max(1, candidates - 1) * harmonic)
        return min(level, 0.5)  # one that is not even behind stays


@dataclass(frozen=True, slots=True)
class RaceState:
    """Where a race stands.

    Args:
        losses: of each candidate (images so far,), in the order of the race.
        active: candidates that are still in the race.
        stop: images that each of them is scored on by the end of this round.
    """

    losses: tuple[Tensor, ...]
    active: tuple[int, ...]
    stop: int

    @property
    def waiting(self) -> tuple[int, ...]:
        """Candidates that this round has yet to score; none when the race is over."""
        return tuple(candidate for candidate in self.active if len(self.losses[candidate]) < self.stop)


@dataclass(frozen=True, slots=True)
class Standing:
    """What came of a candidate.

    Args:
        loss: mean over all images, exact for a survivor, estimated for others; inf if a single loss is not finite.
        images: how many it was scored on.
        survived: whether these are all.
    """

    loss: float
    images: int
    survived: bool


@dataclass(frozen=True)
class Race:
    """The procedure, stepped by `ask` and `tell`: what it does is a function of the losses.

    Args:
        racing: the options.
        candidates: how many take part, 1 or more.
        labels: of the validation images (images,).
        seed: of the order of the images.
    """

    racing: Racing
    candidates: int
    labels: Tensor
    seed: int
    order: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", class_balanced_order(self.labels, self.seed))

    @property
    def keep(self) -> int:
        """Candidates that matter."""
        return self.racing.kept(self.candidates)

    def init(self) -> RaceState:
        """All are in the race, on no image yet."""
        everyone, nothing = tuple(range(self.candidates)), torch.zeros(0, dtype=torch.float64)
        return RaceState((nothing,) * self.candidates, everyone, self._stop_after(0, everyone))

    def ask(self, state: RaceState, most: int | None = None) -> tuple[tuple[int, ...], Tensor]:
        """Up to `most` candidates that may be scored side by side, and positions of the validation images to take."""
        candidates = state.waiting[:most]
        start = len(state.losses[candidates[0]]) if candidates else state.stop
        return candidates, self.order[start : state.stop]

    def tell(self, state: RaceState, candidates: Sequence[int], losses: Tensor) -> RaceState:
        """Adds losses (candidates, images) of some that were asked for; the last ones end the round.

        Raises:
            ValueError: a candidate was not asked for, or there are more or fewer losses.
        """
        if len(set(candidates) & set(state.waiting)) < len(candidates):
            raise ValueError(f"candidates {list(candidates)} were told, but {list(state.waiting)} are waited for")
        known = list(state.losses)
        losses = losses.double().cpu()
        losses = losses.where(losses.isfinite(), math.inf)  # one that is no number is the worst
        for candidate, new in zip(candidates, losses, strict=True):
            known[candidate] = torch.cat([known[candidate], new])
            if len(known[candidate]) != state.stop:
                raise ValueError(f"candidate {candidate} has losses on {len(known[candidate])} of {state.stop} images")
        state = replace(state, losses=tuple(known))
        return state if state.waiting or state.stop == len(self.labels) else self._next_round(state)

    def spent(self, state: RaceState) -> float:
        """Images scored so far, as a share of what all candidates on all images take."""
        return sum(len(losses) for losses in state.losses) / (self.candidates * len(self.labels))

    def standings(self, state: RaceState) -> list[Standing]:
        """What came of each candidate, in their order. Raises ValueError while the race is not over."""
        if state.waiting:
            raise ValueError(f"the race is not over: {len(state.waiting)} candidates are waited for")
        images = [len(losses) for losses in state.losses]
        means = full_means(state.losses)
        return [Standing(mean, n, n == len(self.labels)) for mean, n in zip(means, images, strict=True)]

    def _next_round(self, state: RaceState) -> RaceState:
        losses = torch.stack([state.losses[candidate] for candidate in state.active])
        labels = self.labels.cpu()[self.order[: state.stop]]
        level = self.racing.level(self.candidates, len(self.labels))
        stays = staying(losses, labels, len(self.labels), self.keep, level).tolist()
        active = tuple(candidate for candidate, stay in zip(state.active, stays, strict=True) if stay)
        return RaceState(state.losses, active, self._stop_after(state.stop, active))

    def _stop_after(self, stop: int, active: tuple[int, ...]) -> int:
        # When only those are left that matter, nothing remains to be decided.
        images = len(self.labels)
        return images if len(active) <= self.keep else next(n for n in self.racing.sizes(images) if n > stop)


def staying(losses: Tensor, labels: Tensor, images: int, keep: int, level: float) -> Tensor:
    """Which candidates stay: those that fewer than `keep` others beat in a t-test of the differences.

    Their mean varies with the variance within classes only, since every class has its share (a fifth of the variance
    lies between classes on digits), and only as far as images are left. Where losses are small but for rare errors, two
    candidates that have not erred yet seem to differ beyond doubt. What an error does to the variance, others show:
    no difference counts as much steadier than a candidate's differences are on average. (With simulated errors of 1 %,
    recall rose from .4 to 1; on digits it takes 1 % more images.)

    Args:
        losses: of those in the race (candidates, n), on the same images.
        labels: of these images (n,).
        images: of how many the n are a part.
        keep: candidates that matter.
        level: error probability of one test.

    Returns:
        (candidates,) of bool; `keep` or more are True.
    """
    finite = losses.isfinite().all(1)
    if finite.sum() < keep:
        return torch.ones_like(finite)
    losses, n = losses[finite], losses.shape[1]
    residuals, classes = _within_classes(losses, labels)
    products = residuals @ residuals.T / n
    variance = products.diagonal()[:, None] + products.diagonal() - 2 * products
    variance = torch.maximum(variance, LEAST_OF_MEAN * variance.sum(1, keepdim=True) / max(1, len(losses) - 1))
    doubt = float(stats.t.isf(level, n - classes)) * (variance / n * (1 - n / images)).sqrt()
    mean = losses.mean(1)
    stays = finite.clone()
    stays[finite] = (mean[:, None] - mean > doubt).sum(1) < keep
    return stays


def _within_classes(losses: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Deviations (candidates, n) from the mean of their class, and the number of classes.

    They are scaled such that their mean square is the mean variance of a class, without bias. Classes that have few
    images yet count as one; with a single such image all do, since alone it would have no variance.
    """
    _, of_class, counts = labels.unique(return_inverse=True, return_counts=True)
    few = counts[of_class] < LEAST_OF_CLASS
    together = few if few.sum() != 1 else torch.ones_like(few)
    _, of_class, counts = of_class.where(~together, -1).unique(return_inverse=True, return_counts=True)
    means = losses.new_zeros(len(losses), len(counts)).index_add_(1, of_class, losses) / counts
    return (losses - means[:, of_class]) * (counts / (counts - 1)).sqrt()[of_class], len(counts)


def full_means(values: Sequence[Tensor]) -> list[float]:
    """Means over all images, of losses or errors that some candidates have on the first images only.

    A control variate. Those who were seen on all images average M over these, and m over the first n. As images are
    hard or easy for all, a candidate's mean x over the first n misses its mean over all about as m misses M, and
    x + (M - m) is the estimate: without bias for a given n, and as noisy as its difference to the others. (On digits a
    coefficient fitted to the n images did worse than 1.)

    Args:
        values: of each candidate (its images,), in one order of the images.
    """
    images = max(len(own) for own in values)
    complete = [own for own in values if len(own) == images and own.isfinite().all()]
    shared = torch.stack(complete).mean(0) if complete else torch.zeros(images, dtype=torch.float64)
    return [(own.mean() + (shared.mean() - shared[: len(own)].mean())).item() for own in values]


def class_balanced_order(labels: Tensor, seed: int) -> Tensor:
    """Positions of all images in an order whose every beginning is balanced: no class is a whole image off its share.

    Within a class the order is random. Image j = 0, 1, ... of a class of m belongs between the places j n / m and
    (j + 1) n / m of all n. Such an order exists (the chairman assignment problem, Tijdeman 1980), and taking what is
    due first finds it.

    Args:
        labels: (images,).
        seed: of the order.
    """
    chance, labels, n = generator(Stream.RACE_ORDER, seed), labels.cpu(), len(labels)
    shuffled, classes = torch.randperm(n, generator=chance), labels.unique()
    windows = []  # of an image: first place, place it is due before, turn of its class among equals, position
    for turn, label in enumerate(classes[torch.randperm(len(classes), generator=chance)]):
        members = shuffled[labels[shuffled] == label].tolist()
        m = len(members)
        windows += [(j * n // m, -(-(j + 1) * n // m), turn, position) for j, position in enumerate(members)]
    windows.sort(reverse=True)
    ready: list[tuple[int, int, int]] = []
    order = []
    for place in range(n):
        while windows and windows[-1][0] <= place:
            heapq.heappush(ready, windows.pop()[1:])
        order.append(heapq.heappop(ready)[-1])
    return torch.tensor(order)


def race_to_plain(state: RaceState) -> dict[str, Any]:
    """A state as plain values and tensors, which `torch.load(weights_only=True)` reads back."""
    return {"losses": list(state.losses), "active": list(state.active), "stop": state.stop}


def race_from_plain(plain: dict[str, Any]) -> RaceState:
    """Inverse of `race_to_plain`."""
    return RaceState(tuple(plain["losses"]), tuple(plain["active"]), plain["stop"])
