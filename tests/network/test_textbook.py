"""Presets against textbook modules with the same weights: outputs and all gradients."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, ImageSpec, layers
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.network.standalone import initialize
from smash_lightning.random_streams import generator
from smash_lightning.search_space.presets import densenet, fractalnet, fractalnet_doubling, resnet, shake, wrn
from tests.reference.blocks import (
    DenseBlock,
    FractalBlock,
    ResidualBlocks,
    densenet_bc,
    fractal_net,
    shake_shake,
    wide_resnet,
)

Textbook = tuple[Callable[[int], Architecture], Callable[[int], nn.Module]]
TEXTBOOK: dict[str, Textbook] = {
    "resnet": (lambda d: resnet(depth=8, channels=4, blocks=1, dimensions=d), lambda d: ResidualBlocks(3, 4, d)),
    "resnet, two banks": (
        lambda d: resnet(depth=6, channels=4, blocks=1, banks=2, dimensions=d),
        lambda d: ResidualBlocks(2, 4, d),
    ),
    "densenet": (lambda d: densenet(depth=10, growth=3, blocks=1, dimensions=d), lambda d: DenseBlock(4, 6, 3, d)),
}


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    return {4: F.conv2d, 5: F.conv3d}[x.ndim](x, weight, padding="same")


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", TEXTBOOK)
def test_presets_are_the_textbooks(name: str, dimensions: int) -> None:
    make, make_block = TEXTBOOK[name]
    architecture, block = make(dimensions), make_block(dimensions).double()
    image_spec = ImageSpec(2, (5,) * dimensions, 3)
    draws, weights = generator("textbook", name), {}
    for layer in layers(architecture, image_spec, op_norm=True):
        for key, tensor in initialize(layer, draws).items():
            weights[key] = tensor.double() + 0.2 * torch.randn(tensor.shape, generator=draws, dtype=torch.float64)
    inner = [key for key in weights if ".op" in key]
    parameters = dict(zip(inner, block.parameters(), strict=True))
    for key, parameter in parameters.items():
        assert parameter.shape == weights[key].shape
        parameter.data.copy_(weights[key])

    # A block's output is all its banks; the output of the textbook's block is the last of them.
    x = torch.randn(4, 2, *image_spec.size, generator=draws, dtype=torch.float64)
    stem = weights["stem.weight"].clone().requires_grad_()
    y = block(convolve(x, stem))
    handed_on = slice(weights["head.weight"].shape[1] - y.shape[1], None)
    weights["head.weight"][:, : handed_on.start] = 0
    outer = [weights[key] for key in ("block0.norm.weight", "block0.norm.bias", "head.weight")]
    outer = [tensor[..., handed_on].clone().requires_grad_() for tensor in outer]
    y = F.relu(F.batch_norm(y, None, None, outer[0], outer[1], training=True))
    theirs = F.linear(y.flatten(2).mean(2), outer[2], weights["head.bias"])

    for tensor in weights.values():
        tensor.requires_grad_()
    ours = forward(architecture, image_spec, weights, x, UseBatchStatistics())
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn(ours.shape, generator=draws, dtype=torch.float64)
    ours.backward(direction)
    theirs.backward(direction)
    pairs = [(weights["stem.weight"], stem.grad)]
    pairs += [(weights[key], parameter.grad) for key, parameter in parameters.items()]
    for tensor, gradient in pairs:
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-7, atol=1e-10)
    keys = ("block0.norm.weight", "block0.norm.bias", "head.weight")
    for key, tensor in zip(keys, outer, strict=True):
        torch.testing.assert_close(weights[key].grad[..., handed_on], tensor.grad, rtol=1e-7, atol=1e-10)


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
def test_whole_presets_are_the_textbooks(architecture: Any, network: Any, dimensions: int) -> None:
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
