"""A race is a ranking with fewer images: exact for survivors, and it loses none of the best."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from smash_lightning.random_streams import generator
from smash_lightning.strategies.racing import RaceState, Racing, image_order, race, race_scores, undominated

RACING = Racing(first=50, growth=2.0, keep=0.05, min_keep=1, risk=0.05)


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


def run(
    losses: Tensor,
    racing: Racing = RACING,
    seed: int = 0,
    state: RaceState | None = None,
    after: Any = lambda state: None,
) -> RaceState:
    """A race over losses (candidates, images) with one HyperNet; an image is wrong where the loss is above .7."""
    values = torch.stack([losses, (losses > 0.7).double()], 1)
    return race(racing, *losses.shape, seed, lambda active, at: values[list(active)][..., at], state, after)


def share(state: RaceState) -> float:
    """Share of all images that a race took."""
    return sum(state.images) / (len(state.images) * max(state.images))


def recall(racing: Racing, state: RaceState, losses: Tensor) -> float:
    """Share of the truly best candidates that survived."""
    best = losses.mean(1).argsort()[: racing.kept(len(losses))].tolist()
    return len(set(best) & set(state.active)) / len(best)


def val_losses(state: RaceState, keep: int = 1) -> list[float]:
    return [score.val_loss for score in race_scores(state, keep)]


SMALL = population(0.5, images=600, candidates=60)
SMALL_RACING = replace(RACING, keep=0.1)
END = run(SMALL, SMALL_RACING)


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
    rounds, kept, total = len(racing.sizes(5000)) - 1, racing.kept(candidates), 0.0
    assert rounds == 7
    for rank in range(1, kept + 1):
        needed_errors = kept - (rank - 1)
        expected_errors = (candidates - 1) * racing.level(candidates, 5000)
        total += rounds * expected_errors / needed_errors
    assert total / kept == pytest.approx(0.05)


def test_the_best_so_far_is_never_dropped_whatever_the_risk() -> None:
    losses = population(0.0, images=60, candidates=2)
    state = run(losses, replace(RACING, risk=0.99))
    assert state.active == (int(losses[:, image_order(60, 0)[:50]].mean(1).argmin()),)


def test_survivors_have_all_images_and_others_those_of_some_rounds() -> None:
    order = image_order(600, 0)
    assert set(END.images) <= set(SMALL_RACING.sizes(600))
    assert len(set(END.images)) > 2
    assert [c for c, count in enumerate(END.images) if count == 600] == list(END.active)
    assert len(END.active) >= SMALL_RACING.kept(60) == 6
    for candidate, score in enumerate(race_scores(END, 6)):
        assert score.images == END.images[candidate]
        assert torch.equal(END.values[candidate][0], SMALL[candidate, order[: score.images]])
        if candidate in END.active:
            assert score.val_loss == pytest.approx(SMALL[candidate].mean().item(), rel=1e-12)
            assert score.val_error == pytest.approx(100 * (SMALL[candidate] > 0.7).double().mean().item(), rel=1e-12)
    assert recall(SMALL_RACING, END, SMALL) == 1


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
def test_without_risk_a_race_is_a_plain_ranking(spread: float) -> None:
    losses = population(spread, images=300, candidates=40)
    state = run(losses, replace(RACING, risk=0.0))
    assert state.active == tuple(range(40))
    assert share(state) == 1
    assert val_losses(state) == pytest.approx(losses.mean(1).tolist(), rel=1e-12)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_candidates_changes_nothing(seed: int) -> None:
    order = torch.randperm(60, generator=generator("candidates", seed))
    shuffled = run(SMALL[order], SMALL_RACING)
    assert sorted(order[list(shuffled.active)].tolist()) == list(END.active)
    for position, values in enumerate(shuffled.values):
        assert torch.equal(values, END.values[order[position]])


def test_a_resumed_race_is_an_uninterrupted_one_after_every_round() -> None:
    states: list[RaceState] = []
    run(SMALL, SMALL_RACING, after=states.append)
    assert len(states) > 3
    for state in states:
        file = io.BytesIO()
        torch.save((state.values, state.active), file)
        file.seek(0)
        resumed = run(SMALL, SMALL_RACING, state=RaceState(*torch.load(file, weights_only=True)))
        assert resumed.active == END.active
        assert all(torch.equal(a, b) for a, b in zip(resumed.values, END.values, strict=True))


@pytest.mark.parametrize(("candidates", "images"), [(1, 400), (6, 400), (30, 40), (30, 50), (1, 1)])
def test_a_race_with_nothing_to_decide_has_one_round(candidates: int, images: int) -> None:
    losses, states = population(1.0, images, candidates), []
    state = run(losses, replace(RACING, min_keep=6), after=states.append)
    assert len(states) == 1
    assert val_losses(state) == pytest.approx(losses.mean(1).tolist(), rel=1e-12)


def test_when_only_the_best_remain_they_are_scored_on_all_images_at_once() -> None:
    losses, states = population(0.0, images=2000, candidates=20), []
    losses[4:] += 5
    state = run(losses, replace(RACING, min_keep=4), after=states.append)
    assert len(states) == 2
    assert state.active == (0, 1, 2, 3)
    assert share(state) == (20 * 50 + 4 * 1950) / (20 * 2000)


def slow_undominated(losses: Tensor, images: int, keep: int, level: float) -> list[bool]:
    """One pair after the other, from the definitions."""
    n, stays = losses.shape[1], []
    for c, own in enumerate(losses.numpy()):
        differences = [own - other for o, other in enumerate(losses.numpy()) if o != c]
        variances = [difference.var(ddof=1) for difference in differences]
        better = 0
        for difference, variance in zip(differences, variances, strict=True):
            error = math.sqrt(max(variance, sum(variances) / len(variances) / 2) / n * (images - n) / images)
            better += difference.mean() > stats.t.ppf(1 - level, n - 1) * error
        stays.append(better < keep)
    return stays


@pytest.mark.parametrize("keep", [1, 4])
def test_undominated_candidates_are_those_of_all_pairs_one_by_one(keep: int) -> None:
    losses = population(0.7, images=60, candidates=16, seed=keep)
    slow = {level: slow_undominated(losses, 100, keep, level) for level in (1e-6, 0.2)}
    for level, expected in slow.items():
        assert undominated(losses, 100, keep, level) == expected
    assert keep <= sum(slow[0.2]) < sum(slow[1e-6])


def test_equal_candidates_do_not_drop_each_other_by_an_error_of_rounding() -> None:
    losses = population(0.5, images=400, candidates=40)
    losses[:6] = losses[losses.mean(1).argmin()].clone()
    losses[1] += 1e-15
    losses[2] *= 1 - 1e-15
    assert set(run(losses, replace(RACING, keep=0.01, risk=0.99)).active) >= set(range(6))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_a_number_is_the_worst(bad: float) -> None:
    losses, order = SMALL.clone(), image_order(600, 0)
    best = int(losses.mean(1).argmin())
    losses[best, order[10]] = bad
    losses[7, order[-1]] = bad
    state = run(losses, SMALL_RACING)
    means = val_losses(state, 6)
    assert means[best] == math.inf
    assert state.images[best] == 50
    assert all(math.isfinite(mean) for c, mean in enumerate(means) if c not in (best, 7))
    assert recall(SMALL_RACING, state, torch.where(losses.isfinite(), losses, 1e9)) == 1


def test_with_too_few_finite_candidates_none_is_dropped() -> None:
    losses, racing = torch.full((10, 200), math.nan, dtype=torch.float64), replace(RACING, min_keep=3)
    assert val_losses(run(losses, racing), 3) == [math.inf] * 10
    losses[4:6] = population(0.1, images=200, candidates=2)
    state = run(losses, racing)
    assert state.active == tuple(range(10))
    assert sum(math.isfinite(mean) for mean in val_losses(state, 3)) == 2


def race_state(complete: Tensor, dropped: Sequence[Tensor]) -> RaceState:
    """The end of a race over losses of survivors (candidates, images), and of others on the first images."""
    values = [torch.stack([losses, losses]) for losses in [*complete, *dropped]]
    return RaceState(tuple(values), tuple(range(len(complete))))


def test_a_constant_difference_is_estimated_without_error() -> None:
    shared = population(0.0, images=100, candidates=3)
    group, mean = shared.mean(0), shared.mean().item()
    state = race_state(shared, [group[:1] + 0.25, group[:40] - 0.5, group[:99]])
    estimates = [score.val_losses[0] for score in race_scores(state, 1)]
    assert estimates == pytest.approx([*shared.mean(1).tolist(), mean + 0.25, mean - 0.5, mean], abs=1e-12)
    # Who was dropped has no lower loss than the best survivors.
    assert val_losses(state, 2)[4] == sorted(shared.mean(1).tolist())[1]


def test_estimates_are_unbiased_and_better_than_the_mean_of_the_first_images() -> None:
    losses = population(0.3, images=1000, candidates=40)
    true_means = losses.mean(1)[10:]
    ours, plain = [], []
    for seed in range(100):
        ordered = losses[:, image_order(1000, seed)]
        scores = race_scores(race_state(ordered[:10], list(ordered[10:, :60])), 1)
        ours.append(torch.tensor([score.val_losses[0] for score in scores[10:]], dtype=torch.float64) - true_means)
        plain.append(ordered[10:, :60].mean(1) - true_means)
    errors, before = torch.stack(ours), torch.stack(plain)
    assert (errors.mean(0).abs() < 5 * errors.std(0) / math.sqrt(100)).all()
    assert errors.square().mean() < 0.8 * before.square().mean()
    # What all images share is most of the noise, so the order of candidates of few images and of many is better too.
    assert (errors.mean(1)).square().mean() < 0.2 * before.mean(1).square().mean()


@pytest.mark.parametrize("kind", ["normal", "heavy", "copies", "disasters", "confident"])
@pytest.mark.parametrize("spread", [2.0, 0.4, 0.01])
def test_the_best_are_found_whatever_the_spread(spread: float, kind: str) -> None:
    found, shares = [], []
    for seed in range(4):
        losses = population(spread, seed=seed, kind=kind)
        state = run(losses, seed=seed)
        found.append(recall(RACING, state, losses))
        shares.append(share(state))
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
        lost += recall(racing, run(losses, racing, seed), losses) < 1
    assert 0.02 * 150 < lost < 0.5 * 150
