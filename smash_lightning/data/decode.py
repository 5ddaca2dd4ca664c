"""Decodes images (JPEG, PNG, ...) with labels into the bytes of a data set.

EXIF orientation: CIPA DC-008 (Exif 2.32), tag 0x0112.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from smash_lightning.data.source import MAX_UNREADABLE, RawDataset, Split, listed
from smash_lightning.progress_bars import ProgressBars

# Named, as Pillow would otherwise also run PostScript.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_GREY = {"1", "L", "LA", "La"}
_PER_JOB = 32  # images that a thread takes at once: a small one costs less than scheduling a job
_JOBS_AHEAD = 32  # jobs that are read but not yet stored: bounds the memory used in addition to the result

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image: its name in messages, and its file or the content of such a file; None for none."""

    name: str
    content: Path | bytes | None


def decode(encoded: Iterable[Encoded], count: int, size: int | None) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Decodes `count` images in threads; an iterator is read while images are decoded.

    Grey of 16 bits is scaled to 8. Transparent parts become white; palettes and CMYK become RGB; the EXIF orientation
    is applied; of an animation the first image is taken. With `size`, an image is enlarged or reduced (Lanczos) so that
    it just covers a square of that side, whose middle is kept.

    Returns:
        Bytes (readable ones, 1 channel if all are grey or else 3, height, width); which of the encoded images these are
        (count,); and the names of the others.

    Raises:
        ValueError: without `size`, images differ in size; or more than 1 % cannot be read. Fewer are left out.
    """
    images = np.empty((0, 3, 0, 0), dtype=np.uint8)  # RGB, until it is known that all are grey
    readable = np.zeros(count, dtype=bool)
    unreadable: list[tuple[str, str]] = []
    first, stored, grey = "", 0, True
    with ProgressBars(["decoding images"], [count]) as bars:
        for position, (name, pixels) in enumerate(_in_order(encoded, size)):
            if position % _PER_JOB == 0:
                bars.show(0, position)
            if isinstance(pixels, str):
                unreadable.append((name, pixels))
                continue
            if not stored:
                images, first = np.empty((count, 3, *pixels.shape[1:]), dtype=np.uint8), name
            if pixels.shape[1:] != images.shape[2:]:
                (height, width), (other_height, other_width) = images.shape[2:], pixels.shape[1:]
                raise ValueError(
                    f"images differ in size: {first} has {width}x{height} pixels, {name} has "
                    f"{other_width}x{other_height}: dataset.size=N brings all to NxN"
                )
            images[stored] = pixels
            readable[position] = True
            grey &= len(pixels) == 1
            stored += 1
        bars.show(0, count)
    if not stored or len(unreadable) > MAX_UNREADABLE * count:
        name, reason = unreadable[0]
        raise ValueError(
            f"{len(unreadable)} of {count} images cannot be read, the first is {name} ({reason}): "
            f"replace or remove them; only up to 1 % are left out"
        )
    result = torch.from_numpy(images[:stored])
    names = tuple(name for name, _ in unreadable)
    return result[:, :1].clone() if grey else result, torch.from_numpy(readable), names


def decoded_dataset(
    encoded: Iterable[Encoded],
    labels: Tensor,
    held: Tensor,
    classes: tuple[str, ...],
    size: int | None,
    notes: Sequence[str] = (),
) -> RawDataset:
    """A data set from encoded images in any order; `held` (count,) are those of the test set.

    Its notes name images that were left out, see `decode`.
    """
    images, readable, unreadable = decode(encoded, len(labels), size)
    whole, held = Split(images, labels[readable]), held[readable]
    trained = int((~held).sum())
    if held[:trained].any():  # this copies all images; the usual order, all test images last, needs no copy
        whole = whole.take(torch.argsort(held.byte(), stable=True))
    train = Split(whole.images[:trained], whole.labels[:trained])
    test = Split(whole.images[trained:], whole.labels[trained:])
    notes = list(notes)
    if unreadable:
        notes.append(f"Unreadable and left out: {len(unreadable)} of {len(labels)} images, {listed(unreadable)}.")
    for name, split in (("training", train), ("test", test)):
        absent = (torch.bincount(split.labels, minlength=len(classes)) == 0).nonzero().flatten().tolist()
        if absent:
            notes.append(f"There is no {name} image of {listed([classes[label] for label in absent])}.")
    return RawDataset(train, test, classes, tuple(notes))


def printable(name: str | os.PathLike[str]) -> str:
    """A name of a file or folder as text that can be encoded: bytes that are no UTF-8 become a replacement mark."""
    return os.fsencode(name).decode("utf-8", "replace")


def _in_order(encoded: Iterable[Encoded], size: int | None) -> Iterator[tuple[str, Pixels | str]]:
    """Name, and pixels or why there are none, of each image; a pool's own `map` would read all images at once."""

    def job(images: list[Encoded]) -> list[tuple[str, Pixels | str]]:
        return [(each.name, _pixels(each.content, size)) for each in images]

    iterator = iter(encoded)
    waiting: deque[Future[list[tuple[str, Pixels | str]]]] = deque()
    with ThreadPoolExecutor() as pool:
        while images := list(islice(iterator, _PER_JOB)):
            waiting.append(pool.submit(job, images))
            if len(waiting) > _JOBS_AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _pixels(content: Path | bytes | None, size: int | None) -> Pixels | str:
    """Bytes (1 or 3 channels, height, width) of one image, or why it cannot be read."""
    if content is None:
        return "it has no content"
    try:
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        with Image.open(file, formats=_FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)
            flat = _grey_or_rgb(image)
        if size is not None:
            flat = ImageOps.fit(flat, (size, size), Image.Resampling.LANCZOS)
    except UnidentifiedImageError:
        return "no image of a known type"
    except MemoryError:
        raise
    except Exception as error:  # Pillow documents no common type of its decoders' exceptions on corrupt files
        return printable(str(error).partition("\n")[0]) or type(error).__name__
    array = np.asarray(flat)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("its pixels have more than 16 bits")
        return Image.fromarray(((values * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown")
    grey = image.mode in _GREY
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")
