"""Scores with the weights of a tiny untrained HyperNet."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator
from smash_lightning.scoring import (
    BatchNormPolicy,
    BatchStatistics,
    RecalibratedStatistics,
    RunningStatistics,
    Score,
    Scorer,
    WarmStart,
)
from smash_lightning.strategies import ArchitecturalGradient, Random, Ranking, rank
from tests.cases import Case, every_bare_case
from tests.scoring.small_scoring_data import CASE, IMAGES, in_doubles, labels, make_scorer

POLICIES: dict[str, BatchNormPolicy] = {
    "recalibrated": RecalibratedStatistics(),
    "running": RunningStatistics(),
    "batch": BatchStatistics(),
}
EXPENSIVE = POLICIES | {"warm start": WarmStart(2)}
every_policy = pytest.mark.parametrize("policy", EXPENSIVE.values(), ids=EXPENSIVE.keys())


@every_policy
@every_bare_case
def test_the_same_architecture_has_the_same_score(case: Case, policy: BatchNormPolicy) -> None:
    one, other = make_scorer(case, policy=policy), make_scorer(case, policy=policy)
    first = one(case.draw(0))
    one(case.draw(1))
    for again in (one(case.draw(0)), other(case.draw(0))):
        assert again.seconds > 0
        assert torch.equal(again.probabilities, first.probabilities)
        assert replace(again, probabilities=first.probabilities) == first
    assert not first.probabilities.requires_grad


@pytest.mark.parametrize("noises", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_score_is_the_mean_over_hypernets_and_draws_of_noise(policy: str, noises: int) -> None:
    one = make_scorer(hypernets=3, batch_size=IMAGES, policy=POLICIES[policy], noises=noises)
    architecture, keys = CASE.draw(4), [("score noise", 0), ("score noise", 0, 1), ("score noise", 0, 2)]
    losses, errors, probabilities = [], [], torch.zeros(IMAGES, 5)
    with torch.no_grad():
        for hypernet in one.hypernets:
            of_noises = []
            for key in keys[:noises]:
                weights = hypernet.weights(architecture, hypernet.weights.noise(architecture, generator(*key)))
                logits = one.policy.predictor(architecture, hypernet, weights, one.data)(one.data.images)
                of_noises.append(F.cross_entropy(logits, labels(CASE)).item())
                errors.append(100 * (logits.argmax(1) != labels(CASE)).float().mean().item())
                probabilities += logits.softmax(1) / (3 * noises)
            losses.append(sum(of_noises) / noises)
            assert len(set(of_noises)) == noises, "each draw gives other weights"
    ours = one(architecture)
    assert ours.val_losses == pytest.approx(losses, rel=1e-5)
    assert ours.val_loss == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert ours.val_error == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    torch.testing.assert_close(ours.probabilities, probabilities)


@pytest.mark.parametrize("kind", ["shared", "without noise"])
def test_samples_of_noise_change_nothing_without_noise(kind: str) -> None:
    three, one = (make_scorer(kind=kind, noises=noises)(CASE.draw(1)) for noises in (3, 1))
    assert three.val_loss == one.val_loss
    assert torch.equal(three.probabilities, one.probabilities)


@every_policy
@pytest.mark.parametrize("noises", [1, 2])
def test_scores_of_single_images_average_to_the_score(policy: BatchNormPolicy, noises: int) -> None:
    one, architecture = make_scorer(hypernets=2, policy=policy, noises=noises), CASE.draw(3)
    *losses, errors_of_images = one.score_images(architecture, torch.arange(IMAGES))
    whole = one(architecture)
    assert [loss.mean().item() for loss in losses] == pytest.approx(list(whole.val_losses), rel=1e-12)
    assert 100 * errors_of_images.mean().item() == pytest.approx(whole.val_error, rel=1e-12)


@pytest.mark.parametrize("policy", ["recalibrated", "running"])
def test_the_loss_of_an_image_does_not_depend_on_the_others(policy: str) -> None:
    one, architecture = in_doubles(make_scorer(hypernets=2, policy=POLICIES[policy])), CASE.draw(3)
    everything = one.score_images(architecture, torch.arange(IMAGES))
    some = torch.tensor([17, 3, 9])
    torch.testing.assert_close(one.score_images(architecture, some), everything[:, some])
    assert len(set(everything[0].tolist())) == IMAGES


@pytest.mark.parametrize("policy", ["recalibrated", "running"])
def test_a_score_does_not_depend_on_the_batch_size(policy: str) -> None:
    losses = [make_scorer(batch_size=size, policy=POLICIES[policy])(CASE.draw(2)).val_loss for size in (1, 7, IMAGES)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@every_policy
def test_scoring_changes_nothing(policy: BatchNormPolicy) -> None:
    one = make_scorer(policy=policy)
    hypernet, given = one.hypernets[0], one.data
    tensors = [*hypernet.weights.parameters(), *hypernet.statistics.buffers(), given.images, given.recalibration]
    tensors += [tensor for batch in given.batches for tensor in batch]
    before = [tensor.clone() for tensor in tensors]
    one(CASE.draw(0))
    one.score_images(CASE.draw(0), torch.arange(3))
    one.gradient(CASE.draw(0))
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert all(parameter.grad is None for parameter in hypernet.weights.parameters())


# --- dE/dc ---


def loss_at(one: Scorer, architecture: Architecture, moved: Tensor) -> float:
    """Mean validation loss with c moved, image by image's batch."""
    total = 0.0
    for hypernet in one.hypernets:
        source: Any = hypernet.weights
        z = source.noise(architecture, generator("score noise", one.seed))
        weights = source.from_c(architecture, source.encode(architecture).double() + moved, z)
        for first in range(0, IMAGES, one.data.batch_size):
            batch = slice(first, first + one.data.batch_size)
            logits = forward(architecture, source.image_spec, weights, one.data.images[batch], UseBatchStatistics())
            total += F.cross_entropy(logits, one.data.labels[batch], reduction="sum").item()
    return total / IMAGES / len(one.hypernets)


@pytest.mark.parametrize("kind", ["conditional", "residual"])
@every_bare_case
def test_the_gradient_is_that_of_finite_differences(case: Case, kind: str) -> None:
    one, architecture = in_doubles(make_scorer(case, hypernets=2, kind=kind, policy=RunningStatistics())), case.draw(1)
    gradient = one.gradient(architecture)
    source: Any = one.hypernets[0].weights
    assert gradient.shape == source.encode(architecture).shape
    assert gradient.any()
    for seed in range(3):
        direction = torch.randn(gradient.shape, generator=generator("direction", seed), dtype=torch.float64)
        step = 1e-5 * direction / direction.norm()
        with torch.no_grad():
            slope = (loss_at(one, architecture, step) - loss_at(one, architecture, -step)) / 2e-5
        expected = (gradient * direction / direction.norm()).sum().item()
        assert slope == pytest.approx(expected, rel=2e-3, abs=1e-5 * gradient.norm().item())


@pytest.mark.parametrize("kind", ["shared", "unconditional"])
def test_weights_that_do_not_come_from_c_have_no_gradient_in_it(kind: str) -> None:
    with pytest.raises(ValueError, match="no function of c and has no gradient in it: use hypernet=conditional"):
        make_scorer(kind=kind).gradient(CASE.draw(0))


# --- with a ranking ---


def scores(one: Scorer) -> Callable[[Sequence[Architecture]], list[Score]]:
    return lambda architectures: [one(architecture) for architecture in architectures]


def test_a_ranking_follows_the_real_gradient() -> None:
    one, calls = make_scorer(), []

    def gradient(architecture: Architecture) -> Tensor:
        calls.append(architecture)
        return one.gradient(architecture)

    proposals = (Random(3), ArchitecturalGradient(2, pool=4, probability=0.2))
    options = {"gradient": gradient, "encoding": one.hypernets[0].weights.encoding}
    ranking = Ranking(CASE.space, proposals, 0, frozenset(), labels(CASE), **options)
    rows = rank(ranking, ranking.init(), scores(one), lambda s, c: None, 1).rows
    best = [min(rows[:count], key=lambda row: row.val_loss).candidate.architecture for count in (3, 4)]
    assert calls == best
    assert [row.candidate.parent for row in rows[3:]] == [architecture.fingerprint for architecture in best]
