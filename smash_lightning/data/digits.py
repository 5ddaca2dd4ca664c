"""Handwritten digits: 1,797 real images of 8x8 that scikit-learn contains, so that nothing is downloaded.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from smash_lightning.data.source import RawDataset, Source, Split
from smash_lightning.random_streams import Stream, generator


@dataclass(frozen=True)
class Digits(Source):
    """The digits in one fixed order, the last `test` of which are the test set."""

    test: int = 697

    def files(self) -> Sequence[Path]:
        """None: the images are part of scikit-learn."""
        return ()

    def read(self) -> RawDataset:
        """Images (count, 1, 8, 8) with values from 0 to 16."""
        digits = load_digits()
        if not 1 <= self.test < len(digits.target):
            raise ValueError(f"dataset.source.test must be from 1 to {len(digits.target) - 1}, got {self.test}")
        whole = Split(torch.from_numpy(digits.images).to(torch.uint8)[:, None], torch.from_numpy(digits.target).long())
        order = torch.randperm(len(whole), generator=generator(Stream.DIGITS))
        return RawDataset(whole.take(order[: -self.test]), whole.take(order[-self.test :]), tuple("0123456789"))
