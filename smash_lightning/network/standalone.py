"""Standalone networks: with their own parameters, under the names that the forward pass uses."""

from functools import partial

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, ImageSpec, Layer, layers
from smash_lightning.network.batch_norm import RunningAverages, norm_channels
from smash_lightning.network.dropping import NOTHING_DROPPED, Dropping
from smash_lightning.network.forward import Weights, forward


def initialize(layer: Layer, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """Initial parameters of a layer: orthogonal convolutions (paper, section 4), norms at one, biases at zero.

    The classifier is initialized as torch's own, uniform within 1 / sqrt(inputs): an orthogonal one, twice as large,
    changes which architectures are best after a short training.
    """
    tensors = {}
    for name, shape in layer.parameters.items():
        if name.endswith(".bias"):
            tensors[name] = torch.zeros(shape)
        elif layer.kind == "norm":
            tensors[name] = torch.ones(shape)
        elif layer.kind == "linear":
            bound = layer.inputs**-0.5
            tensors[name] = torch.empty(shape).uniform_(-bound, bound, generator=generator)
        else:
            tensors[name] = nn.init.orthogonal_(torch.empty(shape), generator=generator)
    return tensors


class StandaloneNetwork(nn.Module):
    """The standalone network of one architecture, or several of them that compute side by side as in `forward`.

    Its state has a tensor for each name of the table of layers; tensors of several networks are concatenated along the
    first axis.

    Args:
        architecture: of the networks.
        image_spec: image, stem and classifier of one network.
        generators: of the initial weights, one for each network; without any it is one network, of torch's own
            generator.
        op_norm: whether ops have BatchNorm.
    """

    def __init__(
        self, architecture: Architecture, image_spec: ImageSpec, *generators: torch.Generator, op_norm: bool = True
    ) -> None:
        super().__init__()
        self.architecture, self.image_spec = architecture, image_spec
        self.networks = max(1, len(generators))
        table = layers(architecture, image_spec, op_norm)
        initial = [
            {name: tensor for layer in table for name, tensor in initialize(layer, generator).items()}
            for generator in generators or [None]
        ]
        self.weights = nn.Module()
        for name in table.parameters():
            register(self.weights, name, torch.cat([tensors[name] for tensors in initial]))
        channels = {name: self.networks * count for name, count in norm_channels(table).items()}
        self.statistics = RunningAverages(channels)

    def forward(self, x: Tensor, dropping: Dropping = NOTHING_DROPPED) -> Tensor:
        """Logits (batch, networks x classes) of images x (batch, networks x channels, *size)."""
        weights: Weights = dict(self.weights.named_parameters())
        run = partial(forward, networks=self.networks, dropping=dropping)
        return run(self.architecture, self.image_spec, weights, x, self.statistics)

    def state_of(self, index: int) -> dict[str, Tensor]:
        """A copy of the state of one of the networks, which a `StandaloneNetwork` of one network loads."""
        return {name: tensor.chunk(self.networks)[index].clone() for name, tensor in self.state_dict().items()}


class Classifier(nn.Module):
    """From raw images to logits: normalizes by `mean` and `std` (1, channels, 1, ...), as in the training."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: StandaloneNetwork, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of images (batch, channels, *size), bytes or floats in units of bytes."""
        return self.network((images.to(self.mean.dtype) - self.mean) / self.std)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Class of each image, (batch,)."""
        return self(images).argmax(1)


def register(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Makes `tensor` a parameter of `module` under a dotted name, in nested modules."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in dict(module.named_children()):
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    module.register_parameter(leaf, nn.Parameter(tensor))
