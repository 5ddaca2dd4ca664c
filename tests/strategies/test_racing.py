"""A race is a ranking with fewer images: exact for survivors, and it loses none of the best."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from smash_lightning.random_streams import generator
from smash_lightning.strategies.racing import (
    MIN_CLASS_IMAGES,
    Race,
    RaceState,
    Racing,
    class_balanced_order,
    estimated_means,
    undominated,
)

RACING = Racing(first=50, growth=2.0, keep=0.05, min_keep=1, risk=0.05)
CLASSES = 10


def population(spread: float, images: int = 1000, candidates: int = 250, seed: int = 0, kind: str = "normal") -> Tensor:
    """Cross-entropies (candidates, images) of margins: skill, minus the image's difficulty, and independent noise.

    Args:
        spread: standard deviation of the skills; that of the noise is about 1.
        images: number of images.
        candidates: number of candidates.
        seed: of all random numbers.
        kind: "heavy" tails of the noise; "copies": each image occurs four times, nearly equal; "disasters": half of the
            candidates are better but for one image in a hundred, which costs them the same; "confident": all losses
            are small but for one in a hundred, which costs those most that are best elsewhere.
    """
    rng = generator("population", kind, seed)
    different = images // 4 if kind == "copies" else images

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    noise = normal(candidates, different)
    if kind == "heavy":  # Student's t with three degrees of freedom
        noise = 0.6 * noise / (normal(3, candidates, different).square().mean(0)).sqrt()
    skills = spread * normal(candidates, 1)
    if kind == "confident":
        wrong = torch.rand(candidates, images, generator=rng) < 0.01
        return F.softplus(-6 - 2 * skills + noise) + wrong * (3 + 2 * skills).clamp(min=0.5)
    losses = F.softplus(-2 * (1.5 + skills - 1.2 * normal(different) + noise))
    if kind == "copies":
        losses = losses.repeat(1, 4) + 0.05 * normal(candidates, images)
    if kind == "disasters":
        struck = torch.rand(candidates, images, generator=rng) < 0.01
        losses[::2] += 8 * struck[::2] - 0.08
    return losses


def race_on(losses: Tensor, racing: Racing = RACING, seed: int = 0) -> Race:
    return Race(racing, len(losses), torch.arange(losses.shape[1]) % CLASSES, seed)


def step(race: Race, state: RaceState, losses: Tensor) -> RaceState:
    return race.update(state, losses[list(state.active)][:, race.positions(state)])


def run(race: Race, losses: Tensor, state: RaceState | None = None) -> RaceState:
    state = state or race.init()
    while len(race.positions(state)):
        state = step(race, state, losses)
    return state


def same(first: RaceState, second: RaceState) -> bool:
    equal = all(torch.equal(a, b) for a, b in zip(first.losses, second.losses, strict=True))
    return equal and first.active == second.active


def recall(race: Race, state: RaceState, losses: Tensor) -> float:
    """Share of the truly best candidates that survived."""
    best = losses.mean(1).argsort()[: race.keep].tolist()
    return len(set(best) & set(state.active)) / race.keep


SMALL = population(0.5, images=600, candidates=60)
RACE = race_on(SMALL, replace(RACING, keep=0.1))
END = run(RACE, SMALL)


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=9), seed=st.integers(0, 2**32))
def test_every_prefix_of_the_order_has_each_class_to_within_one_image(sizes: list[int], seed: int) -> None:
    labels = torch.tensor([3 * label for label, size in enumerate(sizes) for _ in range(size)])
    order = class_balanced_order(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        seen = (labels[order] == 3 * label).cumsum(0)
        lengths = torch.arange(1, len(labels) + 1)
        assert ((seen * len(labels) - lengths * size).abs() < len(labels)).all()


def test_equal_classes_alternate_and_their_images_come_in_random_order() -> None:
    labels = torch.arange(70) % 7
    turns = labels[class_balanced_order(labels, 3)].reshape(10, 7)
    assert (turns.sort(1).values == torch.arange(7)).all()
    labels = torch.arange(8) % 2
    first = torch.tensor([class_balanced_order(labels, seed)[0].item() for seed in range(800)]).bincount(minlength=8)
    assert first.min() > 60  # 100 each, with a standard deviation of 9
    assert first.max() < 140
    assert torch.equal(class_balanced_order(labels, 5), class_balanced_order(labels, 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": 19}, "racing.first must be at least 20 images, got 19"),
        ({"growth": 1.0}, "racing.growth must be above 1, such as 2, got 1.0"),
        ({"growth": math.inf}, "racing.growth must be above 1"),
        ({"growth": math.nan}, "racing.growth must be above 1"),
        ({"keep": 0.0}, "racing.keep must be a share above 0 and up to 1, got 0.0"),
        ({"keep": 12.0}, "racing.keep must be a share"),
        ({"min_keep": 0}, "racing.min_keep must be at least 1 candidate, got 0"),
        ({"risk": -0.1}, "racing.risk must be a share from 0 to below 1, got -0.1"),
        ({"risk": 1.0}, "racing.risk must be a share"),
    ],
)
def test_impossible_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^ranking.{message}"):
        replace(RACING, **change)


@pytest.mark.parametrize(
    ("keep", "min_keep", "candidates", "kept"),
    [(0.05, 1, 250, 13), (0.05, 20, 250, 20), (0.05, 20, 8, 8), (0.07, 1, 100, 7), (1.0, 1, 30, 30), (0.01, 1, 3, 1)],
)
def test_number_of_candidates_to_be_found(keep: float, min_keep: int, candidates: int, kept: int) -> None:
    assert replace(RACING, keep=keep, min_keep=min_keep).kept(candidates) == kept


@given(first=st.integers(20, 300), growth=st.floats(1.01, 9), images=st.integers(1, 9000))
def test_rounds_grow_to_all_images(first: int, growth: float, images: int) -> None:
    sizes = replace(RACING, first=first, growth=growth).sizes(images)
    assert sizes[-1] == images
    assert sizes[0] == min(first, images)
    for i in range(len(sizes) - 1):
        assert sizes[i] < sizes[i + 1] <= growth * (sizes[i] + 1) + 1  # but for rounding, `growth` times


@pytest.mark.parametrize(("candidates", "keep"), [(250, 0.05), (40, 0.5), (20, 0.01), (5, 1.0)])
def test_probabilities_to_lose_one_of_the_best_add_up_to_the_risk(candidates: int, keep: float) -> None:
    racing = replace(RACING, keep=keep)
    tests, kept, total = len(racing.sizes(5000)) - 1, racing.kept(candidates), 0.0
    assert tests == 7
    for rank in range(1, kept + 1):
        needed_errors = kept - (rank - 1)
        expected_errors = (candidates - 1) * racing.level(candidates, 5000)
        total += tests * expected_errors / needed_errors
    assert total / kept == pytest.approx(0.05)


def test_the_best_so_far_is_never_dropped_whatever_the_risk() -> None:
    losses = population(0.0, images=60, candidates=2)
    race = race_on(losses, replace(RACING, risk=0.99))
    state = step(race, race.init(), losses)
    assert state.active == (int(losses[:, race.order[:50]].mean(1).argmin()),)


def test_survivors_have_all_images_and_others_those_of_some_rounds() -> None:
    images = [len(losses) for losses in END.losses]
    assert set(images) <= set(RACE.racing.sizes(600))
    assert len(set(images)) > 2
    assert [c for c, count in enumerate(images) if count == 600] == list(END.active)
    assert len(END.active) >= RACE.keep == 6
    assert RACE.image_share(END) == sum(images) / SMALL.numel()
    means = estimated_means(END.losses)
    for candidate, count in enumerate(images):
        assert torch.equal(END.losses[candidate], SMALL[candidate, RACE.order[:count]])
        if candidate in END.active:
            assert means[candidate] == pytest.approx(SMALL[candidate].mean().item(), rel=1e-12)
    assert recall(RACE, END, SMALL) == 1


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
def test_without_risk_a_race_is_a_plain_ranking(spread: float) -> None:
    losses = population(spread, images=300, candidates=40)
    race = race_on(losses, replace(RACING, risk=0.0))
    state = run(race, losses)
    assert state.active == tuple(range(40))
    assert race.image_share(state) == 1
    assert estimated_means(state.losses) == pytest.approx(losses.mean(1).tolist(), rel=1e-12)


def test_a_smaller_risk_drops_fewer() -> None:
    shares = []
    for risk in (0.9, 0.05, 1e-4, 1e-12, 0.0):
        race = race_on(SMALL, replace(RACING, risk=risk))
        shares.append(race.image_share(run(race, SMALL)))
    assert shares == sorted(shares)
    assert len(set(shares)) == 5


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_candidates_changes_nothing(seed: int) -> None:
    order = torch.randperm(60, generator=generator("candidates", seed))
    shuffled = run(RACE, SMALL[order])
    assert sorted(order[list(shuffled.active)].tolist()) == list(END.active)
    for position, losses in enumerate(shuffled.losses):
        assert torch.equal(losses, END.losses[order[position]])


def test_a_resumed_race_is_an_uninterrupted_one_after_every_round() -> None:
    state, rounds = RACE.init(), 0
    while len(RACE.positions(state)):
        file = io.BytesIO()
        torch.save(asdict(state), file)
        file.seek(0)
        restored = RaceState(**torch.load(file, weights_only=True))
        assert same(restored, state)
        assert same(run(RACE, SMALL, restored), END)
        assert same(restored, state), "a state is never changed"
        state, rounds = step(RACE, state, SMALL), rounds + 1
    assert rounds > 3


@pytest.mark.parametrize(("candidates", "images"), [(1, 400), (6, 400), (30, 40), (30, 50), (1, 1)])
def test_a_race_with_nothing_to_decide_has_one_round(candidates: int, images: int) -> None:
    losses = population(1.0, images, candidates)
    race = race_on(losses, replace(RACING, min_keep=6))
    state = step(race, race.init(), losses)
    assert not len(race.positions(state))
    assert estimated_means(state.losses) == pytest.approx(losses.mean(1).tolist(), rel=1e-12)


def test_when_only_the_best_remain_they_are_scored_on_all_images_at_once() -> None:
    losses = population(0.0, images=2000, candidates=20)
    losses[4:] += 5
    race = race_on(losses, replace(RACING, min_keep=4))
    state = step(race, step(race, race.init(), losses), losses)
    assert not len(race.positions(state))
    assert state.active == (0, 1, 2, 3)
    assert race.image_share(state) == (20 * 50 + 4 * 1950) / (20 * 2000)


def slow_undominated(losses: Tensor, labels: Tensor, images: int, keep: int, level: float) -> list[bool]:
    """One pair after the other, one class after the other, from the definitions."""
    n = losses.shape[1]
    groups: list[list[int]] = [[]]
    for label in sorted(set(labels.tolist())):
        members = [i for i in range(n) if labels[i] == label]
        if len(members) < MIN_CLASS_IMAGES:
            groups[0] += members
        else:
            groups.append(members)
    if len(groups[0]) == 1:
        groups = [list(range(n))]
    groups = [group for group in groups if group]
    stays = []
    for c, own in enumerate(losses.numpy()):
        differences = [own - other for o, other in enumerate(losses.numpy()) if o != c]
        variances = [sum(len(group) / n * np.var(d[group], ddof=1) for group in groups) for d in differences]
        better = 0
        for difference, variance in zip(differences, variances, strict=True):
            error = math.sqrt(max(variance, np.mean(variances) / 2) / n * (images - n) / images)
            better += difference.mean() > stats.t.ppf(1 - level, n - len(groups)) * error
        stays.append(better < keep)
    return stays


@pytest.mark.parametrize("counts", [(60,), (20, 20, 20), (30, 8, 7, 3), (40, 19, 1), (7,) * 6, (50, 3, 3, 2)])
@pytest.mark.parametrize("keep", [1, 4])
def test_undominated_candidates_are_those_of_all_pairs_one_by_one(counts: tuple[int, ...], keep: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    losses = population(0.7, images=len(labels), candidates=16, seed=keep)
    losses += labels * torch.linspace(-0.2, 0.2, 16)[:, None]  # some are better at some classes
    slow = {level: slow_undominated(losses, labels, 100, keep, level) for level in (1e-6, 0.2)}
    for level, expected in slow.items():
        assert undominated(losses, labels, 100, keep, level).tolist() == expected
    assert keep <= sum(slow[0.2]) < sum(slow[1e-6])


def test_differences_between_classes_are_not_noise() -> None:
    """Of two candidates one is a little better, and much better at some classes than at others."""
    labels = torch.arange(100) % CLASSES
    losses = 0.1 * torch.randn(2, 100, generator=generator("classes"), dtype=torch.float64)
    losses[1] += 0.1 + (labels.double() - 4.5)
    assert undominated(losses, labels, 1000, 1, 1e-4).tolist() == [True, False]
    assert undominated(losses, torch.zeros(100), 1000, 1, 1e-4).tolist() == [True, True]


def test_only_the_remaining_images_are_uncertain() -> None:
    labels, losses = torch.zeros(100), population(0.1, images=100, candidates=30)
    stays = [undominated(losses, labels, images, 2, 0.01).sum().item() for images in (10**9, 200, 110, 101)]
    assert stays == sorted(stays, reverse=True)
    assert stays[0] > 20
    assert stays[-1] < 10


def test_equal_candidates_do_not_drop_each_other_by_an_error_of_rounding() -> None:
    losses = population(0.5, images=400, candidates=40)
    losses[:6] = losses[losses.mean(1).argmin()].clone()
    losses[1] += 1e-15
    losses[2] *= 1 - 1e-15
    race = race_on(losses, replace(RACING, keep=0.01, risk=0.99))
    assert race.keep == 1
    assert set(run(race, losses).active) >= set(range(6))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_a_number_is_the_worst(bad: float) -> None:
    losses = SMALL.clone()
    best = int(losses.mean(1).argmin())
    losses[best, RACE.order[10]] = bad
    losses[7, RACE.order[-1]] = bad
    state = run(RACE, losses)
    means = estimated_means(state.losses)
    assert means[best] == math.inf
    assert len(state.losses[best]) == 50
    assert all(math.isfinite(mean) for c, mean in enumerate(means) if c not in (best, 7))
    assert recall(RACE, state, torch.where(losses.isfinite(), losses, 1e9)) == 1


def test_with_too_few_finite_candidates_none_is_dropped() -> None:
    losses = torch.full((10, 200), math.nan, dtype=torch.float64)
    race = race_on(losses, replace(RACING, min_keep=3))
    assert estimated_means(run(race, losses).losses) == [math.inf] * 10
    losses[4:6] = population(0.1, images=200, candidates=2)
    state = run(race, losses)
    assert state.active == tuple(range(10))
    assert sum(math.isfinite(mean) for mean in estimated_means(state.losses)) == 2


def test_a_constant_difference_is_estimated_without_error() -> None:
    shared = population(0.0, images=100, candidates=3)
    group, mean = shared.mean(0), shared.mean().item()
    values = [*shared, group[:1] + 0.25, group[:40] - 0.5, group[:99]]
    expected = [*shared.mean(1).tolist(), mean + 0.25, mean - 0.5, mean]
    assert estimated_means(values) == pytest.approx(expected, abs=1e-12)


def test_estimates_are_unbiased_and_better_than_the_mean_of_the_first_images() -> None:
    losses = population(0.3, images=1000, candidates=40)
    true_means, labels = losses.mean(1), torch.arange(1000) % CLASSES
    ours, plain = [], []
    for seed in range(100):
        ordered = losses[:, class_balanced_order(labels, seed)]
        values = [row[:60] if c >= 10 else row for c, row in enumerate(ordered)]
        ours.append(torch.tensor(estimated_means(values), dtype=torch.float64) - true_means)
        plain.append(torch.stack([row.mean() for row in values]) - true_means)
    errors, before = torch.stack(ours), torch.stack(plain)
    assert (errors.mean(0)[10:].abs() < 5 * errors.std(0)[10:] / math.sqrt(100)).all()
    assert errors[:, :10].abs().max() < 1e-12
    assert errors.square().mean() < 0.8 * before.square().mean()
    # What all images share is most of the noise, so the order of candidates of few images and of many is better too.
    assert (errors[:, 10:].mean(1)).square().mean() < 0.2 * before[:, 10:].mean(1).square().mean()


@pytest.mark.parametrize("kind", ["normal", "heavy", "copies", "disasters", "confident"])
@pytest.mark.parametrize("spread", [2.0, 0.4, 0.01])
def test_the_best_are_found_whatever_the_spread(spread: float, kind: str) -> None:
    found, shares = [], []
    for seed in range(4):
        losses = population(spread, seed=seed, kind=kind)
        race = race_on(losses, seed=seed)
        state = run(race, losses)
        found.append(recall(race, state, losses))
        shares.append(race.image_share(state))
    assert sum(found) / 4 >= 0.95
    if spread == 2.0 and kind != "confident":
        assert sum(shares) / 4 <= 1 / 3
    if spread == 0.01:
        assert min(shares) > 2 / 3  # the cost of recall where all are similar


def test_the_risk_is_a_bound_that_is_used() -> None:
    """The hardest case: only the very best is to be found, and it is the best by noise alone."""
    lost = 0
    racing = replace(RACING, risk=0.5, keep=0.01)
    for seed in range(150):
        losses = population(0.0, images=400, candidates=20, seed=seed)
        race = race_on(losses, racing, seed)
        lost += recall(race, run(race, losses), losses) < 1
    assert 0.02 * 150 < lost < 0.5 * 150
