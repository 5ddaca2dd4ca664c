from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch.nn.functional as F

from smash_lightning.baselines import GradientNorm, initial_weights
from smash_lightning.random_streams import rng
from tests.baselines.small_context import TINY, counted, random_context, slow_network
from tests.cases import Case, every_bare_case


def test_finite_differences_of_the_loss_in_each_weight(tmp_path: Path) -> None:
    architecture, context = TINY.sample(rng("norm", 0)), random_context(tmp_path, TINY.image_spec)
    weights, total, step = initial_weights(architecture, context), 0.0, 1e-5
    network = slow_network(architecture, context, weights)
    for name in counted(architecture, context.image_spec):
        flat, squares = weights[name].view(-1), 0.0
        for i in range(len(flat)):
            kept, losses = flat[i].clone(), []
            for sign in (1, -1):
                flat[i] = kept + sign * step
                losses.append(F.cross_entropy(network(context.images), context.labels).item())
            flat[i] = kept
            squares += ((losses[0] - losses[1]) / (2 * step)) ** 2
        total += squares**0.5
    assert GradientNorm().predict(architecture, context) == pytest.approx(-math.log(total), abs=1e-6)


@every_bare_case
@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_the_plain_network(case: Case, seed: int, tmp_path: Path) -> None:
    architecture, context = case.draw(seed), random_context(tmp_path, case.space.image_spec)
    weights = {name: tensor.requires_grad_() for name, tensor in initial_weights(architecture, context).items()}
    F.cross_entropy(slow_network(architecture, context, weights)(context.images), context.labels).backward()
    gradients = [weights[name].grad for name in counted(architecture, context.image_spec)]
    total = sum(gradient.square().sum().sqrt().item() for gradient in gradients if gradient is not None)
    assert GradientNorm().predict(architecture, context) == pytest.approx(-math.log(total), abs=1e-9)
