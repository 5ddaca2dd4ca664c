"""The user's own images, one folder for each class; and how a test split is found, or made where there is none."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smash_lightning.data.decode import Encoded, decoded_sets, listed
from smash_lightning.data.source import RawDataset, Source
from smash_lightning.random_streams import Stream, generator

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_TYPES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_SYSTEM_FILES = ("__macosx", "thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Folder(Source):
    """Images in root/train/CLASS and root/test/CLASS, or in root/CLASS, of any type, in grey or colour.

    A folder `validation`, `valid` or `val` is the test set only where there is no `test`. Where there is neither, the
    test set is drawn from train. Folders within that of a class belong to it. What is hidden is ignored.

    Args:
        root: the folder.
        size: height and width to which images are brought, see `decode`; None demands that all have one size.
        test_share: share of each class that becomes the test set where there is none.
        seed: seed of that draw.
    """

    root: str
    size: int | None
    test_share: float = 0.2
    seed: int = 0

    def files(self) -> Sequence[Path]:
        """All images, sorted.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: an option is impossible, or the folder is not laid out as above: there are fewer than two
                classes, one of them is empty, or train and test have different ones.
        """
        layout = self._layout()
        return sorted(path for group in (*layout.train, *layout.test) for path in group.images)

    def read(self) -> RawDataset:
        """Images (count, 1 or 3, height, width), in the order of classes and file names within each split.

        Raises:
            FileNotFoundError: as `files`.
            ValueError: as `files`; or a test set is to be made and a class has one image only; or as `decode`.
        """
        layout = self._layout()
        classes = tuple(group.name for group in layout.train)
        groups = [*layout.train, *layout.test]
        counts = torch.tensor([len(group.images) for group in groups])
        labels = torch.arange(len(groups)).remainder(len(classes)).repeat_interleave(counts)
        paths = [path for group in groups for path in group.images]
        held, notes = held_images(labels, int(counts[: len(classes)].sum()), classes, self.test_share, self.seed)
        order = torch.argsort(held.byte(), stable=True)
        chosen = (paths[index] for index in order.tolist())
        encoded = (Encoded(path.relative_to(layout.root).as_posix(), path) for path in chosen)
        return decoded_sets(encoded, labels[order], held[order], classes, self.size, (*layout.notes, *notes))

    def _layout(self) -> _Layout:
        check_options(self.size, self.test_share)
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder {root}: dataset.root=PATH names that of train/CLASS/IMAGE")
        splits, extra = _splits(root)
        test, notes = choose_test(splits)
        train, others = _classes(splits["train"])
        if len(train) == 1:
            raise ValueError(f"{splits['train']} holds one class only, {train[0].name}: at least two are needed")
        tested: list[_Class] = []
        if test is not None:
            tested, more = _classes(splits[test])
            others += more
            _demand_same(splits["train"], train, splits[test], tested)
        if extra:
            notes = (*notes, f"Folders beside the splits are left out: {listed(extra)}.")
        if others:
            names = listed([path.relative_to(root).as_posix() for path in others])
            notes = (*notes, f"{len(others)} files are left out, as they are no images or in no class: {names}.")
        return _Layout(root, train, tested, notes)


@dataclass(frozen=True, slots=True)
class _Class:
    """A class in one split; its images are sorted."""

    name: str
    images: Sequence[Path]


@dataclass(frozen=True, slots=True)
class _Layout:
    root: Path
    train: Sequence[_Class]
    test: Sequence[_Class]
    notes: tuple[str, ...]


def check_options(size: int | None, test_share: float) -> None:
    """Whether these are possible.

    Raises:
        ValueError: one is not.
    """
    if size is not None and size < 1:
        raise ValueError(f"dataset.size must be at least 1, got {size}")
    if not 0 < test_share < 1:
        raise ValueError(f"dataset.source.test_share must lie between 0 and 1, got {test_share}")


def choose_test(found: Collection[str]) -> tuple[str | None, tuple[str, ...]]:
    """Which of the splits train, test and validation that were found is the test set, and what to state about it."""
    if "test" in found:
        left_out = ("The validation split is left out: images for validation are held out from train.",)
        return "test", left_out if "validation" in found else ()
    if "validation" in found:
        return "validation", ("There is no test split: the validation split serves as the test set.",)
    return None, ()


def held_images(
    labels: Tensor, train: int, classes: Sequence[str], share: float, seed: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Which images are the test set (count,), and what to state about it: those after the first `train`.

    Where there are none, they are drawn: of each class that occurs `share`, but at least one image, and at least one
    stays. What is drawn of a class depends on the order and number of its images, its name and the seed alone.

    Raises:
        ValueError: a test set is to be drawn, and a class has one image only.
    """
    held = torch.arange(len(labels)) >= train
    if held.any():
        return held, ()
    for label, name in enumerate(classes):
        mine = (labels == label).nonzero().flatten()
        if len(mine) == 1:
            raise ValueError(f"class {name} has one image only: it needs two, as a test set is to be drawn from train")
        taken = min(max(round(share * len(mine)), 1), len(mine) - 1)
        held[mine[torch.randperm(len(mine), generator=generator(Stream.TEST_SPLIT, seed, name))[:taken]]] = True
    return held, (f"There is no test split: {share:g} of each class, drawn from train with seed {seed}, is it.",)


def _splits(root: Path) -> tuple[Mapping[str, Path], Sequence[str]]:
    """The folder of each split, which is the root where no folder is one; and names of the other folders."""
    splits: dict[str, Path] = {}
    extra: list[str] = []
    for folder in _folders(root):
        word = SPLIT_WORDS.get(folder.name.lower())
        if word is None:
            extra.append(folder.name)
        elif word in splits:
            raise ValueError(f"{root} has both {splits[word].name} and {folder.name}: keep the one that is meant")
        else:
            splits[word] = folder
    if not splits:
        return {"train": root}, ()
    if "train" not in splits:
        raise ValueError(f"{root} has a folder {next(iter(splits.values())).name}, but none named train")
    return splits, extra


def _classes(split: Path) -> tuple[list[_Class], list[Path]]:
    """The classes of a split, sorted by name; and files that are no images, or in no folder of a class."""
    others = [path for path in split.iterdir() if not path.is_dir() and not is_hidden(path.name)]
    found = []
    for folder in _folders(split):
        images: list[Path] = []
        for path in sorted(_walk(folder)):
            (images if path.suffix.lower() in _TYPES and path.is_file() else others).append(path)
        if not images:
            raise ValueError(f"class {folder.name} is empty: there is no image in {folder}; fill or remove it")
        found.append(_Class(folder.name, images))
    if not found:
        raise ValueError(f"there are no classes: {split} holds no folder of images for each")
    return found, sorted(others)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (Path(where, name) for name in names if not is_hidden(name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's own: hidden, or left by a system that shows or packs folders."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def _raise(error: OSError) -> None:
    raise error


def _demand_same(train: Path, trained: Sequence[_Class], test: Path, tested: Sequence[_Class]) -> None:
    names, others = {group.name for group in trained}, {group.name for group in tested}
    for lacking, missing in ((test, names - others), (train, others - names)):
        if missing:
            raise ValueError(f"{lacking} lacks the class {listed(sorted(missing))}: train and test need the same ones")
