"""Baselines by gradients of the initial network: SNIP, the norm of the gradient, and SynFlow."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Convolution, ImageSpec, Op
from smash_lightning.baselines import GradientNorm, Snip, SynFlow, initial_weights
from tests.baselines.small_context import counted, every_architecture, random_context, slow_network
from tests.cases import IMAGES
from tests.reference.slow import SlowNetwork


class WithoutNorms(SlowNetwork):
    """The plain network without norms."""

    def norm(self, name: str, x: Tensor) -> Tensor:
        return x


@every_architecture
def test_gradients_of_the_plain_network(architecture: Architecture, image_spec: ImageSpec, tmp_path: Path) -> None:
    context = random_context(tmp_path, image_spec)
    weights = {name: tensor.requires_grad_() for name, tensor in initial_weights(architecture, context).items()}
    F.cross_entropy(slow_network(architecture, context, weights)(context.images), context.labels).backward()
    tensors = [weights[name] for name in counted(architecture, image_spec)]
    norm = sum(w.grad.square().sum().sqrt().item() for w in tensors)  # type: ignore[union-attr]
    snip = sum((w * w.grad).abs().sum().item() for w in tensors)
    assert GradientNorm().predict(architecture, context) == pytest.approx(-math.log(norm), abs=1e-9)
    assert Snip().predict(architecture, context) == pytest.approx(-math.log(snip), abs=1e-9)
    other = random_context(tmp_path, image_spec, labels=(context.labels + 1) % 3)
    assert Snip().predict(architecture, other) != pytest.approx(Snip().predict(architecture, context), abs=1e-6)


@every_architecture
def test_the_flow_of_the_plain_network(architecture: Architecture, image_spec: ImageSpec, tmp_path: Path) -> None:
    context = random_context(tmp_path, image_spec)
    initial = initial_weights(architecture, context)
    weights = {name: tensor.abs().requires_grad_() for name, tensor in initial.items()}
    ones = torch.ones(1, image_spec.channels, *image_spec.size, dtype=torch.float64)
    WithoutNorms(architecture, image_spec, weights, op_norm=True)(ones).sum().backward()
    tensors = [weights[name] for name in counted(architecture, image_spec)]
    expected = sum((w * w.grad).abs().sum().item() for w in tensors)
    assert SynFlow().predict(architecture, context) == pytest.approx(-math.log(expected), rel=1e-9)
    images = random_context(tmp_path, image_spec, images=context.images.neg(), labels=context.labels.flip(0))
    assert SynFlow().predict(architecture, images) == SynFlow().predict(architecture, context)


def test_an_infinite_flow_is_undefined(tmp_path: Path) -> None:
    convolution = Convolution((3, 3), (1, 1))
    op = Op((0,), (0,), 1, None, ((convolution, convolution),))
    architecture = Architecture((Block(8, 1, (op,) * 300),))
    assert SynFlow().predict(architecture, random_context(tmp_path, IMAGES)) == math.inf
