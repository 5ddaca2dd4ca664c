"""Contexts for baselines: random images of any shape in 64-bit floats, or a few digits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec, layers
from smash_lightning.baselines import BaselineContext, initial_weights
from smash_lightning.random_streams import generator
from tests.cases import BARE_CASES, CASES, IMAGES, mean_joins
from tests.reference.slow import SlowNetwork
from tests.stages.small_run import small_experiment

every_architecture = pytest.mark.parametrize(
    ("architecture", "image_spec"),
    [
        *((case.draw(seed), case.space.image_spec) for case in BARE_CASES.values() for seed in range(3)),
        (mean_joins(CASES["v2-2d"].draw(0)), IMAGES),
    ],
)


def digits_context(folder: Path, **changes: Any) -> BaselineContext:
    """32 of the digits, in 32-bit floats."""
    experiment = small_experiment(folder)
    batch = experiment.data.normalised(experiment.data.train.take(torch.arange(32)))
    parts: dict[str, Any] = {
        "image_spec": experiment.data.image_spec,
        "images": batch.images,
        "labels": batch.labels,
        "data": experiment.data,
        "retrain": experiment.retrain,
        "trainer": experiment.trainer,
        "seed": 77,
        "images_per_candidate": 100.0,
        "folder": folder,
    }
    return BaselineContext(**parts | changes)


def random_context(folder: Path, image_spec: ImageSpec, count: int = 6, **changes: Any) -> BaselineContext:
    """Images that fit `image_spec`."""
    images = torch.randn(
        count, image_spec.channels, *image_spec.size, generator=generator("images"), dtype=torch.float64
    )
    labels = torch.arange(count) % image_spec.classes
    return digits_context(folder, **{"image_spec": image_spec, "images": images, "labels": labels} | changes)


def slow_network(
    architecture: Architecture, context: BaselineContext, weights: Mapping[str, Tensor] | None = None
) -> SlowNetwork:
    """A slow, plain network, by default with the initial weights of baselines."""
    weights = initial_weights(architecture, context) if weights is None else weights
    return SlowNetwork(architecture, context.image_spec, weights, op_norm=True)


def counted(architecture: Architecture, image_spec: ImageSpec) -> list[str]:
    """Names of the weights of convolutions and classifier: all parameters without those of norms, and biases."""
    names = layers(architecture, image_spec, op_norm=True).parameters()
    return [name for name in names if not name.endswith(".bias") and "norm." not in name and ".entry." not in name]
