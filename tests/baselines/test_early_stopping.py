"""Early stopping against standalone training."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from smash_lightning.architecture import Architecture
from smash_lightning.baselines import BaselineContext, EarlyStopping
from smash_lightning.data import DataModule
from smash_lightning.random_streams import Stream, rng
from smash_lightning.training import RetrainModule, silence_lightning
from tests.baselines.small_context import digits_context
from tests.stages.small_run import RETRAIN, SPACE

ARCHITECTURE = SPACE.sample(rng("early", 0))
STEPS_PER_EPOCH = 240 // 32


def standalone_training(architecture: Architecture, context: BaselineContext, epochs: int) -> tuple[float, float]:
    """Loss on the validation images after as many whole epochs, and mean training loss of the last one."""
    silence_lightning()
    module = RetrainModule(architecture, context.data.image_spec, context.retrain, [context.seed])
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
    return F.cross_entropy(logits.double(), validation.labels).item(), module.history[-1][1][0]


@pytest.mark.parametrize("epochs", [1, 2])
def test_as_many_steps_as_a_standalone_training_give_its_loss(tmp_path: Path, epochs: int) -> None:
    context = digits_context(tmp_path)
    value = EarlyStopping(epochs * STEPS_PER_EPOCH).predict(ARCHITECTURE, context)
    assert list(tmp_path.iterdir()) == [], "no files remain"
    validation, training = standalone_training(ARCHITECTURE, context, epochs)
    assert value == pytest.approx(validation, abs=1e-6)
    if epochs == 2:  # whose last one is the last half of the steps
        losses = EarlyStopping(epochs * STEPS_PER_EPOCH, "training").predict(ARCHITECTURE, context)
        assert losses == pytest.approx(training, abs=1e-6)
    assert value != pytest.approx(EarlyStopping(epochs * STEPS_PER_EPOCH - 1).predict(ARCHITECTURE, context), abs=1e-4)


@pytest.mark.parametrize(("images", "steps"), [(0.0, 1), (31.5, 1), (32.0, 1), (32.5, 2), (100.0, 4)])
def test_the_default_budget_is_that_of_smash(tmp_path: Path, images: float, steps: int) -> None:
    context = digits_context(tmp_path, images_per_candidate=images)
    assert EarlyStopping(None).predict(ARCHITECTURE, context) == EarlyStopping(steps).predict(ARCHITECTURE, context)


def test_validation_images_are_not_used_for_training(tmp_path: Path) -> None:
    context = digits_context(tmp_path)
    more = replace(context, retrain=replace(RETRAIN, use_validation=True))
    assert EarlyStopping(4).predict(ARCHITECTURE, more) == EarlyStopping(4).predict(ARCHITECTURE, context)


def test_test_images_are_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = digits_context(tmp_path)
    before = EarlyStopping(4).predict(ARCHITECTURE, context)
    monkeypatch.delattr(DataModule, "test")
    assert EarlyStopping(4).predict(ARCHITECTURE, context) == before
    with pytest.raises(AttributeError, match="no attribute 'test'"):
        context.data.test_dataloader()


@pytest.mark.parametrize("steps", [1, 6])  # after one step, only the validation loss diverges
def test_a_diverged_training_predicts_the_worst(tmp_path: Path, steps: int) -> None:
    context = digits_context(tmp_path, retrain=replace(RETRAIN, learning_rate=1e30))
    assert EarlyStopping(steps).predict(ARCHITECTURE, context) == math.inf
