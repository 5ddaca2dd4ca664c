"""ModelNet10: 4,899 pieces of furniture as grids of voxels, from the official meshes or from grids that others made.

Source: Z. Wu et al., 3D ShapeNets: A Deep Representation for Volumetric Shapes, 2015.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smash_lightning.data.download import fetch_archive
from smash_lightning.data.official import shortfall
from smash_lightning.data.source import MOST_UNREADABLE, Download, RawDataset, Source, Split
from smash_lightning.data.voxelise import Grid, in_the_middle, read_binvox, read_off, voxelise
from smash_lightning.engine import Failure, Pool, Send, cores
from smash_lightning.progress_bars import ProgressBars

FOLDER = "ModelNet10"
OFFICIAL = (3_991, 908)  # training and test objects
DOWNLOAD = Download("http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip", 473_402_300, None)
SPLITS = ("train", "test")
ENDINGS = (".off", ".binvox")  # in order of preference
NAMES = "class_names.json"
OBJECTS_PER_PROCESS = 200  # fewer are read sooner than a process has started
MAKE_AGAIN = "make or fetch it again"


@dataclass(frozen=True)
class ModelNet10(Source):
    """Occupied voxels are 1 and others 0; axes are x, y and z, z being up, as in the official meshes.

    Read is what is found first: ModelNet10/CLASS/{train,test}/*.off, which are voxelised; .binvox files in the same
    folders; one .npz of grids X_train and X_test, labels y_train and y_test, and class_names, for which a list in a
    class_names.json beside it will do. Empty grids are left out.

    Args:
        root: holds the folder ModelNet10 or the .npz, or is one of them.
        size: voxels along each axis; smaller grids are put into the middle.
        fill: voxels that the longest side of a mesh takes.
    """

    root: str
    size: int = 32
    fill: int = 24

    def files(self) -> Sequence[Path]:
        """Meshes or grids in the order of classes and names, or the .npz and the names beside it."""
        if self.size < 1:
            raise ValueError(f"dataset.source.size must be at least 1, got {self.size}")
        if not 1 <= self.fill <= self.size:
            raise ValueError(f"dataset.source.fill must lie between 1 and size={self.size}, got {self.fill}")
        root = Path(self.root).expanduser()
        place = root / FOLDER if (root / FOLDER).is_dir() else root
        for ending in ENDINGS:
            if shapes := _find_shapes(place, ending):
                return shapes
        return _find_npz(root)

    def read(self) -> RawDataset:
        """Grids (count, 1, size, size, size) in the order of `files`, or of the .npz."""
        files = self.files()
        if files[0].suffix == ".npz":
            found = _read_npz(files[0], files[1:], self.size)
        else:
            found = _read_shapes(files, self.size, self.fill)
        notes = [*shortfall(FOLDER, (len(found.train.labels), len(found.test.labels)), OFFICIAL), *found.notes]
        train, test = _without_empty(found.train, "training", notes), _without_empty(found.test, "test", notes)
        trained = {grid.tobytes() for grid in np.packbits(train.images.flatten(1).numpy(), axis=1)}
        repeated = sum(grid.tobytes() in trained for grid in np.packbits(test.images.flatten(1).numpy(), axis=1))
        if repeated:
            notes.append(f"{repeated:,} test objects have the same grid as a training object; they were kept.")
        return RawDataset(train, test, found.classes, tuple(notes))

    def downloads(self) -> Sequence[Download]:
        """The official meshes, of which no checksum is published."""
        return (DOWNLOAD,)

    def fetch(self) -> None:
        """Puts the folder ModelNet10 into `root`."""
        root = Path(self.root).expanduser()
        if root.suffix == ".npz":  # a file that is not there does not name a folder to download into
            self.files()
        fetch_archive(DOWNLOAD, root, FOLDER)
        self.files()


class _Objects(NamedTuple):
    """Grids (count, size, size, size) and labels (count,)."""

    grids: Grid
    labels: NDArray[np.int64]


class _Found(NamedTuple):
    """What files hold, empty grids and all."""

    train: _Objects
    test: _Objects
    classes: tuple[str, ...]
    notes: list[str]


def _find_shapes(place: Path, ending: str) -> list[Path]:
    """Files CLASS/SPLIT/NAME in the order of these; nothing where there are none at all."""
    classes = [kind for kind in sorted(place.glob("*/")) if any((kind / split).is_dir() for split in SPLITS)]
    found = {folder: _visible(folder, ending) for kind in classes for folder in (kind / split for split in SPLITS)}
    if not any(found.values()):
        return []
    for folder, paths in found.items():
        if not paths:
            raise ValueError(
                f"{folder} lacks {ending} files: complete it, or choose another folder with dataset.root=FOLDER."
            )
    return [path for paths in found.values() for path in paths]


def _find_npz(root: Path) -> list[Path]:
    found = [root] if root.suffix == ".npz" and root.is_file() else _visible(root, ".npz")
    if not found:
        raise FileNotFoundError(
            f"no {FOLDER}/CLASS/train/*.off, no .binvox files in their place and no .npz in {root}: say where they lie "
            "with dataset.root=FOLDER."
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(f"{root} holds {names}: choose one with dataset.root={found[0]}")
    names_beside = found[0].with_name(NAMES)
    return [found[0], names_beside] if names_beside.is_file() else found


def _visible(folder: Path, ending: str) -> list[Path]:
    """Files in a folder, without those that an operating system hides beside them."""
    return [path for path in sorted(folder.glob(f"*{ending}")) if not path.name.startswith(".")]


def _read_shapes(files: Sequence[Path], size: int, fill: int) -> _Found:
    """Meshes or binvox files; unreadable ones are empty."""
    workers = max(1, min(cores(), len(files) // OBJECTS_PER_PROCESS))
    grids = np.zeros((len(files), size, size, size), np.uint8)
    unreadable: dict[int, str] = {}
    with ProgressBars(["reading objects"], [len(files)]) as bars, Pool(_read_shape, (size, fill), workers) as pool:
        for done, (index, outcome) in enumerate(pool.run(files), start=1):
            if isinstance(outcome, Failure):
                unreadable[index] = outcome.reason.removeprefix("ValueError: ")
            else:
                grids[index] = outcome
            bars.show(0, done)
    if len(unreadable) > MOST_UNREADABLE * len(files):
        first = unreadable[min(unreadable)]
        raise ValueError(f"{len(unreadable):,} of {len(files):,} objects cannot be read, the first: {first}")
    names = [path.parent.parent.name for path in files]
    classes = tuple(sorted(set(names)))
    labels = np.array([classes.index(name) for name in names])
    training = np.array([path.parent.name == "train" for path in files])
    notes = [f"{files[index].name} cannot be read and counts as empty." for index in sorted(unreadable)]
    train, test = (_Objects(grids[mine], labels[mine]) for mine in (training, ~training))
    return _Found(train, test, classes, notes)


def _read_shape(context: tuple[int, int], path: Path, send: Send) -> Grid:
    size, fill = context
    if path.suffix == ".off":
        return voxelise(read_off(path), size, fill)
    return in_the_middle(read_binvox(path), size, path)


def _read_npz(path: Path, beside: Sequence[Path], size: int) -> _Found:
    arrays, classes = _load(path)
    if classes is None:
        classes = _read_names(path, beside)
    objects = [_check(path, split, arrays[f"X_{split}"], arrays[f"y_{split}"], len(classes), size) for split in SPLITS]
    return _Found(objects[0], objects[1], classes, [])


def _load(path: Path) -> tuple[dict[str, NDArray[Any]], tuple[str, ...] | None]:
    """Arrays of an .npz, and names of classes if they are readable without executing what the file may contain."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for split in SPLITS for name in (f"X_{split}", f"y_{split}")}
            try:
                classes = tuple(str(name) for name in file["class_names"])
            except (KeyError, ValueError):
                classes = None
    except KeyError as error:
        raise ValueError(f"{path} lacks an array ({error.args[0]}): {MAKE_AGAIN}") from None
    except (AttributeError, EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is not a whole .npz of plain arrays ({error}): {MAKE_AGAIN}") from None
    return arrays, classes


def _read_names(path: Path, beside: Sequence[Path]) -> tuple[str, ...]:
    if not beside:
        raise ValueError(f"{path} has no class_names that can be read: write them as a list into {NAMES} beside it")
    try:
        names = json.loads(beside[0].read_text())
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{beside[0]} is not a list of names: write them as ["bathtub", "bed", ...]')
    return tuple(names)


def _check(path: Path, split: str, grids: NDArray[Any], labels: NDArray[Any], classes: int, size: int) -> _Objects:
    """Objects as they should be, of `size`."""
    if grids.ndim != 4 or labels.shape != grids.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path} holds X_{split} {grids.shape} and y_{split} {labels.shape} of {labels.dtype}, not grids "
            f"(count, x, y, z) and an integer for each: {MAKE_AGAIN}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{path} has labels y_{split} from {labels.min()} to {labels.max()}, but names of {classes} classes: "
            f"{MAKE_AGAIN}"
        )
    if grids.dtype.kind not in "biuf" or (grids != grids.astype(bool)).any():
        raise ValueError(f"{path} holds other values than 0 and 1 in X_{split}: {MAKE_AGAIN}")
    return _Objects(in_the_middle(grids, size, path), labels.astype(np.int64))


def _without_empty(objects: _Objects, kind: str, notes: list[str]) -> Split:
    """Objects that have a voxel, and in `notes` how many have none."""
    full: NDArray[np.bool_] = objects.grids.max(axis=(1, 2, 3)) > 0
    if not full.all():
        notes.append(f"{(~full).sum():,} of {len(full):,} {kind} objects were left out: their grids are empty.")
    return Split(torch.from_numpy(objects.grids[full])[:, None], torch.from_numpy(objects.labels[full]))
