"""Plug-ins from outside the package that fail, or do what those of docs/howto do not."""

import math
from dataclasses import dataclass

import lightning as L
import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, ImageSpec, Limits
from smash_lightning.baselines import Baseline, BaselineContext
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet import SharedWeights, WeightSource
from smash_lightning.network import Weights


@dataclass(frozen=True)
class NotANumber(Baseline):
    """Predicts NaN."""

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return math.nan


@dataclass(frozen=True)
class Undefined(Baseline):
    """Undefined for some architectures."""

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return math.inf if int(architecture.fingerprint, 16) % 2 else float(torch.zeros(()))


@dataclass(frozen=True)
class Broken(Baseline):
    """Raises an error."""

    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        raise KeyError("no such layer")


class Scaled(WeightSource):
    """A HyperNet from outside the package: each 1x1 convolution is a shared matrix, scaled by a small network of c.

    It takes what it needs from the package by composition: shared weights, and the encoding.
    """

    def __init__(
        self, limits: Limits, image_spec: ImageSpec, generator: torch.Generator | None, *, hidden: int, names: list[str]
    ) -> None:
        super().__init__(limits, image_spec)
        self.encoding, self.names = Encoding(limits, 2), names
        self.common = SharedWeights(limits, image_spec, generator)
        channels = self.encoding.layout.channels
        self.inner = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden, channels), generator=generator))
        self.outer = nn.Parameter(nn.init.orthogonal_(torch.empty(1, hidden), generator=generator))

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        c = self.encoding.encode(architecture, self.inner.device)[0, :, 0]
        gains = iter((self.outer @ torch.tanh(self.inner @ c))[0].exp())
        weights = dict(self.common(architecture, None))
        for name in weights:
            if name.endswith("pointwise.weight"):
                weights[name] = weights[name] * next(gains) + (0 if z is None else 0.01 * z)
        return weights

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        return (1,)

    def undecayed(self) -> list[nn.Parameter]:
        return self.common.undecayed()


class Noted(L.Callback):
    """Writes a line into a file where a training starts: its name, how many it has seen, and what is trained."""

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name, self.count = path, name, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.count += 1
        with open(self.path, "a") as file:
            file.write(f"{self.name}-{self.count}-{type(pl_module).__name__}\n")
