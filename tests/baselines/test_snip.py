from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.baselines import BaselineContext, Snip, initial_weights
from smash_lightning.random_streams import rng
from tests.baselines.small_context import TINY, counted, random_context, slow_network
from tests.cases import Case, every_bare_case


def masked_loss(architecture: Architecture, context: BaselineContext, masks: dict[str, Tensor]) -> Tensor:
    weights = initial_weights(architecture, context)
    weights |= {name: mask * weights[name] for name, mask in masks.items()}
    return F.cross_entropy(slow_network(architecture, context, weights)(context.images), context.labels)


def masks_of_ones(architecture: Architecture, context: BaselineContext) -> dict[str, Tensor]:
    weights = initial_weights(architecture, context)
    return {name: torch.ones_like(weights[name]) for name in counted(architecture, context.image_spec)}


def test_finite_differences_of_the_loss_in_a_mask_on_each_weight(tmp_path: Path) -> None:
    architecture, context = TINY.sample(rng("snip", 0)), random_context(tmp_path, TINY.image_spec)
    masks, total, step = masks_of_ones(architecture, context), 0.0, 1e-5
    for mask in masks.values():
        flat = mask.view(-1)
        for i in range(len(flat)):
            flat[i] = 1 + step
            more = masked_loss(architecture, context, masks).item()
            flat[i] = 1 - step
            total += abs(more - masked_loss(architecture, context, masks).item()) / (2 * step)
            flat[i] = 1
    assert Snip().predict(architecture, context) == pytest.approx(-math.log(total), abs=1e-6)


@every_bare_case
@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_masks_on_the_plain_network(case: Case, seed: int, tmp_path: Path) -> None:
    architecture, context = case.draw(seed), random_context(tmp_path, case.space.image_spec)
    masks = {name: mask.requires_grad_() for name, mask in masks_of_ones(architecture, context).items()}
    masked_loss(architecture, context, masks).backward()
    total = sum(mask.grad.abs().sum().item() for mask in masks.values())  # type: ignore[union-attr]
    assert Snip().predict(architecture, context) == pytest.approx(-math.log(total), abs=1e-9)


def test_labels_matter(tmp_path: Path) -> None:
    architecture, context = TINY.sample(rng("labels", 0)), random_context(tmp_path, TINY.image_spec)
    other = random_context(tmp_path, TINY.image_spec, labels=(context.labels + 1) % 3)
    assert Snip().predict(architecture, context) != pytest.approx(Snip().predict(architecture, other), abs=1e-6)
