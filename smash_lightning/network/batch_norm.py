"""Where BatchNorm takes its mean and variance from: an explicit policy, handed to the forward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smash_lightning.architecture import Layer

EPSILON = 1e-5


class NormSource(ABC):
    """Normalises the channels of an activation."""

    @abstractmethod
    def normalise(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """BatchNorm of x (batch, channels, *space), for the norm called `name`."""


class UseBatchStatistics(NormSource):
    """Those of the batch at hand."""

    def normalise(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """BatchNorm as in training, remembering nothing."""
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPSILON)


class RecordedAverages(NormSource):
    """Those of the one batch that was seen while recording: the recalibration of one architecture."""

    def __init__(self) -> None:
        self.recording = True
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}

    def normalise(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Records the batch's moments, or normalises with those recorded."""
        if self.recording:
            mean, variance = torch.zeros_like(weight), torch.zeros_like(weight)
            self.moments[name] = (mean, variance)
            return F.batch_norm(x, mean, variance, weight, bias, training=True, momentum=1.0, eps=EPSILON)
        return F.batch_norm(x, *self.moments[name], weight, bias, training=False, eps=EPSILON)


class RunningAverages(nn.Module, NormSource):
    """Exponential averages, kept as buffers and sliced to the channels at hand, as in the authors' code.

    Args:
        channels: most channels of each norm, by name.
        momentum: weight of the newest batch.
    """

    def __init__(self, channels: Mapping[str, int], momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self._index = {name: i for i, name in enumerate(channels)}
        for i, count in enumerate(channels.values()):
            self.register_buffer(f"mean{i}", torch.zeros(count))
            self.register_buffer(f"variance{i}", torch.ones(count))

    def normalise(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Uses and updates with the batch's moments in training mode, uses the averages in evaluation mode."""
        i, count = self._index[name], x.shape[1]
        mean, variance = self.get_buffer(f"mean{i}")[:count], self.get_buffer(f"variance{i}")[:count]
        return F.batch_norm(x, mean, variance, weight, bias, self.training, self.momentum, EPSILON)


def norm_channels(layers: Iterable[Layer]) -> dict[str, int]:
    """Channels of each norm in a table of layers, by name."""
    return {layer.name: layer.outputs for layer in layers if layer.kind == "norm"}
