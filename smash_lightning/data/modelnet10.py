"""ModelNet10: 4,899 pieces of furniture as grids of voxels, from the official meshes or from ready-made grids.

Source: Z. Wu et al., 3D ShapeNets: A Deep Representation for Volumetric Shapes, 2015. Formats: OFF, Geomview's object
file; binvox, https://www.patrickmin.com/binvox/binvox.html.
"""

import codecs
import re
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from tqdm import tqdm

from smash_lightning.data.official import shortfall
from smash_lightning.data.source import MAX_UNREADABLE, Download, RawDataset, Source, Split

if TYPE_CHECKING:  # trimesh is imported where it is needed, as it would delay the start of every process
    from trimesh import Trimesh

SPLITS = ("train", "test")
OBJECTS_PER_PROCESS = 200  # fewer are read sooner than a process has started
INSIDE = 1e-6  # voxels by which a mesh is made smaller, so that its far side is in the last voxel and not behind it
SPACING = 0.8  # voxels between neighbouring points of a surface at most
PARTS = 4  # into how many parts the edges of small triangles are divided at once
MOST_STEPS = 64  # of dividing long edges; each step halves them

# Points of a triangle whose edges are divided into parts, as weights of its corners.
_LATTICE = np.array([(i, j, PARTS - i - j) for i in range(PARTS + 1) for j in range(PARTS + 1 - i)]) / PARTS

Grid = NDArray[np.uint8]
_Objects = tuple[Grid, NDArray[Any]]  # grids (count, size, size, size), empty ones included, and labels (count,)
_Found = tuple[_Objects, _Objects, Sequence[str], list[str]]  # train, test, classes, notes


@dataclass(frozen=True)
class ModelNet10(Source):
    """Occupied voxels are 1 and others 0; axes are x, y and z, z being up, as in the official meshes.

    The first of these that exists is read: ModelNet10/CLASS/{train,test}/*.off, which are voxelised; .binvox files in
    the same folders; one .npz of grids X_train and X_test, labels y_train and y_test, and class_names. Empty grids are
    left out.

    Args:
        root: contains the folder ModelNet10 or the .npz, or is one of them.
        size: voxels along each axis; smaller grids are padded.
        fill: voxels that the longest side of a mesh takes.
    """

    download = Download(
        "http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip", 473_402_300, None, "ModelNet10"
    )

    root: str
    size: int = 32
    fill: int = 24

    def files(self) -> Sequence[Path]:
        """Meshes or grids in the order of classes and names, or the .npz."""
        if not 1 <= self.fill <= self.size:
            raise ValueError(f"dataset.source.fill must be from 1 to size={self.size}, got {self.fill}")
        root = Path(self.root).expanduser()
        place = root / "ModelNet10" if (root / "ModelNet10").is_dir() else root
        return _find_shapes(place, ".off") or _find_shapes(place, ".binvox") or _find_npz(root)

    def read(self) -> RawDataset:
        """Grids (count, 1, size, size, size) in the order of `files`, or of the .npz."""
        files = self.files()
        npz = files[0].suffix == ".npz"
        *objects, classes, found = _read_npz(files[0], self.size) if npz else _read_shapes(files, self.size, self.fill)
        notes = [*shortfall("ModelNet10", (len(objects[0][1]), len(objects[1][1])), (3_991, 908)), *found]
        splits = []
        for kind, (grids, labels) in zip(("training", "test"), objects, strict=True):
            full: NDArray[np.bool_] = grids.max(axis=(1, 2, 3)) > 0
            if not full.all():
                notes.append(f"{(~full).sum():,} of {len(full):,} {kind} objects were left out: their grids are empty.")
            splits.append(Split(torch.from_numpy(grids[full])[:, None], torch.from_numpy(labels[full]).long()))
        trained, tested = (np.packbits(split.images.flatten(1).numpy(), axis=1) for split in splits)
        known = {grid.tobytes() for grid in trained}
        if repeated := sum(grid.tobytes() in known for grid in tested):
            notes.append(f"{repeated:,} test objects have the same grid as a training object; they were kept.")
        return RawDataset(splits[0], splits[1], tuple(classes), tuple(notes))


def _find_shapes(place: Path, ending: str) -> list[Path]:
    """Files CLASS/SPLIT/NAME in the order of these; nothing where there are none at all."""
    classes = [kind for kind in sorted(place.glob("*/")) if any((kind / split).is_dir() for split in SPLITS)]
    found = {kind / split: _visible(kind / split, ending) for kind in classes for split in SPLITS}
    for folder, paths in found.items():
        if not paths and any(found.values()):
            raise ValueError(
                f"{folder} lacks {ending} files: complete it, or choose another folder with dataset.root=FOLDER."
            )
    return [path for paths in found.values() for path in paths]


def _find_npz(root: Path) -> list[Path]:
    found = [root] if root.is_file() else _visible(root, ".npz")
    if not found:
        raise FileNotFoundError(
            f"no ModelNet10/CLASS/train/*.off, no .binvox files in their place and no .npz in {root}: name their "
            "folder with dataset.root=FOLDER."
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(f"{root} holds {names}: choose one with dataset.root={found[0]}")
    return found


def _visible(folder: Path, ending: str) -> list[Path]:
    return [path for path in sorted(folder.glob(f"*{ending}")) if not path.name.startswith(".")]


def _read_shapes(files: Sequence[Path], size: int, fill: int) -> _Found:
    grids = np.zeros((len(files), size, size, size), np.uint8)
    processes = max(1, min(torch.get_num_threads(), len(files) // OBJECTS_PER_PROCESS))
    read = Parallel(processes, return_as="generator")(delayed(_read_shape)(path, size, fill) for path in files)
    unreadable: dict[int, str] = {}
    for index, grid in enumerate(tqdm(read, "reading objects", len(files), disable=None)):
        if isinstance(grid, str):
            unreadable[index] = grid
        else:
            grids[index] = grid
    if len(unreadable) > MAX_UNREADABLE * len(files):
        first = unreadable[min(unreadable)]
        raise ValueError(f"{len(unreadable):,} of {len(files):,} objects cannot be read, the first: {first}")
    classes, labels = np.unique([path.parent.parent.name for path in files], return_inverse=True)
    training = np.array([path.parent.name == "train" for path in files])
    notes = [f"{files[index].name} cannot be read and counts as empty." for index in unreadable]
    train, test = ((grids[chosen], labels[chosen]) for chosen in (training, ~training))
    return train, test, classes.tolist(), notes


def _read_shape(path: Path, size: int, fill: int) -> Grid | str:
    """The grid of a file, or why it cannot be read."""
    try:
        return voxelise(read_off(path), size, fill) if path.suffix == ".off" else centred(read_binvox(path), size, path)
    except ValueError as error:
        return str(error)


def _read_npz(path: Path, size: int) -> _Found:
    names = None
    try:
        with np.load(path, allow_pickle=False) as file:
            objects = [(file[f"X_{split}"], file[f"y_{split}"]) for split in SPLITS]
            with suppress(KeyError, ValueError):  # pickled names are not read
                names = file["class_names"].tolist()
    except (AttributeError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole .npz of X_train, y_train, X_test and y_test ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path} needs class_names as text, such as ["bathtub", ...]')
    for grids, labels in objects:
        integers = labels.dtype.kind in "iu" and grids.dtype.kind in "biuf"
        if grids.ndim != 4 or labels.shape != grids.shape[:1] or not integers or (grids != grids.astype(bool)).any():
            raise ValueError(
                f"{path} holds {grids.shape} of {grids.dtype} with labels {labels.shape} of {labels.dtype}, not grids "
                "(count, x, y, z) of 0 and 1 with an integer for each"
            )
    train, test = ((centred(grids, size, path), labels) for grids, labels in objects)
    return train, test, names, []


def read_off(path: Path) -> "Trimesh":
    """A mesh of triangles; polygons of more corners are divided like a fan. Colours and normals are ignored."""
    try:
        mesh = _parse_off(path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("latin-1"))
        if not len(mesh.faces) or not mesh.extents.any():
            raise ValueError("it has no faces of any extent")
        return mesh
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is not a whole OFF mesh ({error}): export it again, or remove it") from None


def _parse_off(text: str) -> "Trimesh":
    from trimesh import Trimesh
    from trimesh.geometry import triangulate_quads

    lines = [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]
    # ST: texture coordinates, C: colours, N: normals, all after x, y and z; 4OFF and nOFF have other coordinates.
    header = re.match(r"(ST|C|N)*OFF(?! *BINARY)|off", lines[0] if lines else "")
    if header is None:
        raise ValueError("it does not start with OFF, or is a variant other than text with coordinates x y z")
    lines[0] = lines[0][header.end() :]  # many files of ModelNet have the counts in the same line, without a space
    counts, *rows = lines if lines[0].strip() else lines[1:]
    vertices, faces = int(counts.split()[0]), int(counts.split()[1])
    if len(rows) < vertices + faces or not vertices:
        raise ValueError(f"it has {len(rows)} instead of {vertices + faces} lines")
    points = np.loadtxt(rows[:vertices], comments=None, usecols=(0, 1, 2), ndmin=2)
    sides = [[int(corner) for corner in row.split()[: 1 + int(row.split()[0])]] for row in rows[vertices:][:faces]]
    if not np.isfinite(points).all() or any(len(side) <= side[0] for side in sides):
        raise ValueError("a vertex is not finite, or a face lacks a corner")
    corners = triangulate_quads([side[1:] for side in sides]).reshape(-1, 3)
    if corners.size and (corners.min() < 0 or corners.max() >= vertices):
        raise ValueError(f"a face has a corner that is none of the {vertices} vertices")
    return Trimesh(points, corners, process=False)


def voxelise(mesh: "Trimesh", size: int, fill: int) -> Grid:
    """Marks the voxels that a surface passes through, and those that it encloses, with 1.

    The longest side of the surface takes `fill` of `size` voxels, and the surface is in the middle of the grid. Edges
    are divided until no path from voxel to voxel through their sides passes the surface: every point of it is less than
    SPACING / sqrt(3), so less than half a voxel, away from a point that is marked.
    """
    from trimesh.remesh import subdivide_to_size

    low, high = mesh.bounds
    points = (mesh.vertices - (low + high) / 2) * ((fill - INSIDE) / (high - low).max())
    corners = points[mesh.faces]
    longest = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(-1).max(1)
    vertices, faces = subdivide_to_size(points, mesh.faces[longest > SPACING**2], SPACING * PARTS, MOST_STEPS)
    surface = np.concatenate((corners.reshape(-1, 3), (_LATTICE @ vertices[faces]).reshape(-1, 3)))
    grid = np.zeros((size, size, size), np.uint8)
    x, y, z = np.floor(surface + (size - fill) // 2 + fill / 2).astype(np.int64).T
    grid[x, y, z] = 1
    return binary_fill_holes(grid).astype(np.uint8)


def read_binvox(path: Path) -> Grid:
    """The grid of a binvox file, 1 where a voxel is set."""
    from trimesh.exchange.binvox import parse_binvox

    try:
        with path.open("rb") as file:
            runs, (length, height, width), *_ = parse_binvox(file)
        values, counts = runs.reshape(-1, 2).T
        grid = np.repeat(values > 0, counts).reshape(length, height, width)  # y runs fastest, then z
        return grid.transpose(0, 2, 1).astype(np.uint8)
    except (ValueError, LookupError) as error:
        raise ValueError(f"{path} is not a whole binvox file ({error}): export it again, or remove it") from None


def centred(grids: NDArray[Any], size: int, path: Path) -> Grid:
    """Grids (..., x, y, z), padded on all sides to be `size` voxels long, wide and high."""
    sides = grids.shape[-3:]
    if max(sides) > size:
        raise ValueError(
            f"{path} holds grids of {' x '.join(map(str, sides))} voxels: choose dataset.source.size={max(sides)}"
        )
    before = [(size - side) // 2 for side in sides]
    margins = [(first, size - side - first) for first, side in zip(before, sides, strict=True)]
    return np.pad(grids.astype(np.uint8), [(0, 0)] * (grids.ndim - 3) + margins)
