import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.baselines import BaselineContext, JacobianCovariance
from smash_lightning.random_streams import rng
from tests.baselines.small_context import every_architecture, random_context, slow_network
from tests.stages.small_run import SPACE


def one_by_one(architecture: Architecture, context: BaselineContext) -> list[np.ndarray]:
    """The gradient of the sum of all logits with respect to one image after the other."""
    network, rows = slow_network(architecture, context), []
    for i in range(len(context.images)):
        image = context.images[i].clone().requires_grad_()
        batch = torch.stack([image if j == i else other for j, other in enumerate(context.images)])
        network(batch).sum().backward()
        assert image.grad is not None
        rows.append(image.grad.flatten().numpy())
    return rows


def expected(rows: list[np.ndarray]) -> float:
    """The paper's score with the opposite sign, from correlations written out."""
    centred = [row - row.mean() for row in rows]
    unit = [row / np.sqrt((row**2).sum()) for row in centred]
    eigenvalues = np.linalg.svd(np.array([[a @ b for b in unit] for a in unit]), compute_uv=False)
    return sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in eigenvalues)


@every_architecture
def test_image_by_image(architecture: Architecture, image_spec: ImageSpec, tmp_path: Path) -> None:
    context = random_context(tmp_path, image_spec)
    value = JacobianCovariance().predict(architecture, context)
    assert value == pytest.approx(expected(one_by_one(architecture, context)), rel=1e-7)
    assert value >= len(context.images) * (1 - 1e-4), "its least value"


def test_equal_images_are_the_worst_that_is_defined(tmp_path: Path) -> None:
    context, architecture = random_context(tmp_path, SPACE.image_spec, count=4), SPACE.sample(rng("equal", 0))
    twins = replace(context, images=context.images[:2].repeat(2, 1, 1, 1))
    value = JacobianCovariance().predict(architecture, twins)
    # Two of four eigenvalues are zero, so that only k remains.
    assert value == pytest.approx(2 * (math.log(1e-5) + 1e5), rel=1e-3)
    assert value > JacobianCovariance().predict(architecture, context)
