from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Convolution, Op
from smash_lightning.baselines import BaselineContext, SynFlow, initial_weights
from smash_lightning.random_streams import rng
from smash_lightning.search_space.presets import fractalnet
from tests.baselines.small_context import TINY, counted, random_context
from tests.cases import IMAGES, Case, every_bare_case
from tests.reference.slow import SlowNetwork
from tests.stages.small_run import SPACE


class WithoutNorms(SlowNetwork):
    """The plain network without norms."""

    def norm(self, name: str, x: Tensor) -> Tensor:
        return x


def flow(architecture: Architecture, context: BaselineContext, weights: dict[str, Tensor]) -> Tensor:
    """Sum of the logits of an image of ones."""
    network = WithoutNorms(architecture, context.image_spec, weights, op_norm=True)
    return network(torch.ones(1, context.image_spec.channels, *context.image_spec.size, dtype=torch.float64)).sum()


def positive(architecture: Architecture, context: BaselineContext) -> dict[str, Tensor]:
    return {name: tensor.abs() for name, tensor in initial_weights(architecture, context).items()}


@every_bare_case
@pytest.mark.parametrize("seed", range(3))
def test_the_flow_through_a_layer_is_lost_without_its_weights(case: Case, seed: int, tmp_path: Path) -> None:
    architecture, context = case.draw(seed), random_context(tmp_path, case.space.image_spec)
    weights = positive(architecture, context)
    total = torch.zeros((), dtype=torch.float64)
    for name in counted(architecture, context.image_spec):
        # Each path has a layer at most once, so that the flow is linear in each layer's weights.
        total += flow(architecture, context, weights) - flow(architecture, context, weights | {name: 0 * weights[name]})
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(total), rel=1e-9)


def test_single_weights_by_finite_differences(tmp_path: Path) -> None:
    architecture, context = TINY.sample(rng("synflow", 0)), random_context(tmp_path, TINY.image_spec)
    weights = positive(architecture, context)
    total = 0.0
    for name in counted(architecture, context.image_spec):
        flat = weights[name].view(-1)
        for i in range(len(flat)):
            kept, step = flat[i].clone(), 1e-3
            flat[i] = kept * (1 + step)
            more = flow(architecture, context, weights).item()
            flat[i] = kept * (1 - step)
            total += (more - flow(architecture, context, weights).item()) / (2 * step)
            flat[i] = kept
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(total), rel=1e-9)


def test_it_is_a_product_of_matrices_where_the_network_is_a_chain(tmp_path: Path) -> None:
    # One 1x1 convolution: as nothing is negative, ReLU is the identity, and the mean over pixels can be taken first.
    op = Op((0,), (1,), 1, None, ((Convolution((1, 1), (1, 1)),),), activation="post", join="mean")
    architecture = Architecture((Block(4, 1, (op,)),))
    context = random_context(tmp_path, IMAGES)
    weights = positive(architecture, context)
    stem = F.conv2d(torch.ones(1, 3, 8, 8, dtype=torch.float64), weights["stem.weight"], padding=1).mean((2, 3))[0]
    both = torch.cat([stem, weights["block0.op0.conv0.weight"][:, :, 0, 0] @ stem])
    out = weights["head.weight"] @ both
    through = weights["head.weight"][:, 4:] @ both[4:]  # the part through the op
    expected = 2 * out.sum() + through.sum()  # all of it goes through stem and classifier
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(expected), rel=1e-12)


def test_means_are_part_of_the_flow(tmp_path: Path) -> None:
    architecture, context = fractalnet(columns=2, channels=4, blocks=1), random_context(tmp_path, IMAGES)
    weights = {name: tensor.requires_grad_() for name, tensor in positive(architecture, context).items()}
    flow(architecture, context, weights).backward()
    names = counted(architecture, context.image_spec)
    expected = sum((weights[name] * weights[name].grad).sum().item() for name in names)
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(expected), rel=1e-12)


def test_images_do_not_matter(tmp_path: Path) -> None:
    architecture, context = SPACE.sample(rng("images", 0)), random_context(tmp_path, SPACE.image_spec)
    other = random_context(tmp_path, SPACE.image_spec, images=context.images.neg(), labels=context.labels.flip(0))
    assert SynFlow().predict(architecture, context) == SynFlow().predict(architecture, other)


def test_an_infinite_flow_is_undefined(tmp_path: Path) -> None:
    convolution = Convolution((3, 3), (1, 1))
    op = Op((0,), (0,), 1, None, ((convolution, convolution),))
    architecture = Architecture((Block(8, 1, (op,) * 300),))
    assert SynFlow().predict(architecture, random_context(tmp_path, IMAGES)) == math.inf
