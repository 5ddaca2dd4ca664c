"""What every search space offers."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import Any

from smash_lightning.architecture import Architecture, ImageSpec, Limits


class SearchSpace(ABC):
    """A set of architectures with a distribution over it. A space of your own implements the four abstract methods.

    A space is a frozen dataclass whose fields are plain values: they are written into checkpoints, so that weights
    of one space are never used with another.
    """

    image_spec: ImageSpec

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """Bounds that size the encoding and the shared tensors."""

    @abstractmethod
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        """Draws an architecture. `progress`, from 0 to 1, is the share of training done: spaces may open gradually."""

    @abstractmethod
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Redraws each element of `architecture` with `probability`; the result lies in the space."""

    @abstractmethod
    def refusal(self, architecture: Architecture) -> str | None:
        """Why `architecture` is not in the space; None if it is."""

    def contains(self, architecture: Architecture) -> bool:
        """Whether `architecture` is in the space."""
        return self.refusal(architecture) is None

    def require(self, architecture: Architecture) -> Architecture:
        """Returns `architecture` if the space contains it.

        Raises:
            ValueError: it does not; the message says why.
        """
        if reason := self.refusal(architecture):
            raise ValueError(f"architecture {architecture.fingerprint} is outside the search space: {reason}")
        return architecture

    def specification(self) -> dict[str, str]:
        """The values that define the space, by dotted name: what a checkpoint is compared with."""
        return dict(_flat(self, type(self).__name__))


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    if not is_dataclass(value):
        return [(name, repr(value))]
    inner = [item for field in fields(value) for item in _flat(getattr(value, field.name), f"{name}.{field.name}")]
    return [(name, type(value).__name__), *inner]
