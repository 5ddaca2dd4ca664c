"""The user's own images, one folder for each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smash_lightning.data.encoded import (
    SPLIT_WORDS,
    Encoded,
    EncodedImages,
    Examples,
    is_hidden,
    printable,
    split_words,
    walk,
)
from smash_lightning.data.source import listed

TYPES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")

Classes = Mapping[str, Path]  # folder of each class of one split


@dataclass(frozen=True)
class Folder(EncodedImages):
    """Images in root/train/CLASS and root/test/CLASS, or in root/CLASS alone.

    A split may have a longer name (training_set, seg_test). A split `validation`, `valid` or `val` is the test set only
    where there is no labelled test split. Where there is neither, the test set is drawn from train. Hidden files are
    ignored. A layout that can be read in two ways is refused. conf/dataset/folder.yaml explains the options.
    """

    root: str
    nested: bool = False

    def files(self) -> Sequence[Path]:
        """All images, sorted; a layout that is another or ambiguous is refused."""
        splits, _ = self._images()
        return sorted(path for classes in splits.values() for images in classes.values() for path in images)

    def _examples(self) -> tuple[Mapping[str, Examples], Sequence[str], list[str]]:
        splits, notes = self._images()
        root, examples = Path(self.root).expanduser(), {}
        for split, classes in splits.items():
            labels = [name for name, images in classes.items() for _ in images]
            paths = [path for images in classes.values() for path in images]
            examples[split] = Examples(labels, [Encoded(_shown([path], root), path) for path in paths])
        return examples, list(splits["train"]), notes

    def _images(self) -> tuple[dict[str, dict[str, list[Path]]], list[str]]:
        """The images of each class of each split, sorted, and notes."""
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder {root}: dataset.root=PATH names the one of train/CLASS/IMAGE")
        folders, notes = self._folders(root)
        others: list[Path] = []
        splits = {split: self._read_classes(root, classes, others) for split, classes in folders.items()}
        if len(splits["train"]) < 2:
            only = f"one class only, {listed(list(splits['train']))}" if splits["train"] else "no folders of classes"
            raise ValueError(f"the training split of {root} holds {only}: at least two are needed")
        if others:
            what = f"{len(others)} files are left out, as they are no images or in no class"
            notes.append(f"{what}: {_shown(others, root)}.")
        return splits, notes

    def _folders(self, root: Path) -> tuple[dict[str, Classes], list[str]]:
        """The folders of the classes of each split, and notes on how they were found."""
        if named := {split: root / name for split, name in self._named_splits().items()}:
            for split, folder in named.items():
                if not folder.is_dir():
                    raise ValueError(f"dataset.{split}_split: there is no folder {folder}")
            return {split: _subfolders(folder) for split, folder in named.items()}, []
        folders = _subfolders(root)
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
            return {"train": folders}, []
        others = [folder for name, folder in folders.items() if name not in splits.values()]
        unclear = any(not _has_images(folder) and _subfolders(folder) for folder in others)
        if "train" not in splits or (likely and unclear):
            raise ValueError(
                f"{root} can be read in two ways: {listed(sorted(splits.values()))} are splits, named with "
                f"dataset.train_split=FOLDER and dataset.test_split=FOLDER; or all of {listed(sorted(folders))} are "
                "classes: dataset.train_split=."
            )
        notes = [f"The {word} split is {printable(name)}." for word, name in splits.items() if name in likely]
        if others:
            notes.append(f"Folders that are no splits are left out: {_shown(others, root)}.")
        return {word: _subfolders(folders[name]) for word, name in splits.items()}, notes

    def _read_classes(self, root: Path, folders: Classes, others: list[Path]) -> dict[str, list[Path]]:
        """The images of each class of a split; `others` receives files that are no images."""
        found: dict[str, list[Path]] = {}
        for name, folder in sorted(folders.items(), key=lambda item: printable(item[0])):
            files = sorted(walk(folder))
            images = [path for path in files if path.suffix.lower() in TYPES and path.is_file()]
            others += sorted(set(files) - set(images))
            if not images:
                raise ValueError(f"class {printable(name)} is empty: there is no image in {folder}; fill or remove it")
            if not self.nested:
                _require_one_class(root, folder, images)
            if printable(name) in found:
                raise ValueError(f"{root} has two classes named {printable(name)}, in other bytes: rename one")
            found[printable(name)] = images
        for parent in sorted({folder.parent for folder in folders.values()}):
            others += sorted(path for path in parent.iterdir() if path.is_file() and not is_hidden(path))
        return found


def _require_one_class(root: Path, folder: Path, images: Sequence[Path]) -> None:
    places = sorted({image.relative_to(folder).parts[0] for image in images if image.parent != folder})
    inner = {image.parent for image in images}
    splits = [name for name in places if name.lower() in SPLIT_WORDS]
    if (folder in inner or len(inner) == 1) and not splits:
        return
    reading = (
        f"the splits {listed(splits)}, which belong above: {splits[0]}/{printable(folder.name)}"
        if splits
        else f"the classes {listed(places)}: dataset.root={folder}"
    )
    raise ValueError(
        f"{folder} can be read in two ways: its folders are {reading}; or all images in it are of one class, "
        f"{_shown([folder], root)}: dataset.nested=true"
    )


def _shown(paths: Sequence[Path], root: Path) -> str:
    return listed([printable(path.relative_to(root).as_posix()) for path in paths])


def _subfolders(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not is_hidden(path)}


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in TYPES and not is_hidden(path) for path in folder.iterdir())
