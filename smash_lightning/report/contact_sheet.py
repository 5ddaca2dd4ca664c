"""A picture of a data set: the name of each class and some of its images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Bytes = NDArray[np.uint8]
CELL, GAP, FONT = 112, 6, 24  # pixels of an example's side, between examples, and of the text
LIMIT = 22  # letters of a name


def contact_sheet(examples: Sequence[Bytes], classes: Sequence[str], title: str) -> Image.Image:
    """A row for each class: its name and its examples, bytes (count, channels, *size).

    They have 1 or 3 channels and two or three dimensions; voxels are shown from the front, near ones light, with their
    last axis up.
    """
    font = ImageFont.load_default(FONT)
    names = [name if len(name) <= LIMIT else name[: LIMIT - 1] + "…" for name in classes]
    left = 2 * GAP + int(max(map(font.getlength, names)))
    step, top = CELL + GAP, FONT + 4 * GAP
    width = max(left + step * max(map(len, examples)), int(font.getlength(title)) + 2 * GAP)
    sheet = Image.new("RGB", (width, top + step * len(names)), "white")
    text = ImageDraw.Draw(sheet)
    text.text((GAP, GAP), title, "black", font)
    brightest = max(int(images.max()) for images in examples if len(images))
    for row, (images, name) in enumerate(zip(examples, names, strict=True)):
        y = top + step * row
        text.text((left - GAP, y + CELL // 2), name, "black", font, anchor="rm")
        for column, image in enumerate(images):
            cell = Image.fromarray((255 * picture(image, brightest)).round().astype(np.uint8))
            cell = cell.resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(cell, (left + step * column, y))
    return sheet


def picture(image: Bytes, brightest: int) -> NDArray[np.float64]:
    """Values from 0 to 1, (height, width) or (height, width, 3); `brightest` is the largest byte of all images."""
    if image.ndim == 4:
        grid = image[0] > 0  # nearness of the first filled voxel along the second axis, z up
        return np.where(grid.any(1), 1 - 0.8 * grid.argmax(1) / grid.shape[1], 0.0).T[::-1]
    scaled = image / (255 if brightest > 16 else brightest)
    return scaled[0] if len(image) == 1 else scaled.transpose(1, 2, 0)
