"""A race is a ranking that saves images: exact where it looks to the end, and it loses none of the best."""

from __future__ import annotations

import io
import math
from dataclasses import replace
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
    LEAST_OF_CLASS,
    Race,
    RaceState,
    Racing,
    class_balanced_order,
    full_means,
    race_from_plain,
    race_to_plain,
    staying,
)

RACING = Racing(first=50, growth=2.0, keep=0.05, least=1, risk=0.05)
CLASSES = 10


def population(spread: float, images: int = 1000, candidates: int = 250, seed: int = 0, kind: str = "normal") -> Tensor:
    """Cross-entropies (candidates, images) of margins: skill, less the image's difficulty, and noise of their own.

    Args:
        spread: standard deviation of the skills; that of the noise is about 1.
        images: how many.
        candidates: how many.
        seed: of everything.
        kind: "heavy" tails of the noise; "copies": each image comes four times, nearly alike; "disasters": half of the
            candidates are better but for one image in a hundred, which costs them the same; "confident": all losses
            are small but for one in a hundred, which costs those most that are best elsewhere.
    """
    chance = generator("population", kind, seed)
    different = images // 4 if kind == "copies" else images

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    noise = normal(candidates, different)
    if kind == "heavy":  # Student's t with three degrees of freedom
        noise = 0.6 * noise / (normal(3, candidates, different).square().mean(0)).sqrt()
    skills = spread * normal(candidates, 1)
    if kind == "confident":
        wrong = torch.rand(candidates, images, generator=chance) < 0.01
        return F.softplus(-6 - 2 * skills + noise) + wrong * (3 + 2 * skills).clamp(min=0.5)
    losses = F.softplus(-2 * (1.5 + skills - 1.2 * normal(different) + noise))
    if kind == "copies":
        losses = losses.repeat(1, 4) + 0.05 * normal(candidates, images)
    if kind == "disasters":
        struck = torch.rand(candidates, images, generator=chance) < 0.01
        losses[::2] += 8 * struck[::2] - 0.08
    return losses


def race_on(losses: Tensor, racing: Racing = RACING, seed: int = 0) -> Race:
    return Race(racing, len(losses), torch.arange(losses.shape[1]) % CLASSES, seed)


def score(losses: Tensor, candidates: tuple[int, ...], positions: Tensor) -> Tensor:
    return losses[list(candidates)][:, positions]


def step(race: Race, state: RaceState, losses: Tensor, most: int | None = None) -> RaceState:
    candidates, positions = race.ask(state, most)
    return race.tell(state, candidates, score(losses, candidates, positions))


def run(race: Race, losses: Tensor, state: RaceState | None = None, most: int | None = None) -> RaceState:
    state = state or race.init()
    while state.waiting:
        state = step(race, state, losses, most)
    return state


def same(first: RaceState, second: RaceState) -> bool:
    alike = all(torch.equal(a, b) for a, b in zip(first.losses, second.losses, strict=True))
    return alike and (first.active, first.stop) == (second.active, second.stop)


def found(race: Race, state: RaceState, losses: Tensor) -> float:
    """Share of the truly best that survived."""
    best = losses.mean(1).argsort()[: race.keep].tolist()
    return len(set(best) & set(state.active)) / race.keep


SMALL = population(0.5, images=600, candidates=60)
RACE = race_on(SMALL, replace(RACING, keep=0.1))
END = run(RACE, SMALL)


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=9), seed=st.integers(0, 2**32))
def test_no_class_is_one_image_off_its_share_in_any_beginning(sizes: list[int], seed: int) -> None:
    labels = torch.tensor([3 * label for label, size in enumerate(sizes) for _ in range(size)])
    order = class_balanced_order(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        seen = (labels[order] == 3 * label).cumsum(0)
        places = torch.arange(1, len(labels) + 1)
        assert ((seen * len(labels) - places * size).abs() < len(labels)).all()


def test_equal_classes_take_turns() -> None:
    labels = torch.arange(70) % 7
    turns = labels[class_balanced_order(labels, 3)].reshape(10, 7)
    assert (turns.sort(1).values == torch.arange(7)).all()


def test_within_a_class_chance_decides() -> None:
    labels = torch.arange(8) % 2
    first = torch.tensor([class_balanced_order(labels, seed)[0].item() for seed in range(800)]).bincount(minlength=8)
    assert first.min() > 60  # 100 each, with a standard deviation of 9
    assert first.max() < 140
    assert torch.equal(class_balanced_order(labels, 5), class_balanced_order(labels, 5))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"first": 19}, "racing.first must be at least 20 images, got 19"),
        ({"growth": 1.0}, "racing.growth must be above 1, such as 2, got 1.0"),
        ({"growth": math.inf}, "racing.growth must be above 1"),
        ({"growth": math.nan}, "racing.growth must be above 1"),
        ({"keep": 0.0}, "racing.keep must be a share above 0 and up to 1, got 0.0"),
        ({"keep": 12.0}, "racing.keep must be a share"),
        ({"least": 0}, "racing.least must be at least 1 candidate, got 0"),
        ({"risk": -0.1}, "racing.risk must be a share from 0 to below 1, got -0.1"),
        ({"risk": 1.0}, "racing.risk must be a share"),
    ],
)
def test_impossible_options_are_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^ranking.{says}"):
        replace(RACING, **change)


@pytest.mark.parametrize(
    ("keep", "least", "candidates", "kept"),
    [(0.05, 1, 250, 13), (0.05, 20, 250, 20), (0.05, 20, 8, 8), (0.07, 1, 100, 7), (1.0, 1, 30, 30), (0.01, 1, 3, 1)],
)
def test_what_matters(keep: float, least: int, candidates: int, kept: int) -> None:
    assert replace(RACING, keep=keep, least=least).kept(candidates) == kept


@given(first=st.integers(20, 300), growth=st.floats(1.01, 9), images=st.integers(1, 9000))
def test_rounds_grow_to_all_images(first: int, growth: float, images: int) -> None:
    sizes = replace(RACING, first=first, growth=growth).sizes(images)
    assert sizes[-1] == images
    assert sizes[0] == min(first, images)
    for i in range(len(sizes) - 1):
        assert sizes[i] < sizes[i + 1] <= growth * (sizes[i] + 1) + 1  # but for rounding, `growth` times


@pytest.mark.parametrize(("candidates", "keep"), [(250, 0.05), (40, 0.5), (20, 0.01), (5, 1.0)])
def test_chances_to_lose_one_of_the_best_add_up_to_the_risk(candidates: int, keep: float) -> None:
    racing = replace(RACING, keep=keep)
    tests, kept, total = len(racing.sizes(5000)) - 1, racing.kept(candidates), 0.0
    assert tests == 7
    for rank in range(1, kept + 1):
        others_that_must_win_by_chance = kept - (rank - 1)
        wins_by_chance = (candidates - 1) * racing.level(candidates, 5000)
        total += tests * wins_by_chance / others_that_must_win_by_chance
    assert total / kept == pytest.approx(0.05)


def test_the_best_so_far_never_leaves_whatever_the_risk() -> None:
    losses = population(0.0, images=60, candidates=2)
    race = race_on(losses, replace(RACING, risk=0.99))
    state = step(race, race.init(), losses)
    assert state.active == (int(losses[:, race.order[:50]].mean(1).argmin()),)


def test_everyone_but_survivors_left_at_the_end_of_a_round() -> None:
    sizes = RACE.racing.sizes(600)
    standings = RACE.standings(END)
    images = [standing.images for standing in standings]
    assert set(images) <= set(sizes)
    assert len(set(images)) > 2
    assert [c for c, standing in enumerate(standings) if standing.survived] == list(END.active)
    assert len(END.active) >= RACE.keep == 6
    assert RACE.spent(END) == sum(images) / SMALL.numel()


def test_a_survivor_has_its_exact_mean() -> None:
    for candidate, standing in enumerate(RACE.standings(END)):
        assert torch.equal(END.losses[candidate], SMALL[candidate, RACE.order[: standing.images]])
        if standing.survived:
            assert standing.loss == pytest.approx(SMALL[candidate].mean().item(), rel=1e-12)
    assert found(RACE, END, SMALL) == 1


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
def test_without_risk_a_race_is_a_plain_ranking(spread: float) -> None:
    losses = population(spread, images=300, candidates=40)
    race = race_on(losses, replace(RACING, risk=0.0))
    state = run(race, losses)
    assert state.active == tuple(range(40))
    assert race.spent(state) == 1
    assert [standing.loss for standing in race.standings(state)] == pytest.approx(losses.mean(1).tolist(), rel=1e-12)


def test_a_smaller_risk_drops_fewer() -> None:
    spent = []
    for risk in (0.9, 0.05, 1e-4, 1e-12, 0.0):
        race = race_on(SMALL, replace(RACING, risk=risk))
        spent.append(race.spent(run(race, SMALL)))
    assert spent == sorted(spent)
    assert len(set(spent)) == 5


def test_a_state_is_never_changed() -> None:
    state = step(RACE, RACE.init(), SMALL, 7)
    before = [losses.clone() for losses in state.losses]
    assert same(run(RACE, SMALL, state), END)
    assert all(torch.equal(old, new) for old, new in zip(before, state.losses, strict=True))
    assert same(run(RACE, SMALL), END)
    assert state.waiting == tuple(range(7, 60))


@given(seed=st.integers(0, 2**32))
def test_candidates_may_come_in_any_order(seed: int) -> None:
    order = torch.randperm(60, generator=generator("candidates", seed))
    shuffled = run(RACE, SMALL[order])
    assert sorted(order[list(shuffled.active)].tolist()) == list(END.active)
    expected = RACE.standings(END)
    for place, standing in enumerate(RACE.standings(shuffled)):
        assert standing.loss == pytest.approx(expected[order[place]].loss, rel=1e-12)
        assert standing.images == expected[order[place]].images


@given(most=st.integers(1, 70))
def test_how_many_are_scored_side_by_side_changes_nothing(most: int) -> None:
    assert same(run(RACE, SMALL, most=most), END)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_scores_may_come_back_in_any_order(seed: int) -> None:
    chance, state = generator("returns", seed), RACE.init()
    while state.waiting:
        candidates, positions = RACE.ask(state)
        candidate = candidates[int(torch.randint(len(candidates), (1,), generator=chance))]
        state = RACE.tell(state, [candidate], score(SMALL, (candidate,), positions))
    assert same(state, END)


def test_a_resumed_race_is_an_uninterrupted_one_wherever_it_stopped() -> None:
    state, stops = RACE.init(), 0
    while state.waiting:
        file = io.BytesIO()
        torch.save(race_to_plain(state), file)
        file.seek(0)
        restored = race_from_plain(torch.load(file, weights_only=True))
        assert same(restored, state)
        assert same(run(RACE, SMALL, restored), END)
        state, stops = step(RACE, state, SMALL, 25), stops + 1
    assert stops > 5


def test_what_was_not_asked_for_is_refused() -> None:
    start = RACE.init()
    some = step(RACE, start, SMALL, 2)
    with pytest.raises(ValueError, match=r"candidates \[1\] were told, but \[2, 3,"):
        RACE.tell(some, [1], SMALL[1:2, :50])
    with pytest.raises(ValueError, match=r"candidates \[5, 5\] were told"):
        RACE.tell(some, [5, 5], SMALL[5:7, :50])
    with pytest.raises(ValueError, match="candidate 2 has losses on 49 of 50 images"):
        RACE.tell(some, [2], SMALL[2:3, :49])
    with pytest.raises(ValueError, match="argument 2 is longer"):
        RACE.tell(some, [2], SMALL[2:4, :50])
    with pytest.raises(ValueError, match="the race is not over: 58 candidates are waited for"):
        RACE.standings(some)
    candidates, positions = RACE.ask(END)
    assert not candidates
    assert not len(positions)


@pytest.mark.parametrize(("candidates", "images"), [(1, 400), (6, 400), (30, 40), (30, 50), (1, 1)])
def test_a_race_with_nothing_to_decide_has_one_round(candidates: int, images: int) -> None:
    losses = population(1.0, images, candidates)
    race = race_on(losses, replace(RACING, least=6))
    state = step(race, race.init(), losses)
    assert not state.waiting
    assert [s.loss for s in race.standings(state)] == pytest.approx(losses.mean(1).tolist(), rel=1e-12)


def test_when_only_the_best_are_left_they_go_to_the_end_at_once() -> None:
    losses = population(0.0, images=2000, candidates=20)
    losses[4:] += 5
    race = race_on(losses, replace(RACING, least=4))
    state = step(race, step(race, race.init(), losses), losses)
    assert not state.waiting
    assert state.active == (0, 1, 2, 3)
    assert race.spent(state) == (20 * 50 + 4 * 1950) / (20 * 2000)


def slow_staying(losses: Tensor, labels: Tensor, images: int, keep: int, level: float) -> list[bool]:
    """One pair after the other, one class after the other, from the definitions."""
    n = losses.shape[1]
    groups: list[list[int]] = [[]]
    for label in sorted(set(labels.tolist())):
        members = [i for i in range(n) if labels[i] == label]
        if len(members) < LEAST_OF_CLASS:
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
def test_who_stays_is_what_all_pairs_say_one_by_one(counts: tuple[int, ...], keep: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    losses = population(0.7, images=len(labels), candidates=25, seed=keep)
    losses += labels * torch.linspace(-0.2, 0.2, 25)[:, None]  # some are better at some classes
    for level in (1e-6, 1e-3, 0.2):
        assert staying(losses, labels, 100, keep, level).tolist() == slow_staying(losses, labels, 100, keep, level)
    assert (
        keep <= sum(slow_staying(losses, labels, 100, keep, 0.2)) < sum(slow_staying(losses, labels, 100, keep, 1e-6))
    )


def test_differences_between_classes_are_not_noise() -> None:
    """Of two candidates one is a little better, and much better at some classes than at others."""
    labels = torch.arange(100) % CLASSES
    losses = 0.1 * torch.randn(2, 100, generator=generator("classes"), dtype=torch.float64)
    losses[1] += 0.1 + (labels.double() - 4.5)
    assert staying(losses, labels, 1000, 1, 1e-4).tolist() == [True, False]
    assert staying(losses, torch.zeros(100), 1000, 1, 1e-4).tolist() == [True, True]


def test_images_that_are_left_are_what_is_uncertain() -> None:
    labels, losses = torch.zeros(100), population(0.1, images=100, candidates=30)
    stays = [staying(losses, labels, images, 2, 0.01).sum().item() for images in (10**9, 200, 110, 101)]
    assert stays == sorted(stays, reverse=True)
    assert stays[0] > 20
    assert stays[-1] < 10


def test_twins_do_not_beat_each_other_by_an_error_of_rounding() -> None:
    losses = population(0.5, images=400, candidates=40)
    losses[:6] = losses[losses.mean(1).argmin()].clone()
    losses[1] += 1e-15
    losses[2] *= 1 - 1e-15
    race = race_on(losses, replace(RACING, keep=0.01, risk=0.99))
    assert race.keep == 1
    assert set(run(race, losses).active) >= set(range(6))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_the_worst(bad: float) -> None:
    losses = SMALL.clone()
    best = int(losses.mean(1).argmin())
    losses[best, RACE.order[10]] = bad
    losses[7, RACE.order[-1]] = bad
    standings = RACE.standings(run(RACE, losses))
    assert standings[best].loss == math.inf
    assert standings[best].images == 50
    assert all(math.isfinite(standing.loss) for c, standing in enumerate(standings) if c not in (best, 7))
    assert found(RACE, run(RACE, losses), torch.where(losses.isfinite(), losses, 1e9)) == 1


def test_too_few_sound_candidates_are_no_reason_to_drop_any() -> None:
    losses = torch.full((10, 200), math.nan, dtype=torch.float64)
    race = race_on(losses, replace(RACING, least=3))
    assert [standing.loss for standing in race.standings(run(race, losses))] == [math.inf] * 10
    losses[4:6] = population(0.1, images=200, candidates=2)
    standings = race.standings(run(race, losses))
    assert all(standing.survived for standing in standings)
    assert sum(math.isfinite(standing.loss) for standing in standings) == 2


def test_a_constant_difference_is_estimated_without_error() -> None:
    shared = population(0.0, images=100, candidates=3)
    group, mean = shared.mean(0), shared.mean().item()
    values = [*shared, group[:1] + 0.25, group[:40] - 0.5, group[:99]]
    expected = [*shared.mean(1).tolist(), mean + 0.25, mean - 0.5, mean]
    assert full_means(values) == pytest.approx(expected, abs=1e-12)


def test_estimates_are_right_on_average_and_better_than_the_mean_of_what_was_seen() -> None:
    losses = population(0.3, images=1000, candidates=40)
    truth, labels = losses.mean(1), torch.arange(1000) % CLASSES
    ours, plain = [], []
    for seed in range(100):
        ordered = losses[:, class_balanced_order(labels, seed)]
        values = [row[:60] if c >= 10 else row for c, row in enumerate(ordered)]
        ours.append(torch.tensor(full_means(values), dtype=torch.float64) - truth)
        plain.append(torch.stack([row.mean() for row in values]) - truth)
    errors, before = torch.stack(ours), torch.stack(plain)
    assert (errors.mean(0)[10:].abs() < 5 * errors.std(0)[10:] / math.sqrt(100)).all()
    assert errors[:, :10].abs().max() < 1e-12
    assert errors.square().mean() < 0.8 * before.square().mean()
    # What all images share is most of the noise, so among candidates of few images and of many the order is better too.
    assert (errors[:, 10:].mean(1)).square().mean() < 0.2 * before[:, 10:].mean(1).square().mean()


@pytest.mark.parametrize("kind", ["normal", "heavy", "copies", "disasters", "confident"])
@pytest.mark.parametrize("spread", [2.0, 0.4, 0.01])
def test_the_best_are_found_whatever_the_spread(spread: float, kind: str) -> None:
    recall, spent = [], []
    for seed in range(4):
        losses = population(spread, seed=seed, kind=kind)
        race = race_on(losses, seed=seed)
        state = run(race, losses)
        recall.append(found(race, state, losses))
        spent.append(race.spent(state))
    assert sum(recall) / 4 >= 0.95
    if spread == 2.0 and kind != "confident":
        assert sum(spent) / 4 <= 1 / 3
    if spread == 0.01:
        assert min(spent) > 2 / 3  # what recall costs where all are alike


def test_halving_loses_where_a_race_pays() -> None:
    """At a small spread, halving in each round what is left loses some of the best."""
    halved, raced = [], []
    for seed in range(8):
        losses = population(0.01, images=500, seed=seed)
        race = race_on(losses, seed=seed)
        left = torch.arange(250)
        for images in race.racing.sizes(500)[:-1]:
            order = losses[left][:, race.order[:images]].mean(1).argsort()
            left = left[order[: max(race.keep, len(left) // 2)]]
        halved.append(found(race, RaceState((), tuple(left.tolist()), 500), losses))
        raced.append(found(race, run(race, losses), losses))
    assert sum(halved) / 8 < 0.9
    assert sum(raced) / 8 >= 0.95


def test_the_risk_is_a_bound_that_is_used() -> None:
    """The hardest case: only the very best matters, and chance alone makes it the best."""
    lost = 0
    racing = replace(RACING, risk=0.5, keep=0.01)
    for seed in range(150):
        losses = population(0.0, images=400, candidates=20, seed=seed)
        race = race_on(losses, racing, seed)
        lost += found(race, run(race, losses), losses) < 1
    assert 0.02 * 150 < lost < 0.5 * 150
