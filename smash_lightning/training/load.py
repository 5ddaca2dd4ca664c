"""A retrained network, rebuilt from its checkpoint alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.network import Classifier, StandaloneNetwork


def load_classifier(path: Path) -> Classifier:
    """Reads a network that `RetrainModule` saved; nothing in the file is executed.

    Raises:
        ValueError: the file is missing, truncated, or not a retrained network's.
    """
    checkpoint = load_checkpoint(path, "input")
    saved = checkpoint["input"]
    image_spec = ImageSpec(saved["channels"], tuple(saved["size"]), saved["classes"], saved["stem_stride"])
    network = StandaloneNetwork(Architecture.from_json(checkpoint["architecture"]), image_spec)
    state = checkpoint["state_dict"].items()
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state})

    def per_channel(values: list[float]) -> Tensor:
        return torch.tensor(values).view(1, image_spec.channels, *[1] * image_spec.dimensions)

    return Classifier(network, per_channel(saved["mean"]), per_channel(saved["std"])).eval()
