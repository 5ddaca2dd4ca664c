"""Sources of the mean and variance of BatchNorm, an argument of the forward pass."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Layer

EPSILON = 1e-5


class NormSource(ABC):
    """Normalizes the channels of an activation."""

    @abstractmethod
    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """BatchNorm of x (batch, channels, *space) by the norm `name`, with weight and bias (channels,)."""


class UseBatchStatistics(NormSource):
    """Statistics of the current batch."""

    @override
    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPSILON)


class RecordedAverages(NormSource):
    """Statistics of one batch, that of the forward pass while `recording`: the recalibration of one architecture."""

    def __init__(self) -> None:
        self.recording = True
        self.statistics: dict[str, tuple[Tensor, Tensor]] = {}

    @override
    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.recording:
            mean, variance = torch.zeros_like(weight), torch.zeros_like(weight)
            self.statistics[name] = (mean, variance)
            return F.batch_norm(x, mean, variance, weight, bias, training=True, momentum=1.0, eps=EPSILON)
        return F.batch_norm(x, *self.statistics[name], weight, bias, training=False, eps=EPSILON)


class RunningAverages(nn.Module, NormSource):
    """Exponential averages, updated in training mode: buffers sliced to the first channels, as in the authors' code.

    `channels` has the most channels of each norm by name, or by `shared_name` where the ops of a block share averages,
    and `momentum` is the weight of the current batch.
    """

    def __init__(self, channels: Mapping[str, int], momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self._index = {name: i for i, name in enumerate(channels)}
        for i, count in enumerate(channels.values()):
            self.register_buffer(f"mean{i}", torch.zeros(count))
            self.register_buffer(f"variance{i}", torch.ones(count))

    @override
    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        i, count = self._index[name if name in self._index else shared_name(name)], x.shape[1]
        mean, variance = self.get_buffer(f"mean{i}")[:count], self.get_buffer(f"variance{i}")[:count]
        return F.batch_norm(x, mean, variance, weight, bias, self.training, self.momentum, EPSILON)


def shared_name(name: str) -> str:
    """The name without the number of the op, for what all ops of a block share: block0.entry for block0.op2.entry."""
    return ".".join(part for part in name.split(".") if not part.startswith("op"))


def norm_channels(layers: Iterable[Layer]) -> dict[str, int]:
    """Channels of each norm in a table of layers, by name."""
    return {layer.name: layer.outputs for layer in layers if layer.kind == "norm"}
