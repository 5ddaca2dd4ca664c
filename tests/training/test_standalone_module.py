"""Standalone training: its images, and the average of predictions over views."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from smash_lightning.architecture import ImageSpec
from smash_lightning.data.augmentation import VoxelMoves
from smash_lightning.random_streams import generator, rng
from smash_lightning.search_space import SingleConvolution
from smash_lightning.stages.retrain import Job, train_networks
from smash_lightning.training import RetrainModule, log_probabilities
from tests.cases import small
from tests.stages.small_run import RETRAIN, small_experiment

SPACE = small(ImageSpec(1, (6, 6, 6), 3), SingleConvolution())


def after_testing(views: int, images: torch.Tensor, labels: torch.Tensor) -> RetrainModule:
    """A module after a test on `images` (views x count) in batches of four."""
    module = RetrainModule(SPACE.sample(rng("fixed", 0)), SPACE.image_spec, RETRAIN, [0], views=views).eval()
    with torch.no_grad():
        for place, batch in enumerate(zip(images.split(4), labels.split(4), strict=True)):
            module.test_step(batch, place)
    module.on_test_epoch_end()
    return module


def test_probabilities_are_averaged_over_views() -> None:
    logits = torch.randn(12, 5, generator=generator("logits"))
    mean = logits.double().view(4, 3, 5).softmax(-1).mean(0)
    torch.testing.assert_close(log_probabilities(logits, 4), mean.log())
    moves = VoxelMoves(rotations=4)
    grids = torch.randint(2, (8, 1, 6, 6, 6), dtype=torch.uint8, generator=generator("poses"))
    labels = torch.arange(8) % 3
    poses = [moves.view(grids, pose).float() for pose in range(4)]
    module = after_testing(4, torch.cat(poses), labels.repeat(4))
    with torch.no_grad():
        mean = torch.stack([module.network(pose).double().softmax(1) for pose in poses]).mean(0)
    assert module.measured[0]["true_loss"] == pytest.approx(F.nll_loss(mean.log(), labels).item(), abs=1e-6)
    assert module.measured[0]["true_error"] == 100 * (mean.argmax(1) != labels).double().mean().item()
    alone = after_testing(1, poses[0], labels)
    assert alone.measured[0]["true_loss"] != pytest.approx(module.measured[0]["true_loss"], abs=1e-4), "poses differ"


@pytest.mark.parametrize("use_validation", [False, True])
def test_validation_images_are_used_only_if_requested(tmp_path: Path, use_validation: bool) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, use_validation=use_validation))
    experiment.folder.checkpoints.mkdir()
    data = experiment.data
    job = Job(experiment.space.sample(rng("job", 0)), frozenset(), (0,))
    train_networks(experiment, job, lambda message: None)
    saved = torch.load(experiment.folder.network(job.architecture.fingerprint, 0), weights_only=True)
    images = len(data.train) + (len(data.validation) if use_validation else 0)
    assert saved["global_step"] == images // data.batch_size
