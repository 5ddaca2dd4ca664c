"""ModelNet10: 4,899 pieces of furniture as grids of voxels, from the official meshes or from ready-made grids.

Source: Z. Wu et al., 3D ShapeNets: A Deep Representation for Volumetric Shapes, 2015.
"""

from __future__ import annotations

import json
import multiprocessing
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smash_lightning.data.official import shortfall
from smash_lightning.data.source import MAX_UNREADABLE, Download, RawDataset, Source, Split
from smash_lightning.data.voxels import Grid, centred, read_binvox, read_off, voxelise
from smash_lightning.progress_bars import ProgressBars

FOLDER = "ModelNet10"
OFFICIAL = (3_991, 908)  # training and test objects
DOWNLOAD = Download("http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip", 473_402_300, None, FOLDER)
SPLITS, KINDS = ("train", "test"), ("training", "test")
ENDINGS = (".off", ".binvox")  # in order of preference
NAMES = "class_names.json"
OBJECTS_PER_PROCESS = 200  # fewer are read sooner than a process has started

_Objects = tuple[Grid, NDArray[np.int64]]  # grids (count, size, size, size), empty ones included, and labels (count,)
_Found = tuple[_Objects, _Objects, tuple[str, ...], list[str]]  # train, test, classes, notes


@dataclass(frozen=True)
class ModelNet10(Source):
    """Occupied voxels are 1 and others 0; axes are x, y and z, z being up, as in the official meshes.

    The first of these that exists is read: ModelNet10/CLASS/{train,test}/*.off, which are voxelised; .binvox files in
    the same folders; one .npz of grids X_train and X_test, labels y_train and y_test, and class_names, which may also
    be a list in a class_names.json in the same folder. Empty grids are left out.

    Args:
        root: contains the folder ModelNet10 or the .npz, or is one of them.
        size: voxels along each axis; smaller grids are padded.
        fill: voxels that the longest side of a mesh takes.
    """

    download = DOWNLOAD

    root: str
    size: int = 32
    fill: int = 24

    def files(self) -> Sequence[Path]:
        """Meshes or grids in the order of classes and names, or the .npz and the names next to it."""
        if self.size < 1:
            raise ValueError(f"dataset.source.size must be at least 1, got {self.size}")
        if not 1 <= self.fill <= self.size:
            raise ValueError(f"dataset.source.fill must be from 1 to size={self.size}, got {self.fill}")
        root = Path(self.root).expanduser()
        place = root / FOLDER if (root / FOLDER).is_dir() else root
        for ending in ENDINGS:
            if shapes := _find_shapes(place, ending):
                return shapes
        return _find_npz(root)

    def read(self) -> RawDataset:
        """Grids (count, 1, size, size, size) in the order of `files`, or of the .npz."""
        files = self.files()
        npz = files[0].suffix == ".npz"
        *objects, classes, found = _read_npz(files, self.size) if npz else _read_shapes(files, self.size, self.fill)
        notes = [*shortfall(FOLDER, (len(objects[0][1]), len(objects[1][1])), OFFICIAL), *found]
        train, test = (_without_empty(kind, *each, notes) for kind, each in zip(KINDS, objects, strict=True))
        trained, tested = (np.packbits(split.images.flatten(1).numpy(), axis=1) for split in (train, test))
        known = {grid.tobytes() for grid in trained}
        if repeated := sum(grid.tobytes() in known for grid in tested):
            notes.append(f"{repeated:,} test objects have the same grid as a training object; they were kept.")
        return RawDataset(train, test, classes, tuple(notes))


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
    if root.suffix == ".npz" and not root.exists():  # it is no folder to download into
        raise ValueError(f"there is no file {root}: name one with dataset.root=PATH")
    found = [root] if root.suffix == ".npz" and root.is_file() else _visible(root, ".npz")
    if not found:
        raise FileNotFoundError(
            f"no {FOLDER}/CLASS/train/*.off, no .binvox files in their place and no .npz in {root}: name their folder "
            "with dataset.root=FOLDER."
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(f"{root} holds {names}: choose one with dataset.root={found[0]}")
    names_file = found[0].with_name(NAMES)
    return [found[0], names_file] if names_file.is_file() else found


def _visible(folder: Path, ending: str) -> list[Path]:
    """Files in a folder, without the hidden ones of an operating system."""
    return [path for path in sorted(folder.glob(f"*{ending}")) if not path.name.startswith(".")]


def _read_shapes(files: Sequence[Path], size: int, fill: int) -> _Found:
    """Meshes or binvox files; unreadable ones are empty."""
    grids = np.zeros((len(files), size, size, size), np.uint8)
    unreadable: dict[int, str] = {}
    with ProgressBars(["reading objects"], [len(files)]) as bars:
        for index, grid in enumerate(_grids(files, size, fill)):
            if isinstance(grid, str):
                unreadable[index] = grid
            else:
                grids[index] = grid
            bars.show(0, index + 1)
    if len(unreadable) > MAX_UNREADABLE * len(files):
        first = unreadable[min(unreadable)]
        raise ValueError(f"{len(unreadable):,} of {len(files):,} objects cannot be read, the first: {first}")
    names = [path.parent.parent.name for path in files]
    classes = tuple(sorted(set(names)))
    labels = np.array([classes.index(name) for name in names])
    training = np.array([path.parent.name == "train" for path in files])
    notes = [f"{files[index].name} cannot be read and counts as empty." for index in unreadable]
    train, test = ((grids[chosen], labels[chosen]) for chosen in (training, ~training))
    return train, test, classes, notes


def _grids(files: Sequence[Path], size: int, fill: int) -> Iterator[Grid | str]:
    """The grid of each file, or why it cannot be read; many files are read in several processes."""
    read = partial(_read_shape, size=size, fill=fill)
    workers = min(torch.get_num_threads(), len(files) // OBJECTS_PER_PROCESS)
    if workers < 2:
        yield from map(read, files)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read, files, chunksize=16)


def _read_shape(path: Path, size: int, fill: int) -> Grid | str:
    try:
        if path.suffix == ".off":
            return voxelise(read_off(path), size, fill)
        return centred(read_binvox(path), size, path)
    except ValueError as error:
        return str(error)


def _read_npz(files: Sequence[Path], size: int) -> _Found:
    path = files[0]
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays |= {name: file[name] for split in SPLITS for name in (f"X_{split}", f"y_{split}")}
            with suppress(KeyError, ValueError):  # pickled names are not read
                arrays["class_names"] = file["class_names"]
    except (AttributeError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole .npz of X_train, y_train, X_test and y_test ({error})") from None
    names = arrays["class_names"].tolist() if "class_names" in arrays else None
    if names is None and len(files) > 1:
        with suppress(ValueError):
            names = json.loads(files[1].read_text(encoding="utf-8"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path} needs class_names as text, or next to it a {NAMES} as ["bathtub", "bed", ...]')
    train, test = (_checked(path, arrays[f"X_{split}"], arrays[f"y_{split}"], len(names), size) for split in SPLITS)
    return train, test, tuple(names), []


def _checked(path: Path, grids: NDArray[Any], labels: NDArray[Any], classes: int, size: int) -> _Objects:
    """Objects of the right types and `size`."""
    if grids.ndim != 4 or labels.shape != grids.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path} holds {grids.shape} with labels {labels.shape} of {labels.dtype}, not grids (count, x, y, z) with "
            "an integer for each"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{path} has labels from {labels.min()} to {labels.max()}, but names of {classes} classes")
    if grids.dtype.kind not in "biuf" or (grids != grids.astype(bool)).any():
        raise ValueError(f"{path} holds grids of other values than 0 and 1")
    return centred(grids, size, path), labels.astype(np.int64)


def _without_empty(kind: str, grids: Grid, labels: NDArray[np.int64], notes: list[str]) -> Split:
    """Objects that have a voxel, and in `notes` how many have none."""
    full: NDArray[np.bool_] = grids.max(axis=(1, 2, 3)) > 0
    if not full.all():
        notes.append(f"{(~full).sum():,} of {len(full):,} {kind} objects were left out: their grids are empty.")
    return Split(torch.from_numpy(grids[full])[:, None], torch.from_numpy(labels[full]))
