"""Every transform is that of Pillow, whatever the other images of the batch get."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from smash_lightning.data import RandAugment
from smash_lightning.data.rand_augment import GREY, TRANSFORMS, transformed
from smash_lightning.random_streams import generator


def affine(image: Image.Image, level: float, name: str) -> Image.Image:
    width, height = image.size
    a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0
    if name == "rotate":
        a, b, d, e = math.cos(level * math.pi / 6), math.sin(level * math.pi / 6), 0, 0
        d, e = -b, a
    elif name.startswith("shear"):
        b, d = (0.3 * level, 0.0) if name == "shear_x" else (0.0, 0.3 * level)
    elif name == "translate_x":
        c = round(0.45 * width * level)
    else:
        f = round(0.45 * height * level)
    c += width / 2 - a * width / 2 - b * height / 2  # about the middle
    f += height / 2 - d * width / 2 - e * height / 2
    return image.transform(image.size, Image.Transform.AFFINE, (a, b, c, d, e, f), fillcolor=(GREY,) * 3)


def by_pillow(image: Image.Image, name: str, level: float) -> Image.Image:
    factor = 1 + 0.9 * level
    if name in ("brightness", "contrast", "color", "sharpness"):
        return getattr(ImageEnhance, name.capitalize())(image).enhance(factor)
    if name in ("autocontrast", "equalize", "identity"):
        return getattr(ImageOps, name, lambda same: same)(image)
    if name == "solarize":
        return ImageOps.solarize(image, 256 * (1 - abs(level)))
    if name == "posterize":
        return ImageOps.posterize(image, 8 - int(4 * abs(level)))
    return affine(image, level, name)


def pictures(count: int) -> Tensor:
    """Noise of little contrast, of one value, and a ramp."""
    draws = generator("pictures")
    noise = torch.randint(40, 220, (count, 3, 12, 16), generator=draws, dtype=torch.uint8)
    noise[1] = 77
    noise[2] = torch.linspace(3, 250, 16).to(torch.uint8)
    return noise


@pytest.mark.parametrize("level", [-1.0, -0.35, 0.0, 0.4, 1.0])
def test_transforms_are_those_of_pillow(level: float) -> None:
    images = pictures(len(TRANSFORMS))
    for shift in range(len(TRANSFORMS)):
        numbers = (torch.arange(len(images)) + shift) % len(TRANSFORMS)
        ours = transformed(images, numbers, torch.full((len(images),), level))
        for image, number, mine in zip(images, numbers, ours, strict=True):
            name = TRANSFORMS[number]
            theirs = by_pillow(Image.fromarray(image.permute(1, 2, 0).numpy()), name, level)
            expected = torch.from_numpy(np.array(theirs)).permute(2, 0, 1)
            difference = (mine.int() - expected.int()).abs()
            if name in ("brightness", "contrast", "color", "sharpness", "autocontrast"):
                assert difference.max() <= 1, name  # of rounding
                assert difference.double().mean() < 0.02, name
            else:
                assert (difference > 0).double().mean() < 0.01, name  # half way between two pixels


def test_grey_images_and_no_magnitude() -> None:
    images = pictures(14)[:, :1]
    drawn = RandAugment(transforms=3).draw(14, (12, 16), generator(0))
    changed = RandAugment(transforms=3).apply(images, drawn)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, images)
    values = ("identity", "solarize", "posterize", "brightness", "contrast", "color", "sharpness", *TRANSFORMS[-5:])
    for name in values:
        number = torch.full((14,), TRANSFORMS.index(name))
        assert torch.equal(transformed(images, number, torch.zeros(14)), images), name
