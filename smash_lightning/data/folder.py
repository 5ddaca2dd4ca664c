"""The user's own images, one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from smash_lightning.data.decode import Encoded, decoded_dataset, printable
from smash_lightning.data.layout import SPLIT_WORDS, check_options, choose_test, held_images, is_hidden, split_words
from smash_lightning.data.source import RawDataset, Source, listed

_TYPES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")

Classes = Mapping[str, Path]  # folder of each class of one split


@dataclass(frozen=True)
class Folder(Source):
    """Images in root/train/CLASS and root/test/CLASS, root/CLASS/train and root/CLASS/test, or root/CLASS.

    A split may have a longer name (training_set, seg_test). A split `validation`, `valid` or `val` is the test set only
    where there is no labelled test split. Where there is neither, the test set is drawn from train. Hidden files are
    ignored. A layout that can be read in two ways is refused.

    Args:
        root: the folder.
        size: height and width of all images, see `decode`; None requires that all have one size.
        test_share: share of each class that becomes the test set where there is none.
        seed: seed of that draw.
        train_split: folder of the training classes within root; None finds it by its name.
        test_split: folder of the test classes within root; None finds it by its name, or has none after `train_split`.
        nested: whether a class may have its images in several folders within its own.
    """

    root: str
    size: int | None = None
    test_share: float = 0.2
    seed: int = 0
    train_split: str | None = None
    test_split: str | None = None
    nested: bool = False

    def files(self) -> Sequence[Path]:
        """All images, sorted.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: an option is impossible, the layout is another or ambiguous, there are fewer than two classes, a
                class is empty, or train and test have different classes.
        """
        layout = self._layout()
        return sorted(path for group in (*layout.train, *layout.test) for path in group.images)

    def read(self) -> RawDataset:
        """Images (count, 1 or 3, height, width), in the order of classes and file names within each split.

        Raises:
            FileNotFoundError: as `files`.
            ValueError: as `files`; or a test set is to be drawn and a class has one image only; or as `decode`.
        """
        layout = self._layout()
        classes = tuple(group.name for group in layout.train)
        groups = [*layout.train, *layout.test]
        counts = torch.tensor([len(group.images) for group in groups])
        labels = torch.arange(len(groups)).remainder(len(classes)).repeat_interleave(counts)
        paths = [path for group in groups for path in group.images]
        train = int(counts[: len(classes)].sum())
        held, notes = held_images(labels, train, classes, self.test_share, self.seed)
        order = torch.argsort(held.byte(), stable=True)
        chosen = (paths[index] for index in order.tolist())
        encoded = (Encoded(printable(path.relative_to(layout.root).as_posix()), path) for path in chosen)
        return decoded_dataset(encoded, labels[order], held[order], classes, self.size, (*layout.notes, *notes))

    def _layout(self) -> _Layout:
        check_options(self.size, self.test_share, (self.train_split, self.test_split))
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder {root}: dataset.root=PATH names the one of train/CLASS/IMAGE")
        splits, notes = self._splits(root)
        test, test_notes = choose_test(splits, lambda name: bool(splits[name]))
        others: list[Path] = []
        train = self._read_classes(splits["train"], root, others)
        tested = self._read_classes(splits[test], root, others) if test else []
        if len(train) < 2:
            only = f"one class only, {train[0].name}" if train else "no folders of classes"
            raise ValueError(f"the training split of {root} holds {only}: at least two are needed")
        if test:
            _require_same_classes(root, train, tested)
        if others:
            names = listed([printable(path.relative_to(root).as_posix()) for path in others])
            notes = (*notes, f"{len(others)} files are left out, as they are no images or in no class: {names}.")
        return _Layout(root, train, tested, (*notes, *test_notes))

    def _splits(self, root: Path) -> tuple[dict[str, Classes], tuple[str, ...]]:
        """The classes of each split, and notes on how they were found."""
        if self.train_split is not None:
            named = {"train": root / self.train_split}
            if self.test_split is not None:
                named["test"] = root / self.test_split
            for option, folder in named.items():
                if not folder.is_dir():
                    raise ValueError(f"dataset.{option}_split: there is no folder {folder}")
            return {name: _subfolders(folder) for name, folder in named.items()}, ()
        folders = _subfolders(root)
        if by_class := _splits_in_classes(root, folders):
            return by_class, ("Splits were found within the folder of each class.",)
        # A folder of images whose name merely contains a split's word is a class, such as "train station".
        certain = {name for name in folders if name.lower() in SPLIT_WORDS}
        likely = {n for n, f in folders.items() if n not in certain and len(split_words(n)) == 1 and not _has_images(f)}
        splits: dict[str, str] = {}
        for name in sorted(certain | likely):
            (word,) = split_words(name)
            if word in splits:
                raise ValueError(
                    f"{root} has both {splits[word]} and {name}: keep one, or name the splits with "
                    "dataset.train_split=FOLDER and dataset.test_split=FOLDER"
                )
            splits[word] = name
        if not splits:
            return {"train": folders}, ()
        others = [name for name in folders if name not in splits.values()]
        unclear = [name for name in others if not _has_images(folders[name]) and _subfolders(folders[name])]
        if "train" not in splits or (likely and unclear):
            raise ValueError(
                f"{root} can be read in two ways: {listed(sorted(splits.values()))} are splits, named with "
                f"dataset.train_split=FOLDER and dataset.test_split=FOLDER; or all of {listed(sorted(folders))} are "
                "classes: dataset.train_split=."
            )
        notes = [f"The {word} split is {printable(splits[word])}." for word in splits if splits[word] in likely]
        if others:
            notes.append(f"Folders that are no splits are left out: {listed(list(map(printable, others)))}.")
        return {word: _subfolders(folders[name]) for word, name in splits.items()}, tuple(notes)

    def _read_classes(self, folders: Classes, root: Path, others: list[Path]) -> list[_Class]:
        """The classes of a split in order; `others` receives files that are no images."""
        found = []
        for name, folder in folders.items():
            images: list[Path] = []
            for path in sorted(_walk(folder)):
                (images if path.suffix.lower() in _TYPES and path.is_file() else others).append(path)
            if not images:
                raise ValueError(f"class {printable(name)} is empty: there is no image in {folder}; fill or remove it")
            if not self.nested:
                _require_one_folder(root, folder, images)
            found.append(_Class(printable(name), images))
        if len({group.name for group in found}) < len(found):
            raise ValueError(f"two classes of {root} have the same name but for bytes that are no UTF-8: rename one")
        parents = sorted({folder.parent for folder in folders.values()})
        others += sorted(p for parent in parents for p in parent.iterdir() if p.is_file() and not is_hidden(p.name))
        return found


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


def _splits_in_classes(root: Path, folders: Classes) -> dict[str, Classes] | None:
    """The splits of root/CLASS/SPLIT; None where the classes hold no splits."""
    found: dict[str, dict[str, Path]] = {}
    for name, folder in folders.items():
        inner = _subfolders(folder)
        words = {n: split_words(n) for n in inner}
        if split_words(name) or _has_images(folder) or not inner or any(len(word) != 1 for word in words.values()):
            return None
        for inner_name, (word,) in words.items():
            if name in found.setdefault(word, {}):
                raise ValueError(f"{folder} has two folders of the {word} split: keep one")
            found[word][name] = inner[inner_name]
    for split, classes in found.items():
        if lacking := [name for name in folders if name not in classes]:
            raise ValueError(
                f"{folders[lacking[0]]} has no {split} split, as other classes of {root} have: complete it"
            )
    return dict(found) if "train" in found else None


def _require_one_folder(root: Path, folder: Path, images: Sequence[Path]) -> None:
    """Refuses a class whose images may be several classes, or splits."""
    places = sorted({image.relative_to(folder).parts[0] for image in images if image.parent != folder})
    inner = {image.parent for image in images}
    splits = [name for name in places if name.lower() in SPLIT_WORDS]
    if (folder in inner or len(inner) == 1) and not splits:
        return
    what = f"the splits {listed(splits)}" if splits else f"the classes {listed(places)}"
    remedy = "" if splits else f": dataset.root={folder}"
    raise ValueError(
        f"{folder} can be read in two ways: its folders are {what}{remedy}; or all images in it are of one class, "
        f"{printable(folder.relative_to(root))}: dataset.nested=true"
    )


def _require_same_classes(root: Path, train: Sequence[_Class], test: Sequence[_Class]) -> None:
    trained, tested = {group.name for group in train}, {group.name for group in test}
    for split, missing in (("test", trained - tested), ("training", tested - trained)):
        if missing:
            raise ValueError(
                f"the {split} split of {root} lacks the class {listed(sorted(missing))}: train and test need the same "
                "ones; dataset.train_split=FOLDER without dataset.test_split draws a test set from train"
            )


def _subfolders(folder: Path) -> dict[str, Path]:
    """Folders within one, by name, sorted."""
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    return {path.name: path for path in paths}


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in _TYPES and not is_hidden(path.name) for path in folder.iterdir())


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """All files in a folder and those within it, linked ones included; a link to a folder above is not followed."""
    place = os.path.realpath(folder)
    if place in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, above | {place})
            else:
                yield folder / entry.name
