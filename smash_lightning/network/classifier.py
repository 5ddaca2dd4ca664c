"""A trained network that takes images as they are stored."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smash_lightning.network.standalone import StandaloneNetwork


class Classifier(nn.Module):
    """From raw images to logits, with the normalization of the training in it.

    Args:
        network: the network, which takes normalized images.
        mean: subtracted from the pixels, (1, channels, 1, ...).
        std: divides the pixels, (1, channels, 1, ...).
    """

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
