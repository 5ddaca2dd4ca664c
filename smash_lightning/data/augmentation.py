"""Random changes to training images that keep their class: drawn for an epoch at once, applied to a batch at once.

Both move whole runs of consecutive values (a row of pixels, a column of voxels): a batch costs one gather of runs,
whatever is drawn for its images, and nothing waits for the device.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from smash_lightning.option_types import require_bounds


class Augmentation(ABC):
    """Parameters are drawn apart from the images, so that the change of an image does not depend on its batch.

    Subclasses are frozen dataclasses, whose options are checked against their annotations.
    """

    def __post_init__(self) -> None:
        require_bounds(self, "dataset.augmentation")

    @property
    def views(self) -> int:
        """Poses of an image over which predictions are averaged at test; 1 for none."""
        return 1

    @abstractmethod
    def draw(self, count: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Parameters for `count` images of `size`: 64-bit integers (count, parameters) on the CPU."""

    @abstractmethod
    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Images (batch, channels, *size), each changed by its row of `drawn` (batch, parameters), on one device."""

    def view(self, images: Tensor, index: int) -> Tensor:
        """Pose `index` of images (batch, channels, *size); pose 0 is the original one."""
        assert index == 0
        return images


@final
@dataclass(frozen=True)
class CropFlip(Augmentation):
    """Images of two dimensions are mirrored left to right or not, padded with black and cropped at random."""

    padding: NonNegativeInt = 4
    flip: bool = True

    def draw(self, count: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Columns: the crop's first row and first column in the padded image, and 1 where the image is mirrored."""
        _require(self, 2, size)
        crops = torch.randint(2 * self.padding + 1, (count, 2), generator=generator)
        return torch.cat((crops, torch.randint(1 + self.flip, (count, 1), generator=generator)), 1)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Each image of the batch, mirrored and cropped as drawn."""
        batch, _, height, width = images.shape
        top, left, mirrored = drawn.unbind(1)
        framed = F.pad(torch.cat((images, images.flip(-1))), (self.padding,) * 4)
        starts = torch.arange(framed[0].numel(), device=images.device).view(framed.shape[1:])[:, :height, 0]
        image = torch.arange(batch, device=images.device) + mirrored * batch
        first = image * framed[0].numel() + top * framed.shape[-1] + left
        return _runs(framed, first[:, None, None] + starts, width).view_as(images)


@final
@dataclass(frozen=True)
class VoxelMoves(Augmentation):
    """Grids (x, y, z), z being up, are turned about the vertical, mirrored along x and y, and shifted, in this order.

    Turning takes the nearest voxel; on grids as long as wide, turns by multiples of 90 degrees are exact. Voxels from
    outside are empty; parts that leave the grid are lost.

    Args:
        shift: voxels by which a grid is shifted along each axis at most.
        flips: whether to mirror half of the grids along x, and half along y.
        rotations: steps of a full turn; predictions are averaged over them at test.
    """

    shift: NonNegativeInt = 2
    flips: bool = True
    rotations: PositiveInt = 12

    @property
    def views(self) -> int:
        """One for each step of a full turn."""
        return self.rotations

    def draw(self, count: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Columns: steps to turn; 1 where mirrored along x, and along y; voxels to shift along x, y and z."""
        _require(self, 3, size)
        turns = torch.randint(self.rotations, (count, 1), generator=generator)
        coins = torch.randint(1 + self.flips, (count, 2), generator=generator)
        shifts = torch.randint(-self.shift, self.shift + 1, (count, 3), generator=generator)
        return torch.cat((turns, coins, shifts), 1)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Each grid of the batch, turned, mirrored and shifted as drawn."""
        batch, channels, length, width, height = images.shape
        turn, mirrored_x, mirrored_y, *_ = drawn.unbind(1)
        shift = self.shift - drawn[:, 3:]
        table = _turns(self.rotations, length, width, self.shift, images.device)
        _, rows, columns = table.shape
        x = _line(length, rows, shift[:, 0], mirrored_x)
        y = _line(width, columns, shift[:, 1], mirrored_y)
        places = (turn[:, None] * rows + x)[:, :, None] * columns + y[:, None]
        sources = table.view(-1).index_select(0, places.view(-1)).view(batch, 1, -1)
        # One more column after those of each grid, an empty one, represents everything outside.
        padded = F.pad(images.reshape(batch, channels, -1, height), (self.shift, self.shift, 0, 1))
        grid = torch.arange(batch * channels, device=images.device).view(batch, channels, 1) * padded.shape[2]
        starts = (grid + sources) * padded.shape[3] + shift[:, 2, None, None]
        return _runs(padded, starts, height).view_as(images)

    def view(self, images: Tensor, index: int) -> Tensor:
        """Every grid turned by `index` steps: anticlockwise, from x to y, seen from above."""
        drawn = torch.zeros(len(images), 6, dtype=torch.int64, device=images.device)
        drawn[:, 0] = index
        return self.apply(images, drawn)


def _require(augmentation: Augmentation, dimensions: int, size: tuple[int, ...]) -> None:
    if len(size) != dimensions:
        raise ValueError(
            f"dataset.augmentation: {type(augmentation).__name__} is for images of {dimensions} dimensions, and these "
            f"have {len(size)}: choose another or null"
        )


def _runs(values: Tensor, starts: Tensor, length: int) -> Tensor:
    """The runs of `length` values from `starts` in contiguous values, one after another."""
    values = values.reshape(-1)
    runs = values.as_strided((values.numel() - length + 1, length), (1, 1))
    return runs.index_select(0, starts.view(-1))


def _line(length: int, padded: int, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Positions in a line of `padded` from which the voxels of a line of `length` are taken: (batch, length)."""
    straight = torch.arange(length, device=shift.device) + shift[:, None]
    return straight + mirrored[:, None] * (padded - 1 - 2 * straight)


@lru_cache(maxsize=16)
def _turns(rotations: int, length: int, width: int, margin: int, device: torch.device) -> Tensor:
    """Column that comes to each position when a grid is turned: (rotations, length + 2 margin, width + 2 margin).

    Columns are counted along y first; length * width represents the outside.
    """
    x = torch.arange(length, dtype=torch.float64)[:, None] - (length - 1) / 2
    y = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    tables = []
    for step in range(rotations):
        angle = 2 * math.pi * step / rotations
        back_x = math.cos(angle) * x + math.sin(angle) * y + (length - 1) / 2
        back_y = math.cos(angle) * y - math.sin(angle) * x + (width - 1) / 2
        # Half way between two voxels, the last digit of a sine must not decide.
        i, j = ((back.round(decimals=6) + 0.5).floor().long() for back in (back_x, back_y))
        inside = (i >= 0) & (i < length) & (j >= 0) & (j < width)
        tables.append(torch.where(inside, i * width + j, length * width))
    return F.pad(torch.stack(tables), (margin,) * 4, value=length * width).to(device)
