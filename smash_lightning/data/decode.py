"""How do encoded images (JPEG, PNG, ...) with labels become the bytes of a data set?

EXIF orientation: CIPA DC-008 (Exif 2.32), tag 0x0112.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from smash_lightning.data.source import MOST_UNREADABLE, RawDataset, Split
from smash_lightning.progress_bars import ProgressBars

# Named, as Pillow would otherwise also run what is not an image: PostScript.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_GREY = {"1", "L", "LA", "La"}
_PER_JOB = 32  # images that a thread takes at once: small ones cost less than giving out a job
_JOBS_AHEAD = 32  # jobs that are read but not yet stored: they bound the memory that is used besides the result

Pixels = NDArray[np.uint8]
Size = tuple[int, int] | int | None
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image.

    Args:
        name: how messages call it.
        content: its file, or what such a file holds; None where there is nothing.
    """

    name: str
    content: Path | bytes | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What could be decoded of some images.

    Args:
        images: bytes (readable ones, 1 or 3 channels, height, width), in order.
        readable: which of the encoded images these are (count,).
        unreadable: names of the others.
    """

    images: Tensor
    readable: Tensor
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unreadable:
    reason: str


def decode(encoded: Iterable[Encoded], count: int, size: Size) -> Decoded:
    """Decodes images in threads.

    They come out in grey (one channel) if all are grey, otherwise as RGB. Grey of 16 bits is scaled to 8. What is
    transparent lies on white; palettes and CMYK become RGB; the orientation that a camera noted in EXIF is applied; of
    an animation the first image is taken.

    Args:
        encoded: the images, which may be read while they are taken.
        count: how many there are.
        size: (height, width) to which an image is enlarged or reduced (Lanczos) so that it just covers that, and whose
            middle is kept; one number stands for a square; None keeps images as they are.

    Raises:
        ValueError: without `size`, images differ in size; or more than 1 % cannot be read. Fewer are left out.
    """
    target = (size, size) if isinstance(size, int) else size
    store = _Store(count)
    with ThreadPoolExecutor() as pool, ProgressBars(["decoding images"], [count]) as bars:
        for job, results in _in_order(pool, lambda job: [_pixels(each, target) for each in job], _jobs(encoded)):
            for each, result in zip(job, results, strict=True):
                store.add(each.name, result)
            bars.show(0, store.seen)
    return store.decoded()


def decoded_sets(
    encoded: Iterable[Encoded],
    labels: Tensor,
    held: Tensor,
    classes: tuple[str, ...],
    size: Size,
    notes: Sequence[str] = (),
) -> RawDataset:
    """A data set from encoded images; its notes state what had to be left out.

    Args:
        encoded: training and test images, in any order.
        labels: label of each (count,).
        held: which are test images (count,).
        classes: name of each label.
        size: as in `decode`.
        notes: what else is to be stated.

    Raises:
        ValueError: as `decode`.
    """
    decoded = decode(encoded, len(labels), size)
    whole, held = Split(decoded.images, labels[decoded.readable]), held[decoded.readable]
    trained = int((~held).sum())
    if held[:trained].any():  # a copy of all images, which the usual order, all test images last, saves
        whole = whole.take(torch.argsort(held.byte(), stable=True))
    train = Split(whole.images[:trained], whole.labels[:trained])
    test = Split(whole.images[trained:], whole.labels[trained:])
    notes = list(notes)
    if decoded.unreadable:
        names = listed(decoded.unreadable)
        notes.append(f"Unreadable and left out: {len(decoded.unreadable)} of {len(labels)} images, {names}.")
    for name, split in (("training", train), ("test", test)):
        absent = (torch.bincount(split.labels, minlength=len(classes)) == 0).nonzero().flatten().tolist()
        if absent:
            notes.append(f"There is no {name} image of {listed([classes[label] for label in absent])}.")
    return RawDataset(train, test, classes, tuple(notes))


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


class _Store:
    """Takes images in order. Space is for RGB until it is known that all were grey."""

    def __init__(self, count: int) -> None:
        self.seen = 0
        self._readable = np.zeros(count, dtype=bool)
        self._images: NDArray[np.uint8] = np.empty((0, 3, 0, 0), dtype=np.uint8)
        self._stored = 0
        self._grey = True
        self._first = ""
        self._unreadable: list[tuple[str, str]] = []

    def add(self, name: str, result: Pixels | _Unreadable) -> None:
        assert self.seen < len(self._readable), "more images than were counted"
        if isinstance(result, _Unreadable):
            self._unreadable.append((name, result.reason))
        else:
            if not self._stored:
                self._images = np.empty((len(self._readable), 3, *result.shape[1:]), dtype=np.uint8)
                self._first = name
            if result.shape[1:] != self._images.shape[2:]:
                (height, width), (other_height, other_width) = self._images.shape[2:], result.shape[1:]
                raise ValueError(
                    f"images differ in size: {self._first} has {width}x{height} pixels, {name} has "
                    f"{other_width}x{other_height}: dataset.size=N brings all to NxN"
                )
            self._images[self._stored] = result
            self._readable[self.seen] = True
            self._grey &= len(result) == 1
            self._stored += 1
        self.seen += 1

    def decoded(self) -> Decoded:
        assert self.seen == len(self._readable), "fewer images than were counted"
        if not self._stored or len(self._unreadable) > MOST_UNREADABLE * self.seen:
            name, reason = self._unreadable[0]
            raise ValueError(
                f"{len(self._unreadable)} of {self.seen} images cannot be read, the first is {name} ({reason}): "
                f"replace them or take them away; only up to 1 % are skipped"
            )
        images = torch.from_numpy(self._images[: self._stored])
        return Decoded(
            images[:, :1].clone() if self._grey else images,
            torch.from_numpy(self._readable),
            tuple(name for name, _ in self._unreadable),
        )


def _jobs(encoded: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    iterator = iter(encoded)
    while job := list(islice(iterator, _PER_JOB)):
        yield job


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Like the pool's own `map`, which would take all items, and so all encoded images, at once."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > _JOBS_AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _pixels(encoded: Encoded, size: tuple[int, int] | None) -> Pixels | _Unreadable:
    """Bytes (1 or 3 channels, height, width) of one image."""
    if encoded.content is None:
        return _Unreadable("it has no content")
    try:
        file = io.BytesIO(encoded.content) if isinstance(encoded.content, bytes) else encoded.content
        with Image.open(file, formats=_FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)
            flat = _grey_or_rgb(image)
        if size is not None:
            flat = ImageOps.fit(flat, size[::-1], Image.Resampling.LANCZOS)
    except UnidentifiedImageError:
        return _Unreadable("no image of a known type")
    except MemoryError:
        raise
    except Exception as error:  # Pillow documents no common type of what its decoders raise on corrupt files
        return _Unreadable(str(error).partition("\n")[0] or type(error).__name__)
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
