"""Laws of every baseline, a user's own, and those that need no network: depth and a random score."""

import math
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from scipy.stats import kstest, spearmanr

from smash_lightning.architecture import Architecture, Block, cost
from smash_lightning.baselines import (
    Baseline,
    Depth,
    EarlyStopping,
    GradientNorm,
    JacobianCovariance,
    Naswot,
    RandomScore,
    Snip,
    SynFlow,
    initial_weights,
)
from smash_lightning.random_streams import rng
from smash_lightning.training import RetrainModule
from tests.baselines.small_context import digits_context, random_context
from tests.cases import Case, every_bare_case, every_seed
from tests.stages.small_run import RETRAIN, SPACE

WITH_IMAGES = [Snip(), GradientNorm(), JacobianCovariance(), Naswot()]
UNTRAINED = [RandomScore(), Depth(), SynFlow(), *WITH_IMAGES]
BASELINES: list[Baseline] = [*UNTRAINED, EarlyStopping(2)]
every_baseline = pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: type(baseline).__name__)


@every_baseline
def test_a_prediction_depends_on_architecture_and_context_alone(baseline: Baseline, tmp_path: Path) -> None:
    context = digits_context(tmp_path)
    images, one, other = context.images.clone(), SPACE.sample(rng("alone", 0)), SPACE.sample(rng("alone", 1))
    torch.manual_seed(0)
    first = baseline.predict(one, context)
    assert isinstance(first, float)
    assert math.isfinite(first)
    assert baseline.predict(other, context) != first
    torch.manual_seed(1)
    assert baseline.predict(Architecture.from_json(one.to_json()), digits_context(tmp_path)) == first
    assert torch.equal(context.images, images), "the next baseline uses the same images"
    assert not context.images.requires_grad


@pytest.mark.parametrize("baseline", [r for r in BASELINES if not isinstance(r, Depth)], ids=lambda r: type(r).__name__)
def test_another_seed_is_another_initialization(baseline: Baseline, tmp_path: Path) -> None:
    context, architecture = digits_context(tmp_path), SPACE.sample(rng("seed", 0))
    assert baseline.predict(architecture, replace(context, seed=78)) != baseline.predict(architecture, context)


@every_bare_case
def test_baselines_predict_for_images_and_volumes(case: Case, tmp_path: Path) -> None:
    context = random_context(tmp_path, case.space.image_spec)
    for seed in range(3):
        architecture = case.draw(seed)
        assert all(math.isfinite(baseline.predict(architecture, context)) for baseline in UNTRAINED)


@pytest.mark.parametrize("baseline", WITH_IMAGES, ids=lambda baseline: type(baseline).__name__)
def test_an_undefined_prediction_is_the_worst(baseline: Baseline, tmp_path: Path) -> None:
    # With images of zeros all activations and gradients are zero.
    context = random_context(tmp_path, SPACE.image_spec)
    blank = replace(context, images=torch.zeros_like(context.images))
    assert baseline.predict(SPACE.sample(rng("blank", 0)), blank) == math.inf


@every_bare_case
def test_baselines_use_the_initial_weights_of_standalone_training(case: Case, tmp_path: Path) -> None:
    architecture, context = case.draw(2), random_context(tmp_path, case.space.image_spec)
    module = RetrainModule(architecture, case.space.image_spec, RETRAIN, [context.seed])
    weights = initial_weights(architecture, context)
    expected = dict(module.network.weights.named_parameters())
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name].double()) for name in weights)
    assert sum(tensor.numel() for tensor in weights.values()) == cost(architecture, context.image_spec).params


def longest(block: Block) -> int:
    """The longest of all subsequences of ops in which each writes a bank that the next one reads."""
    return max(
        length
        for length in range(1, len(block.ops) + 1)
        for chain in combinations(block.ops, length)
        if all(set(before.write) & set(after.read) for before, after in pairwise(chain))
    )


@every_bare_case
@every_seed
def test_depth_is_the_longest_of_all_paths(case: Case, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    architecture = case.draw(seed)
    context = digits_context(tmp_path_factory.mktemp("depth"))
    assert Depth().predict(architecture, context) == -sum(longest(block) for block in architecture.blocks)


def test_random_scores_are_uniform_and_uncorrelated_between_seeds(tmp_path: Path) -> None:
    architectures = {SPACE.sample(rng("c", i)) for i in range(400)}
    contexts = [digits_context(tmp_path, seed=seed) for seed in range(2)]
    one, other = ([RandomScore().predict(each, context) for each in architectures] for context in contexts)
    assert len(one) > 300
    assert kstest(one, "uniform").pvalue > 0.01
    assert abs(spearmanr(one, other).statistic) < 0.15
