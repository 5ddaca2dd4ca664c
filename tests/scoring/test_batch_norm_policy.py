"""Policies against slow versions: from generated weights to predictions."""

import math
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import StandaloneNetwork, Weights
from smash_lightning.random_streams import generator
from smash_lightning.scoring import (
    BatchNormPolicy,
    BatchStatistics,
    RecalibratedStatistics,
    RunningStatistics,
    ScoringData,
    WarmStart,
)
from tests.cases import Case, every_bare_case
from tests.hypernet.kinds import KINDS
from tests.scoring.small_scoring_data import BATCHES, CASE, in_doubles, make_scorer

EVERY: dict[str, BatchNormPolicy] = {
    "recalibrated": RecalibratedStatistics(),
    "running": RunningStatistics(),
    "batch": BatchStatistics(),
    "warm start": WarmStart(BATCHES),
}
every_policy = pytest.mark.parametrize("policy", EVERY.values(), ids=EVERY.keys())


def parts(case: Case, kind: str = "conditional") -> tuple[TrainedHyperNet, ScoringData]:
    """An untrained HyperNet with running averages, and data for scoring."""
    scorer = in_doubles(make_scorer(case, kind=kind))
    for buffer in scorer.hypernets[0].statistics.buffers():
        buffer.uniform_(0.5, 1.5, generator=generator("statistics"))
    return scorer.hypernets[0], scorer.data


def generated(architecture: Architecture, hypernet: TrainedHyperNet) -> Weights:
    source = hypernet.weights
    with torch.no_grad():
        return source(architecture, source.noise(architecture, generator("z")))


def plain_network(architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights) -> StandaloneNetwork:
    """A module whose own parameters are the weights."""
    source = hypernet.weights
    network = StandaloneNetwork(architecture, source.image_spec, op_norm=source.limits.op_norm).double()
    with torch.no_grad():
        for name, parameter in network.weights.named_parameters():
            parameter.copy_(weights[name])
    return network.train()


def recalibrated(network: StandaloneNetwork, images: Tensor) -> StandaloneNetwork:
    """With the moments of one batch in its norms."""
    network.statistics.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def predicted(
    policy: BatchNormPolicy, architecture: Architecture, hypernet: TrainedHyperNet, given: ScoringData
) -> Tensor:
    with torch.no_grad():  # as in a scorer
        return policy.predictor(architecture, hypernet, generated(architecture, hypernet), given)(given.images)


# --- BatchNorm ---


@every_bare_case
def test_recalibrated_is_a_plain_network_after_one_batch(case: Case) -> None:
    hypernet, given = parts(case)
    architecture = case.draw(3)
    network = recalibrated(
        plain_network(architecture, hypernet, generated(architecture, hypernet)), given.recalibration
    )
    with torch.no_grad():
        torch.testing.assert_close(
            predicted(RecalibratedStatistics(), architecture, hypernet, given), network(given.images)
        )


@pytest.mark.parametrize("images", [2, 5, 12])
def test_recalibrated_on_some_images_is_on_the_first_ones(images: int) -> None:
    hypernet, given = parts(CASE)
    some = replace(given, recalibration=given.recalibration[:images])
    found = predicted(RecalibratedStatistics(images), CASE.draw(1), hypernet, given)
    assert torch.equal(found, predicted(RecalibratedStatistics(), CASE.draw(1), hypernet, some))
    everything = predicted(RecalibratedStatistics(), CASE.draw(1), hypernet, given)
    assert torch.equal(found, everything) == (images == 12)


@every_bare_case
def test_running_takes_the_averages_of_the_training(case: Case) -> None:
    hypernet, given = parts(case)
    architecture = case.draw(2)
    network = plain_network(architecture, hypernet, generated(architecture, hypernet)).eval()
    ours, theirs = network.statistics, hypernet.statistics
    for name, i in ours._index.items():
        j = theirs._index[re.sub(r"\.op\d+", "", name)]  # the ops of a block share averages
        for kind in ("mean", "variance"):
            mine = ours.get_buffer(f"{kind}{i}")
            mine.copy_(theirs.get_buffer(f"{kind}{j}")[: len(mine)])
    with torch.no_grad():
        torch.testing.assert_close(predicted(RunningStatistics(), architecture, hypernet, given), network(given.images))


def test_batch_takes_the_moments_of_what_it_predicts() -> None:
    hypernet, given = parts(CASE)
    architecture = CASE.draw(2)
    network = plain_network(architecture, hypernet, generated(architecture, hypernet))  # as in training
    with torch.no_grad():
        torch.testing.assert_close(predicted(BatchStatistics(), architecture, hypernet, given), network(given.images))


# --- a warm start ---


def slow_warm_start(network: StandaloneNetwork, policy: WarmStart, given: ScoringData) -> StandaloneNetwork:
    """Standalone training by torch's plain optimizer, in a loop."""
    optimizer = torch.optim.SGD(network.parameters(), lr=99.0, momentum=policy.momentum, nesterov=True)
    for step in range(policy.steps):
        images, labels = given.batches[step]
        optimizer.param_groups[0]["lr"] = policy.learning_rate * math.cos(math.pi * step / policy.steps / 2) ** 2
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("policy", [WarmStart(1), WarmStart(3, 0.3, 0.5)], ids=["one step", "three steps"])
@every_bare_case
def test_a_warm_start_is_standalone_training_of_a_plain_network(case: Case, policy: WarmStart) -> None:
    hypernet, given = parts(case)
    for seed in range(2):  # both architectures use the same batches
        architecture = case.draw(seed)
        weights = generated(architecture, hypernet)
        network = slow_warm_start(plain_network(architecture, hypernet, weights), policy, given)
        tuned = policy.tuned(architecture, hypernet, weights, given)
        own = dict(network.weights.named_parameters())
        assert tuned.keys() == own.keys()
        for name, weight in tuned.items():
            torch.testing.assert_close(weight, own[name].detach())
            assert not weight.requires_grad
        assert sum(not torch.equal(tuned[name], weights[name]) for name in tuned) > len(tuned) / 2
        ours = predicted(policy, architecture, hypernet, given)
        with torch.no_grad():
            expected = recalibrated(network, given.recalibration)(given.images)
        # `predicted` draws the same z, and so begins with the same weights.
        torch.testing.assert_close(ours, expected)


# --- all of them ---


@every_policy
def test_a_policy_needs_the_batches_that_it_uses(policy: BatchNormPolicy) -> None:
    hypernet, given = parts(CASE)
    enough = replace(given, batches=given.batches[: policy.batches])
    expected = predicted(policy, CASE.draw(1), hypernet, given)
    assert torch.equal(predicted(policy, CASE.draw(1), hypernet, enough), expected)
    if policy.batches:
        fewer = replace(given, batches=(*given.batches[: policy.batches - 1], given.batches[0]))
        assert not torch.equal(predicted(policy, CASE.draw(1), hypernet, fewer), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_policies_predict_with_any_source_of_weights(kind: str) -> None:
    hypernet, given = parts(CASE, kind)
    for policy in EVERY.values():
        assert predicted(policy, CASE.draw(1), hypernet, given).isfinite().all()
