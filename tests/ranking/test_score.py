"""Scores with the weights of a tiny HyperNet that is not trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import GeneratedWeights, TrainedHyperNet
from smash_lightning.network import BatchStatistics, RecordedStatistics, forward
from smash_lightning.randomness import generator
from smash_lightning.ranking import Random, Ranking, Scorer, rank
from tests.cases import BARE_CASES, Case, every_bare_case

CASE = BARE_CASES["v1-2d"]


def trained(case: Case, seed: int) -> TrainedHyperNet:
    weights = GeneratedWeights(
        case.encoding,
        case.space.skeleton,
        width=None,
        depths=(2, 1),
        growth=4,
        noise=True,
        generator=generator("tiny", seed),
    )
    return TrainedHyperNet(weights, weights.running_statistics().eval(), frozenset())


def images(case: Case, name: str, count: int) -> Tensor:
    skeleton = case.space.skeleton
    return torch.randn(count, skeleton.channels, *skeleton.size, generator=generator(name))


def scorer(case: Case = CASE, hypernets: int = 1, batch_size: int = 8, policy: Any = "recalibrated") -> Scorer:
    return Scorer(
        [trained(case, seed) for seed in range(hypernets)],
        images(case, "validation", 20),
        torch.arange(20) % 5,
        images(case, "training", 12),
        batch_size=batch_size,
        policy=policy,
        seed=0,
    )


@pytest.mark.parametrize("policy", ["recalibrated", "running", "batch"])
@every_bare_case
def test_the_same_architecture_has_the_same_score(case: Case, policy: str) -> None:
    one, other = scorer(case, policy=policy), scorer(case, policy=policy)
    first = one(case.draw(0))
    one(case.draw(1))
    for again in (one(case.draw(0)), other(case.draw(0))):
        assert (again.error, again.loss, again.loss_by_hypernet) == (first.error, first.loss, first.loss_by_hypernet)
        assert torch.equal(again.probabilities, first.probabilities)
    assert not first.probabilities.requires_grad


def slow_logits(architecture: Architecture, hypernet: TrainedHyperNet, policy: str) -> Tensor:
    noise = hypernet.weights.noise(architecture, generator("score noise", 0))
    weights = hypernet.weights(architecture, noise)
    skeleton = CASE.space.skeleton

    def run(x: Tensor, statistics: Any) -> Tensor:
        return forward(architecture, skeleton, weights, x, statistics, op_norm=False)

    statistics: Any = hypernet.statistics
    if policy == "batch":
        statistics = BatchStatistics()
    if policy == "recalibrated":
        statistics = RecordedStatistics()
        run(images(CASE, "training", 12), statistics)
        statistics.recording = False
    return run(images(CASE, "validation", 20), statistics)


@pytest.mark.parametrize("policy", ["recalibrated", "running", "batch"])
def test_a_score_is_the_mean_over_hypernets(policy: str) -> None:
    ours, architecture = scorer(hypernets=3, batch_size=20, policy=policy)(CASE.draw(4)), CASE.draw(4)
    labels, losses, errors, probabilities = torch.arange(20) % 5, [], [], torch.zeros(20, 5)
    with torch.no_grad():
        for seed in range(3):
            logits = slow_logits(architecture, trained(CASE, seed), policy)
            losses.append(F.cross_entropy(logits, labels).item())
            errors.append(100 * (logits.argmax(1) != labels).float().mean().item())
            probabilities += logits.softmax(1) / 3
    assert ours.loss_by_hypernet == pytest.approx(losses, rel=1e-5)
    assert ours.loss == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert ours.error == pytest.approx(sum(errors) / 3, rel=1e-5)
    torch.testing.assert_close(ours.probabilities, probabilities)
    torch.testing.assert_close(ours.probabilities.sum(1), torch.ones(20))


@pytest.mark.parametrize("policy", ["recalibrated", "running"])
def test_a_score_does_not_depend_on_the_batch_size(policy: str) -> None:
    losses = [scorer(batch_size=size, policy=policy)(CASE.draw(2)).loss for size in (1, 7, 20)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("policy", ["recalibrated", "running", "batch"])
def test_scoring_changes_nothing(policy: str) -> None:
    one = scorer(policy=policy)
    hypernet = one.hypernets[0]
    before = [t.clone() for t in (*hypernet.weights.parameters(), *hypernet.statistics.buffers())]
    one(CASE.draw(0))
    after = [*hypernet.weights.parameters(), *hypernet.statistics.buffers()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_unknown_policies_are_named() -> None:
    with pytest.raises(ValueError, match="statistics must be recalibrated, running or batch, got 'frozen'"):
        scorer(policy="frozen")


def test_a_ranking_steps_with_real_scores() -> None:
    one = scorer()
    ranking = Ranking(CASE.space, (Random(4),), 0, frozenset(), torch.arange(20) % 5)
    states = [
        rank(ranking, ranking.init(), lambda architectures: [one(a) for a in architectures], lambda s, c: None, most)
        for most in (1, 3)
    ]
    assert states[0].rows == states[1].rows
    assert states[0].rows[0].ensemble_error == states[0].rows[0].error
