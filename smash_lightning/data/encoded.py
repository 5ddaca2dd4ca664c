"""Data sets of encoded images (JPEG, PNG, ...), decoded into bytes.

EXIF orientation: CIPA DC-008 (Exif 2.32), tag 0x0112.
"""

import io
import os
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from smash_lightning.data.source import MAX_UNREADABLE, RawDataset, Source, Split, listed
from smash_lightning.random_streams import Stream, generator

_WORDS = {
    "train": ("train", "training", "trainset"),
    "test": ("test", "testing", "testset", "eval", "evaluation"),
    "validation": ("val", "valid", "validation", "valset", "dev"),
}
SPLIT_WORDS = {word: split for split, words in _WORDS.items() for word in words}
# Named, as Pillow would otherwise also run PostScript.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image: its name in messages, and its file or the content of such a file; None for none."""

    name: str
    content: Path | bytes | None


@dataclass(frozen=True, slots=True)
class Examples:
    """Images of a split in order, and their labels: a class's name or its number; None or -1 for none."""

    labels: Sequence[int | str | None]
    images: Iterable[Encoded]


@dataclass(frozen=True, kw_only=True)
class EncodedImages(Source):
    """Reads encoded images. conf/dataset/folder.yaml explains the options."""

    size: int | None = None
    test_share: float = 0.2
    seed: int = 0
    train_split: str | None = None
    test_split: str | None = None

    @abstractmethod
    def _examples(self) -> tuple[Mapping[str, Examples], Sequence[str], list[str]]:
        """The splits train, test and validation, as far as they exist; names of the classes; and notes."""

    def _named_splits(self) -> dict[str, str]:
        if self.size is not None and self.size < 1:
            raise ValueError(f"dataset.size must be at least 1, got {self.size}")
        if not 0 < self.test_share < 1:
            raise ValueError(f"dataset.source.test_share must be between 0 and 1, got {self.test_share}")
        if self.train_split is None and self.test_split is not None:
            raise ValueError(f"dataset.test_split={self.test_split} needs dataset.train_split as well")
        named = {"train": self.train_split, "test": self.test_split}
        return {split: name for split, name in named.items() if name is not None}

    def read(self) -> RawDataset:
        """Images (count, 1 or 3, height, width), in the order of files and rows within each split.

        Raises:
            ValueError: a label is missing or of no class; a test set is to be drawn and a class has one image only; or
                as `files` and `decode`.
        """
        splits, classes, notes = self._examples()
        test, test_notes = _choose_test(splits)
        used = {name: splits[name] for name in ("train", test) if name is not None}
        labels = torch.tensor([n for name, part in used.items() for n in _numbers(name, part.labels, classes)])
        held = torch.arange(len(labels)) >= len(splits["train"].labels)
        if test is None:
            held = draw_test(labels, classes, self.test_share, self.seed)
            share = f"{self.test_share:g} of each class, drawn from train with seed {self.seed}"
            test_notes.append(f"There is no test split: {share}, is the test set.")
        notes = [*notes, *test_notes]
        images = chain.from_iterable(part.images for part in used.values())
        (train, tested), readable, unreadable = decode(images, held, self.size)
        if unreadable:
            notes.append(f"Unreadable and left out: {len(unreadable)} of {len(labels)} images, {listed(unreadable)}.")
        sets = Split(train, labels[readable & ~held]), Split(tested, labels[readable & held])
        for name, split in zip(("training", "test"), sets, strict=True):
            counts = torch.bincount(split.labels, minlength=len(classes)).tolist()
            if absent := [each for each, count in zip(classes, counts, strict=True) if not count]:
                notes.append(f"There is no {name} image of {listed(absent)}.")
        return RawDataset(*sets, tuple(classes), tuple(notes))


def split_words(name: str) -> set[str]:
    """The splits that the words of a name denote: {"train"} for training_set, mnist-train-00000 and TrainImages."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS}


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden, or was made by an operating system."""
    return path.name.startswith(".") or path.name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def walk(folder: Path) -> Iterator[Path]:
    """All files in a folder and those within it; a linked folder is followed, but no folder is read twice."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(Path(name)))
        yield from (path for path in map(Path(place).joinpath, files) if not is_hidden(path))


def printable(name: str | os.PathLike[str]) -> str:
    """A name of a file or folder as text that can be encoded: bytes that are no UTF-8 become a replacement mark.

    An accent and its letter become one character (NFC), as systems differ in that.
    """
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))


def draw_test(labels: Tensor, classes: Sequence[str], share: float, seed: int) -> Tensor:
    """Which images are drawn as the test set (count,): `share` of each class, at least one, and at least one stays.

    The draw from a class depends on the order and number of its images, its name and the seed alone.
    """
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label, name in enumerate(classes):
        of_class = (labels == label).nonzero().flatten()
        if len(of_class) == 1:
            raise ValueError(f"class {name} has one image only: it needs two, as a test set is to be drawn from train")
        taken = min(max(round(share * len(of_class)), 1), len(of_class) - 1)
        order = torch.randperm(len(of_class), generator=generator(Stream.TEST_SPLIT, seed, name))
        held[of_class[order[:taken]]] = True
    return held


def _choose_test(splits: Mapping[str, Examples]) -> tuple[str | None, list[str]]:
    """Which split is the test set, the first of test and validation that has labels, and notes."""
    found = [name for name in ("test", "validation") if name in splits]
    labelled = [name for name in found if any(label not in (None, -1) for label in splits[name].labels)]
    notes = [f"The {name} split is left out, as its images have no labels." for name in found if name not in labelled]
    if labelled == ["validation"]:
        notes.append("There is no test split: the validation split serves as the test set.")
    if labelled == ["test", "validation"]:
        notes.append("The validation split is left out: images for validation are held out from train.")
    return (labelled[0] if labelled else None), notes


def _numbers(split: str, labels: Iterable[int | str | None], classes: Sequence[str]) -> Iterator[int]:
    known = {name: number for number, name in enumerate(classes)}
    for position, label in enumerate(labels):
        number = known.get(label) if isinstance(label, str) else label
        if number is None or not 0 <= number < len(classes):
            what = "no label" if label is None else f"the label {label}, which is none of the {len(classes)} classes"
            raise ValueError(f"image {position} of the {split} split has {what}: correct it or leave it out")
        yield number


def decode(
    encoded: Iterable[Encoded], held: Tensor, size: int | None
) -> tuple[tuple[Tensor, Tensor], Tensor, list[str]]:
    """Decodes images in threads, those of the test set, `held` (count,), apart from the others.

    Grey of 16 bits is scaled to 8. Transparent parts become white; palettes and CMYK become RGB; the EXIF orientation
    is applied; of an animation the first image is taken. With `size`, an image is enlarged or reduced (Lanczos) so that
    it just covers a square of that side, whose middle is kept.

    Returns:
        Bytes (readable ones, 1 channel if all are grey or else 3, height, width) of the training and of the test
        images; which of the encoded images are readable (count,); and the names of the others.

    Raises:
        ValueError: without `size`, images differ in size; or more than 1 % cannot be read. Fewer are left out.
    """
    images: list[Pixels] = []  # of train and test; RGB, until it is known that all are grey
    readable = np.zeros(len(held), dtype=bool)
    unreadable: list[tuple[str, str]] = []
    first, stored, grey = "", [0, 0], True
    square = None if size is None else (size, size)
    # A bounded number of images is read ahead; a batch of them costs less than scheduling each.
    pool = Parallel(os.cpu_count(), prefer="threads", return_as="generator", batch_size=32, pre_dispatch="4*n_jobs")
    decoded = tqdm(
        pool(delayed(pixels_of)(each, square) for each in encoded), "decoding images", len(held), disable=None
    )
    for position, (test, (name, pixels)) in enumerate(zip(held.long().tolist(), decoded, strict=True)):
        if isinstance(pixels, str):
            unreadable.append((name, pixels))
            continue
        if not images:
            counts = (len(held) - int(held.sum()), int(held.sum()))
            images, first = [np.empty((count, 3, *pixels.shape[1:]), dtype=np.uint8) for count in counts], name
        if pixels.shape[1:] != images[0].shape[2:]:
            shapes = [f"{shape[-1]}x{shape[-2]}" for shape in (images[0].shape, pixels.shape)]
            raise ValueError(
                f"images differ in size: {first} has {shapes[0]} pixels, {name} has {shapes[1]}: dataset.size=N brings "
                "all to NxN"
            )
        images[test][stored[test]] = pixels
        readable[position] = True
        grey &= len(pixels) == 1
        stored[test] += 1
    if len(unreadable) > MAX_UNREADABLE * len(held) or not images:
        name, reason = unreadable[0]
        raise ValueError(
            f"{len(unreadable)} of {len(held)} images cannot be read, the first is {name} ({reason}): replace or "
            "remove them; only up to 1 % are left out"
        )
    parts = [torch.from_numpy(part[:count]) for part, count in zip(images, stored, strict=True)]
    train, test_images = [part[:, :1].clone() for part in parts] if grey else parts
    return (train, test_images), torch.from_numpy(readable), [name for name, _ in unreadable]


def pixels_of(encoded: Encoded, size: tuple[int, int] | None) -> tuple[str, Pixels | str]:
    """Name and bytes (1 or 3 channels, height, width) of one image, or why not; `size` is its width and height."""
    if encoded.content is None:
        return encoded.name, "it has no content"
    try:
        file = io.BytesIO(encoded.content) if isinstance(encoded.content, bytes) else encoded.content
        with Image.open(file, formats=_FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)
            flat = _grey_or_rgb(image)
        if size is not None:
            flat = ImageOps.fit(flat, size, Image.Resampling.LANCZOS)
    except UnidentifiedImageError:
        return encoded.name, "no image of a known type"
    except MemoryError:
        raise
    except Exception as error:  # Pillow documents no common type of its decoders' exceptions on corrupt files
        return encoded.name, printable(str(error).partition("\n")[0]) or type(error).__name__
    array = np.asarray(flat)
    return encoded.name, array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("its pixels have more than 16 bits")
        return Image.fromarray(((values * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown")
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")
