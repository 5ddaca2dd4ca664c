"""A picture of a data set: some examples of each class and its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL, GAP, TOP, FONT, TITLE = 112, 8, 48, 16, 20  # pixels
LONGEST = 22  # characters of a name


def contact_sheet(examples: Sequence[NDArray[np.uint8]], classes: Sequence[str], title: str) -> Image.Image:
    """A row for each class: its name, and its examples.

    Args:
        examples: bytes (count, channels, *size) for each class, of 1 or 3 channels in two or three dimensions; voxels
            are shown from the front, near ones light, with their last axis up.
        classes: their names.
        title: above all.
    """
    brightest = max(int(images.max()) for images in examples if len(images))
    names = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in classes]
    font, large = ImageFont.load_default(FONT), ImageFont.load_default(TITLE)
    left = int(max(font.getlength(name) for name in names)) + 3 * GAP
    columns = max(max(len(images) for images in examples), 3)
    sheet = Image.new("RGB", (left + columns * (CELL + GAP), TOP + len(names) * (CELL + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, TOP / 2), title, "black", large, anchor="lm")
    for row, (images, name) in enumerate(zip(examples, names, strict=True)):
        y = TOP + row * (CELL + GAP)
        draw.text((left - 2 * GAP, y + CELL / 2), name, "black", font, anchor="rm")
        for column, image in enumerate(images):
            cell = Image.fromarray(_pixels(image, brightest)).resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(cell, (left + column * (CELL + GAP), y))
    return sheet


def _pixels(image: NDArray[np.uint8], brightest: int) -> NDArray[np.uint8]:
    """Bytes, (height, width) or (height, width, 3)."""
    if image.ndim == 4:  # nearness of the first filled voxel along the second axis, the third one up
        grid = image[0] > 0
        near = 1 - 0.8 * grid.argmax(1) / grid.shape[1]
        return (255 * np.where(grid.any(1), near, 0.0).T[::-1]).astype(np.uint8)
    scaled = (image * (1.0 if brightest > 16 else 255 / brightest)).clip(0, 255).astype(np.uint8)
    return scaled[0] if len(image) == 1 else np.ascontiguousarray(scaled.transpose(1, 2, 0))
