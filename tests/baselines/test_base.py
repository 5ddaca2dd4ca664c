"""What holds for every baseline, and how a user adds one."""

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
from tests.baselines.small_context import digits_setting, random_setting
from tests.cases import Case, every_bare_case
from tests.stages.small_run import RETRAIN, SPACE

LOOK_AT_IMAGES = [Snip(), GradientNorm(), JacobianCovariance(), Naswot()]
UNTRAINED = [RandomScore(), Depth(), SynFlow(), *LOOK_AT_IMAGES]
BASELINES: list[Baseline] = [*UNTRAINED, EarlyStopping(2)]
every_rival = pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: type(baseline).__name__)


@dataclass(frozen=True)
class Wider(Baseline):
    """A baseline as a user would write it: the more channels, the better."""

    weight: float

    def value(self, architecture: Architecture, context: BaselineContext) -> float:
        return -self.weight * sum(block.channels for block in architecture.blocks)


def test_a_rival_of_ones_own_is_named_by_a_configuration(tmp_path: Path) -> None:
    baseline = instantiate({"_target_": "tests.baselines.test_base.Wider", "weight": 0.5})
    assert isinstance(baseline, Baseline)
    architecture = SPACE.sample(rng("own", 0))
    assert baseline.value(architecture, digits_setting(tmp_path)) == -0.5 * sum(b.channels for b in architecture.blocks)


def test_a_rival_must_say_what_its_value_is() -> None:
    with pytest.raises(TypeError, match="value"):
        Baseline()  # type: ignore[abstract]


@every_rival
def test_rivals_are_frozen_and_plain(baseline: Baseline) -> None:
    again = instantiate(
        {"_target_": f"smash_lightning.baselines.{type(baseline).__name__}"}
        | {field.name: getattr(baseline, field.name) for field in fields(baseline)}  # type: ignore[arg-type]
    )
    assert again == baseline
    with pytest.raises(FrozenInstanceError):
        baseline.other = 1  # type: ignore[attr-defined]


@every_rival
def test_a_value_depends_on_architecture_and_setting_alone(baseline: Baseline, tmp_path: Path) -> None:
    context = digits_setting(tmp_path)
    images, one, other = context.images.clone(), SPACE.sample(rng("alone", 0)), SPACE.sample(rng("alone", 1))
    torch.manual_seed(0)
    first = baseline.value(one, context)
    assert isinstance(first, float)
    assert math.isfinite(first)
    assert baseline.value(other, context) != first
    torch.manual_seed(1)
    assert baseline.value(Architecture.from_json(one.to_json()), digits_setting(tmp_path)) == first
    assert torch.equal(context.images, images), "the next baseline looks at the same images"
    assert not context.images.requires_grad


@pytest.mark.parametrize("baseline", [r for r in BASELINES if not isinstance(r, Depth)], ids=lambda r: type(r).__name__)
def test_another_seed_is_another_beginning(baseline: Baseline, tmp_path: Path) -> None:
    context, architecture = digits_setting(tmp_path), SPACE.sample(rng("seed", 0))
    assert baseline.value(architecture, replace(context, seed=78)) != baseline.value(architecture, context)


@every_bare_case
def test_rivals_judge_images_and_volumes(case: Case, tmp_path: Path) -> None:
    context = random_setting(tmp_path, case.space.image_spec)
    for seed in range(3):
        architecture = case.draw(seed)
        assert all(math.isfinite(baseline.value(architecture, context)) for baseline in UNTRAINED)


@pytest.mark.parametrize("baseline", LOOK_AT_IMAGES, ids=lambda baseline: type(baseline).__name__)
def test_what_is_undefined_is_worst(baseline: Baseline, tmp_path: Path) -> None:
    # Nothing reaches the classifier from images of zeros, and no gradient comes back.
    context = random_setting(tmp_path, SPACE.image_spec)
    blank = replace(context, images=torch.zeros_like(context.images))
    assert baseline.value(SPACE.sample(rng("blank", 0)), blank) == math.inf


def test_worst_unless_finite() -> None:
    assert nan_to_inf(-2.5) == -2.5
    assert [nan_to_inf(value) for value in (math.nan, math.inf, -math.inf)] == [math.inf] * 3


@every_bare_case
def test_rivals_look_at_the_weights_that_an_ordinary_training_begins_with(case: Case, tmp_path: Path) -> None:
    architecture, context = case.draw(2), random_setting(tmp_path, case.space.image_spec)
    module = RetrainModule(architecture, case.space.image_spec, RETRAIN, context.seed)
    weights = initial_weights(architecture, context)
    theirs = dict(module.network.weights.named_parameters())
    assert weights.keys() == theirs.keys()
    assert all(torch.equal(weights[name], theirs[name].double()) for name in weights)
    assert sum(tensor.numel() for tensor in weights.values()) == cost(architecture, context.image_spec).params
