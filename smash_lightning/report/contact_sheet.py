"""A picture of a data set: some examples of each class beside its name, so that one sees what one learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

CELL = 0.75  # inches of an example's side
LETTER = 0.1  # inches of a name's letter, about
DPI = 150


def contact_sheet(examples: Sequence[Bytes], classes: Sequence[str], title: str) -> Figure:
    """A row for each class: its name, and its examples.

    Args:
        examples: bytes (count, channels, *size) for each class, of 1 or 3 channels in two or three dimensions; voxels
            are shown from the front, near ones light, with their last axis up.
        classes: their names.
        title: above all.
    """
    columns = max(len(images) for images in examples)
    brightest = max(int(images.max()) for images in examples if len(images))
    names = [_short(name) for name in classes]
    width = 0.3 + LETTER * max(map(len, names))
    figure = Figure(figsize=(width + columns * CELL, 0.6 + len(names) * CELL), layout="constrained")
    figure.suptitle(title, fontsize=12, parse_math=False)
    grid = figure.add_gridspec(len(names), columns + 1, width_ratios=[width / CELL, *[1] * columns])
    for row, (images, name) in enumerate(zip(examples, names, strict=True)):
        label = figure.add_subplot(grid[row, 0])
        label.axis("off")
        label.text(1, 0.5, name, ha="right", va="center", fontsize=10, transform=label.transAxes, parse_math=False)
        for column, image in enumerate(images):
            axes = figure.add_subplot(grid[row, column + 1])
            axes.axis("off")
            axes.imshow(_picture(image, brightest), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure


def _picture(image: Bytes, brightest: int) -> NDArray[np.float64]:
    """Values from 0 to 1, (height, width) or (height, width, 3)."""
    if image.ndim == 4:
        return _seen_from_the_front(image[0] > 0)
    scaled = image / (255 if brightest > 16 else brightest)
    return scaled[0] if len(image) == 1 else scaled.transpose(1, 2, 0)


def _seen_from_the_front(grid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Nearness of the first filled voxel along the second axis, z up (z, x); 0 where there is none."""
    near = 1 - 0.8 * grid.argmax(1) / grid.shape[1]
    return np.where(grid.any(1), near, 0.0).T[::-1]


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
