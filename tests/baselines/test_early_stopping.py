"""Early stopping against ordinary training, for as many steps as it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from smash_lightning.architecture import Architecture
from smash_lightning.baselines import BaselineContext, EarlyStopping
from smash_lightning.data import DataModule, Digits, RawDataset, Split
from smash_lightning.random_streams import Stream, rng
from smash_lightning.training import RetrainModule, silence_lightning
from tests.baselines.small_context import digits_setting
from tests.stages.small_run import RETRAIN, SPACE

ARCHITECTURE = SPACE.sample(rng("early", 0))
STEPS_PER_EPOCH = 240 // 32


def ordinary_training(architecture: Architecture, context: BaselineContext, epochs: int) -> float:
    """Loss on the validation images, by hand, after as many whole epochs."""
    silence_lightning()
    module = RetrainModule(architecture, context.data.image_spec, context.retrain, context.seed)
    trainer = context.trainer(
        max_epochs=epochs,
        limit_val_batches=0,
        enable_checkpointing=False,
        logger=False,
        default_root_dir=context.folder,
    )
    trainer.fit(module, datamodule=context.data.ordered(Stream.RETRAIN, context.seed))
    assert trainer.global_step == epochs * STEPS_PER_EPOCH
    validation = context.data.normalised(context.data.validation)
    with torch.no_grad():
        logits = module.network.eval()(validation.images)
    return F.cross_entropy(logits.double(), validation.labels).item()


@pytest.mark.parametrize("epochs", [1, 2])
def test_as_many_steps_as_an_ordinary_training_give_its_loss(tmp_path: Path, epochs: int) -> None:
    context = digits_setting(tmp_path)
    value = EarlyStopping(epochs * STEPS_PER_EPOCH).value(ARCHITECTURE, context)
    assert value == pytest.approx(ordinary_training(ARCHITECTURE, context, epochs), abs=1e-6)
    assert value != pytest.approx(EarlyStopping(epochs * STEPS_PER_EPOCH - 1).value(ARCHITECTURE, context), abs=1e-4)


@pytest.mark.parametrize(("images", "steps"), [(0.0, 1), (31.5, 1), (32.0, 1), (32.5, 2), (100.0, 4)])
def test_the_budget_is_what_smash_spent(tmp_path: Path, images: float, steps: int) -> None:
    context = digits_setting(tmp_path, images_per_candidate=images)
    assert EarlyStopping(None).value(ARCHITECTURE, context) == EarlyStopping(steps).value(ARCHITECTURE, context)


def test_steps_matter(tmp_path: Path) -> None:
    context = digits_setting(tmp_path)
    assert len({EarlyStopping(steps).value(ARCHITECTURE, context) for steps in (1, 2, 4)}) == 3


def test_validation_images_are_never_learned_from(tmp_path: Path) -> None:
    context = digits_setting(tmp_path)
    more = replace(context, retrain=replace(RETRAIN, use_validation=True))
    assert EarlyStopping(4).value(ARCHITECTURE, more) == EarlyStopping(4).value(ARCHITECTURE, context)


@dataclass(frozen=True)
class OtherTest(Digits):
    """The digits with noise in place of the test images."""

    def read(self) -> RawDataset:
        sets = super().read()
        noise = torch.randint(17, sets.test.images.shape, dtype=torch.uint8)
        return replace(sets, test=Split(noise, sets.test.labels.flip(0)))


def test_test_images_are_never_looked_at(tmp_path: Path) -> None:
    context = digits_setting(tmp_path)
    options = {"validation": 60, "train": None, "batch_size": 32, "eval_batch_size": 500, "recalibration": 64}
    data = DataModule(name="digits", source=OtherTest(test=1497), stem_stride=1, split_seed=0, **options)
    other = replace(context, data=data)
    assert not torch.equal(data.test.images, context.data.test.images)
    assert EarlyStopping(4).value(ARCHITECTURE, other) == EarlyStopping(4).value(ARCHITECTURE, context)


@pytest.mark.parametrize("steps", [1, 6])  # after one step, only the validation loss shows it
def test_a_training_that_diverges_predicts_the_worst(tmp_path: Path, steps: int) -> None:
    context = digits_setting(tmp_path, retrain=replace(RETRAIN, learning_rate=1e30))
    assert EarlyStopping(steps).value(ARCHITECTURE, context) == math.inf


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    context = digits_setting(tmp_path)
    EarlyStopping(1).value(ARCHITECTURE, context)
    assert list(tmp_path.iterdir()) == []


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, or null"):
        EarlyStopping(0)
