"""RandAugment (Cubuk et al. 2020) for whole batches of bytes, on any device: every image has its own transforms."""

import math
from dataclasses import dataclass
from typing import Annotated, final

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor
from typing_extensions import override

from smash_lightning.data.augmentation import Augmentation, CropFlip

TRANSFORMS: tuple[str, ...] = (
    "identity",
    "autocontrast",
    "equalize",
    "solarize",
    "posterize",
    "brightness",
    "contrast",
    "color",
)
TRANSFORMS += ("sharpness", "rotate", "shear_x", "shear_y", "translate_x", "translate_y")
GREY = 128  # of what comes from outside of an image


@final
@dataclass(frozen=True)
class RandAugment(Augmentation):
    """`CropFlip`, then transforms that are drawn for each image, as Pillow computes them.

    Args:
        padding: of `CropFlip`.
        flip: of `CropFlip`.
        transforms: drawn for each image, one after another.
        magnitude: of each: 10 is a turn by 30 degrees, a shear by .3, a shift by .45 of the side, an enhancement by 1.9
            or .1, 4 bits of each value, or all values inverted.
    """

    padding: NonNegativeInt = 4
    flip: bool = True
    transforms: PositiveInt = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 4.0

    @override
    def draw(self, count: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Columns of `CropFlip`; then for each transform its number, and 1 where it has the opposite direction."""
        moves = CropFlip(self.padding, self.flip).draw(count, size, generator)
        numbers = torch.randint(len(TRANSFORMS), (count, self.transforms), generator=generator)
        signs = torch.randint(2, (count, self.transforms), generator=generator)
        return torch.cat((moves, torch.stack((numbers, signs), 2).flatten(1)), 1)

    @override
    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Each image of the batch, bytes of two axes, cropped, mirrored and transformed as drawn."""
        images = CropFlip(self.padding, self.flip).apply(images, drawn[:, :3])
        for number, sign in drawn[:, 3:].unflatten(1, (-1, 2)).permute(1, 2, 0):
            images = transformed(images, number, self.magnitude / 10 * (1 - 2 * sign))
        return images


def transformed(images: Tensor, number: Tensor, level: Tensor) -> Tensor:
    """Images (batch, channels, height, width), each by the transform of its number (batch,) at a level from -1 to 1.

    All transforms of values are computed for all images, so nothing waits for the device.
    """
    x, strength = images.float(), level.abs().view(-1, 1, 1, 1)
    step = torch.where(level.abs() < 1, 256 * (1 - level.abs()), 0).view(-1, 1, 1, 1)
    bits = 2 ** (4 * strength).int()
    weights = x.new_tensor([19595, 38470, 7471] if x.shape[1] == 3 else [65536 / x.shape[1]] * x.shape[1])
    grey = ((x * weights.view(-1, 1, 1)).sum(1, keepdim=True) / 65536 + 0.5).floor()
    smooth = x.clone()
    kernel = (1 + 4 * F.one_hot(torch.tensor(4, device=x.device), 9).view(1, 1, 3, 3).to(x)) / 13
    inner = F.conv2d(x.flatten(0, 1)[:, None], kernel)[:, 0].unflatten(0, x.shape[:2])
    smooth[..., 1:-1, 1:-1] = (inner + 0.5).floor()
    means = (grey.mean((2, 3), keepdim=True) + 0.5).floor()
    factor = 1 + 0.9 * level.view(-1, 1, 1, 1)
    enhanced = (base + factor * (x - base) for base in (torch.zeros_like(x), means, grey, smooth))
    values = [x, _autocontrast(x), _equalize(images), torch.where(x < step, x, 255 - x), (x / bits).floor() * bits]
    values += [each.clamp(0, 255).floor() for each in enhanced]
    found = _moved(x, number, level)
    for index, each in enumerate(values):
        found = torch.where((number == index).view(-1, 1, 1, 1), each, found)
    return found.to(images.dtype)


def _autocontrast(x: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    scale = 255 / (high - low).clamp(min=1)
    return torch.where(high > low, ((x - low) * scale + 1e-3).floor().clamp(0, 255), x)


def _equalize(images: Tensor) -> Tensor:
    places = images.flatten(2).long()
    counts = torch.zeros(*places.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, places, torch.ones_like(places))
    last = counts.gather(2, places.amax(2, keepdim=True))
    step = (counts.sum(2, keepdim=True) - last) // 255
    table = (step // 2 + counts.cumsum(2) - counts) // step.clamp(min=1)
    return torch.where(step > 0, table.clamp(max=255).gather(2, places), places).view(images.shape).float()


def _moved(x: Tensor, number: Tensor, level: Tensor) -> Tensor:
    """The nearest pixel of an affine transform, about the middle, for the last five numbers; for others the image."""
    height, width = x.shape[2:]
    first = TRANSFORMS.index("rotate")
    turn, shear_x, shear_y, left, down = (
        (level * (number == index)).view(-1, 1, 1) for index in range(first, len(TRANSFORMS))
    )
    cosine, sine = torch.cos(turn * math.pi / 6), torch.sin(turn * math.pi / 6)
    row = torch.arange(height, device=x.device)[:, None] + 0.5 - height / 2
    column = torch.arange(width, device=x.device) + 0.5 - width / 2
    from_row = cosine * row + (0.3 * shear_y - sine) * column + (0.45 * height * down).round()
    from_column = cosine * column + (0.3 * shear_x + sine) * row + (0.45 * width * left).round()
    i, j = (from_row + height / 2).floor().long(), (from_column + width / 2).floor().long()
    inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    places = (i.clamp(0, height - 1) * width + j.clamp(0, width - 1)).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return torch.where(inside[:, None], x.flatten(2).gather(2, places).view(x.shape), GREY)
