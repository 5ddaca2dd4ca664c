"""The interface of the convolutions of an op."""

import random
from abc import ABC, abstractmethod

from smash_lightning.architecture import Convolution
from smash_lightning.architecture.definition import Meet, Nonlinearity

Paths = tuple[tuple[Convolution, ...], ...]


class Body(ABC):
    """The convolutions between an op's 1x1 convolution and its output. Subclasses are dataclasses of plain values."""

    kernels: tuple[int, ...]
    groups: tuple[int, ...]
    nonlinearities: tuple[Nonlinearity, ...] = ("relu",)
    gates: float = 0.0  # probability that two paths meet in a gate

    @property
    @abstractmethod
    def positions(self) -> int:
        """Most convolutions that an op has: 1 or 4."""

    @property
    @abstractmethod
    def dilations(self) -> tuple[int, ...]:
        """Dilations that may occur on an axis, ascending."""

    @abstractmethod
    def draw(self, rng: random.Random, axes: int, progress: float) -> Paths:
        """Random convolutions of an op."""

    @abstractmethod
    def redraw(self, paths: Paths, rng: random.Random, probability: float) -> Paths:
        """Redraws each element of `paths` with `probability`."""

    @abstractmethod
    def violation(self, paths: Paths) -> str | None:
        """The reason why `paths` cannot be drawn; None if it can."""

    def draw_meet(self, paths: Paths, rng: random.Random) -> Meet:
        """How the outputs of `paths` are combined."""
        return "gate" if self.gates and len(paths) == 2 and rng.random() < self.gates else "sum"
