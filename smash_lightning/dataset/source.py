"""What a data set is made of, whatever its origin: decoded images as bytes, labels, class names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Split:
    """Images (count, channels, *size) of bytes, and labels (count,) of integers from 0."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Split:
        """The examples at `index`, in that order."""
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True, slots=True)
class Sets:
    """A data set as it is distributed: what may be learned from, and what is kept for true errors."""

    train: Split
    test: Split
    classes: tuple[str, ...]


class Source(ABC):
    """Reads one data set."""

    @abstractmethod
    def load(self) -> Sets:
        """The whole set, decoded.

        Raises:
            ValueError: a file is missing or corrupt; the message names it and the remedy.
        """
