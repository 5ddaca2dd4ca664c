"""Laws of every baseline, and a user's own."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from smash_lightning.architecture import Architecture, cost
from smash_lightning.baselines import (
    Baseline,
    BaselineContext,
    Depth,
    EarlyStopping,
    GradientNorm,
    JacobianCovariance,
    Naswot,
    RandomScore,
    Snip,
    SynFlow,
    initial_weights,
    nan_to_inf,
)
from smash_lightning.random_streams import rng
from smash_lightning.training import RetrainModule
from tests.baselines.small_context import digits_context, random_context
from tests.cases import Case, every_bare_case
from tests.stages.small_run import RETRAIN, SPACE

WITH_IMAGES = [Snip(), GradientNorm(), JacobianCovariance(), Naswot()]
UNTRAINED = [RandomScore(), Depth(), SynFlow(), *WITH_IMAGES]
BASELINES: list[Baseline] = [*UNTRAINED, EarlyStopping(2)]
every_baseline = pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: type(baseline).__name__)


@dataclass(frozen=True)
class Wider(Baseline):
    """A user's own baseline: more channels are better."""

    weight: float

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return -self.weight * sum(block.channels for block in architecture.blocks)


def test_a_configuration_names_a_users_own_baseline(tmp_path: Path) -> None:
    baseline = instantiate({"_target_": "tests.baselines.test_base.Wider", "weight": 0.5})
    assert isinstance(baseline, Baseline)
    architecture = SPACE.sample(rng("own", 0))
    assert baseline.predict(architecture, digits_context(tmp_path)) == -0.5 * sum(
        b.channels for b in architecture.blocks
    )


def test_a_baseline_must_implement_predict() -> None:
    with pytest.raises(TypeError, match="predict"):
        Baseline()  # type: ignore[abstract]


@every_baseline
def test_baselines_are_frozen_and_plain(baseline: Baseline) -> None:
    again = instantiate(
        {"_target_": f"smash_lightning.baselines.{type(baseline).__name__}"}
        | {field.name: getattr(baseline, field.name) for field in fields(baseline)}  # type: ignore[arg-type]
    )
    assert again == baseline
    with pytest.raises(FrozenInstanceError):
        baseline.other = 1  # type: ignore[attr-defined]


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


def test_nan_to_inf() -> None:
    assert nan_to_inf(-2.5) == -2.5
    assert [nan_to_inf(value) for value in (math.nan, math.inf, -math.inf)] == [math.inf] * 3


@every_bare_case
def test_baselines_use_the_initial_weights_of_standalone_training(case: Case, tmp_path: Path) -> None:
    architecture, context = case.draw(2), random_context(tmp_path, case.space.image_spec)
    module = RetrainModule(architecture, case.space.image_spec, RETRAIN, context.seed)
    weights = initial_weights(architecture, context)
    expected = dict(module.network.weights.named_parameters())
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name].double()) for name in weights)
    assert sum(tensor.numel() for tensor in weights.values()) == cost(architecture, context.image_spec).params
