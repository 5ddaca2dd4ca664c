"""Presets against textbook modules with the same weights: outputs and all gradients."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from smash_lightning.architecture import Architecture, ImageSpec, layers
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator
from smash_lightning.search_space.presets import densenet, fractalnet, fractalnet_doubling, resnet, shake, wrn
from tests.reference.blocks import (
    FractalBlock,
    ResidualBlocks,
    classifier,
    convolution,
    densenet_bc,
    fractal_net,
    shake_shake,
    wide_resnet,
)


def residual_network(count: int, channels: int, dimensions: int) -> nn.Module:
    """Residual blocks at one resolution."""
    parts = (convolution(3, channels, 3, dimensions), ResidualBlocks(count, channels, dimensions))
    return nn.Sequential(*parts, classifier(channels, 5, dimensions))


def doubled_once(dimensions: int) -> Architecture:
    """Three blocks, the last two of which have the same number of channels."""
    network = fractalnet_doubling(3, 2, 2, dimensions)
    return replace(network, blocks=(*network.blocks, network.blocks[-1]))


def in_order(network: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The parameters of a textbook network that are concatenated in each tensor of ours."""
    for part in network.children():
        yield from part.order() if isinstance(part, FractalBlock) else ([each] for each in part.parameters())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(
    ("architecture", "network"),
    [
        (lambda d: resnet(8, 4, 1, dimensions=d), lambda d: residual_network(3, 4, d)),
        (lambda d: resnet(6, 4, 1, 2, d), lambda d: residual_network(2, 4, d)),
        (lambda d: wrn(16, 1, d), lambda d: wide_resnet(16, 1, 5, d)),
        (lambda d: wrn(22, 2, d), lambda d: wide_resnet(22, 2, 5, d)),
        (lambda d: densenet(22, 6, dimensions=d), lambda d: densenet_bc(22, 6, 5, d)),
        (lambda d: densenet(16, 5, dimensions=d), lambda d: densenet_bc(16, 5, 5, d)),
        (lambda d: fractalnet(2, 4, 3, d), lambda d: fractal_net(2, [4, 8, 16], 5, d)),
        (lambda d: fractalnet(4, 4, 2, d), lambda d: fractal_net(4, [4, 8], 5, d)),
        (doubled_once, lambda d: fractal_net(3, [2, 4, 4], 5, d, doubling=True)),
        (lambda d: shake(14, 4, d), lambda d: shake_shake(14, 4, 5, d)),
        (lambda d: shake(20, 6, d), lambda d: shake_shake(20, 6, 5, d)),
    ],
    ids=[
        "resnet-8-4",
        "resnet-6-4, two banks",
        "wrn-16-1",
        "wrn-22-2",
        "densenet-bc-22-6",
        "densenet-bc-16-5",
        "fractalnet-2-4",
        "fractalnet-4-4-2",
        "fractalnet-doubling",
        "shake-shake-14-4",
        "shake-shake-20-6",
    ],
)
def test_presets_are_the_textbooks(architecture: Any, network: Any, dimensions: int) -> None:
    """In float64: parameters in the order of execution, logits, and the gradient of every parameter."""
    ours, theirs = architecture(dimensions), network(dimensions).double()
    image_spec, draws, weights = ImageSpec(3, (8,) * dimensions, 5), generator("whole"), {}
    parameters = list(in_order(theirs))
    shapes = layers(ours, image_spec, op_norm=True).parameters()
    for (name, shape), parts in zip(shapes.items(), parameters, strict=True):
        for parameter in parts:
            if name.endswith("bias") or "norm" in name or "entry" in name:
                parameter.data.copy_(1 + 0.2 * torch.randn(parameter.shape, generator=draws, dtype=torch.float64))
        weights[name] = torch.cat(parts).detach().clone().requires_grad_()
        assert weights[name].shape == shape
    images = torch.randn(3, 3, *image_spec.size, generator=draws, dtype=torch.float64)
    logits = forward(ours, image_spec, weights, images, UseBatchStatistics())
    torch.testing.assert_close(logits, theirs(images))
    logits.square().sum().backward()
    theirs(images).square().sum().backward()
    for tensor, parts in zip(weights.values(), parameters, strict=True):
        gradient = torch.cat([parameter.grad for parameter in parts])
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-6, atol=1e-9)
