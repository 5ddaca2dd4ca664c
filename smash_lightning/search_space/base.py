"""The interface of search spaces."""

import random
from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import Any

from smash_lightning.architecture import Architecture, ImageSpec, Limits

ADDED = {"added": True}  # metadata of a field that earlier versions lack: at its default it is not in specifications


class SearchSpace(ABC):
    """A set of architectures with a distribution over it. Subclasses implement the four abstract methods.

    They are frozen dataclasses of plain values, which are written into checkpoints, so that weights of one space are
    never used with another.
    """

    image_spec: ImageSpec

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """Bounds that determine the size of the encoding and of shared tensors."""

    @abstractmethod
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        """A random architecture. `progress`, from 0 to 1, is the share of training done: a space may grow with it."""

    @abstractmethod
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Redraws each element of `architecture` with `probability`; the result is in the space."""

    @abstractmethod
    def violation(self, architecture: Architecture) -> str | None:
        """The reason why `architecture` is not in the space; None if it is."""

    def contains(self, architecture: Architecture) -> bool:
        """Whether `architecture` is in the space."""
        return self.violation(architecture) is None

    def require(self, architecture: Architecture) -> Architecture:
        """Returns `architecture` if the space contains it.

        Raises:
            ValueError: it does not; the message has the reason.
        """
        if reason := self.violation(architecture):
            raise ValueError(f"architecture {architecture.fingerprint} is outside the search space: {reason}")
        return architecture

    def specification(self) -> dict[str, str]:
        """The values that define the space, by dotted name, for comparison with a checkpoint."""
        return dict(_flat(self, type(self).__name__))


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    if not is_dataclass(value):
        return [(name, repr(value))]
    found = [(name, type(value).__name__)]
    for option in fields(value):
        if (inner := getattr(value, option.name)) != option.default or not option.metadata.get("added"):
            found += _flat(inner, f"{name}.{option.name}")
    return found
