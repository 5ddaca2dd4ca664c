"""How does a file of a shape become a grid of voxels (x, y, z), z being up as in the file?

Formats: OFF, Geomview's object file, as ModelNet uses it; binvox, https://www.patrickmin.com/binvox/binvox.html.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

EXPORT_AGAIN = "export it again, or remove it"
INSIDE = 1e-6  # voxels by which a mesh is made smaller, so that its far side lies in the last voxel and not behind it
SPACING = 0.8  # voxels between neighbouring points of a surface at most
PARTS = 4  # into how many parts an edge is divided at once
AT_ONCE = 50_000  # triangles that are divided together: bounds memory

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Grid = NDArray[np.uint8]


def read_off(path: Path) -> Floats:
    """The triangles of a mesh: (triangles, corners, xyz); polygons of more corners are divided like a fan.

    Raises:
        ValueError: it is not a whole OFF mesh, or has no faces of any extent.
    """
    try:
        triangles = _parse_off(path.read_text(encoding="latin-1"))
    except ValueError as error:
        raise ValueError(f"{path} is not a whole OFF mesh ({error}): {EXPORT_AGAIN}") from None
    if not triangles.size or not np.ptp(triangles, axis=(0, 1)).any():
        raise ValueError(f"{path} has no faces of any extent: {EXPORT_AGAIN}")
    return triangles


def voxelise(triangles: Floats, size: int, fill: int) -> Grid:
    """Marks the voxels that a surface goes through, and those that it encloses, with 1.

    The longest side of the surface takes `fill` of `size` voxels, and the surface lies in the middle of the grid. It is
    a set of points so near to each other that no path from voxel to voxel through their sides slips through it: a step
    through the surface passes one of its points at less than half a voxel, so that one of both voxels is marked.

    Args:
        triangles: (triangles, corners, xyz), of some extent.
        size: voxels along each axis.
        fill: voxels along the surface's longest side.
    """
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    centred = (triangles - (low + high) / 2) * ((fill - INSIDE) / (high - low).max())
    grid = np.zeros((size, size, size), np.uint8)
    waiting = [centred.transpose(1, 2, 0)]
    _mark(grid, waiting[0], fill)
    while waiting:
        some = waiting.pop()
        if some.shape[-1] > AT_ONCE:
            waiting += np.array_split(some, -(-some.shape[-1] // AT_ONCE), axis=-1)
            continue
        edges = ((some - some[[1, 2, 0]]) ** 2).sum(1)
        longest = edges.max(0)
        large = longest > (SPACING * PARTS) ** 2
        inner = np.tensordot(_LATTICE, some[:, :, (longest > SPACING**2) & ~large], 1)
        _mark(grid, inner, fill)
        if large.any():
            waiting.append(_halve(some[:, :, large], edges[:, large].argmax(0)))
    return binary_fill_holes(grid).astype(np.uint8)


def read_binvox(path: Path) -> Grid:
    """The grid of a binvox file, 1 where a voxel is set.

    Raises:
        ValueError: it is not a whole binvox file.
    """
    content = path.read_bytes()
    header = re.match(rb"#?binvox [12]\s.*?^dim (\d+) (\d+) (\d+)\s.*?^data\r?\n", content, re.DOTALL | re.MULTILINE)
    if header is None:
        raise ValueError(f"{path} does not begin like a binvox file: {EXPORT_AGAIN}")
    length, height, width = map(int, header.groups())
    runs = np.frombuffer(content, np.uint8, offset=header.end())
    values, counts = runs[: len(runs) // 2 * 2].reshape(-1, 2).T
    if len(runs) % 2:
        raise ValueError(f"{path} ends with a run without a length: {EXPORT_AGAIN}")
    if (total := int(counts.sum(dtype=np.int64))) != length * width * height:
        raise ValueError(f"{path} holds {total} voxels instead of {length} x {width} x {height}: {EXPORT_AGAIN}")
    grid = np.repeat(values, counts).reshape(length, height, width).transpose(0, 2, 1)  # y runs fastest, then z
    return (grid > 0).astype(np.uint8)


def in_the_middle(grids: NDArray[Any], size: int, path: Path) -> Grid:
    """Grids (..., x, y, z) amid as much emptiness as makes them `size` voxels long, wide and high.

    Raises:
        ValueError: they are larger than that.
    """
    sides = grids.shape[-3:]
    if max(sides) > size:
        raise ValueError(
            f"{path} holds grids of {' x '.join(map(str, sides))} voxels, more than {size} along a side: choose "
            f"dataset.source.size={max(sides)}"
        )
    first = [(size - side) // 2 for side in sides]
    x, y, z = (slice(start, start + side) for start, side in zip(first, sides, strict=True))
    padded = np.zeros((*grids.shape[:-3], size, size, size), np.uint8)
    padded[..., x, y, z] = grids
    return padded


def _parse_off(text: str) -> Floats:
    lines = [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]
    if not lines or lines[0][:3].upper() != "OFF":
        raise ValueError("it does not begin with OFF")
    lines[0] = lines[0][3:]  # many files of ModelNet have the counts in the same line, right behind the word
    lines = lines if lines[0].strip() else lines[1:]
    counts = lines[0].split() if lines else []
    if len(counts) < 2 or not all(count.isdecimal() for count in counts):
        raise ValueError("it does not say how many vertices and faces it has")
    vertices, faces = int(counts[0]), int(counts[1])
    if not vertices or not faces:
        raise ValueError(f"it has {vertices} vertices and {faces} faces")
    if len(lines) <= vertices + faces:
        raise ValueError(f"it ends after {len(lines) - 1} of {vertices + faces} lines")
    points = _numbers(lines[1 : 1 + vertices], 3, np.float64)
    corners = _triangles(lines[1 + vertices : 1 + vertices + faces])
    if not np.isfinite(points).all():
        raise ValueError("a vertex lies nowhere")
    if corners.size and (corners.min() < 0 or corners.max() >= vertices):
        raise ValueError(f"a face has a corner that is none of the {vertices} vertices")
    return points[corners]


def _triangles(faces: list[str]) -> Integers:
    """Vertices of each triangle (triangles, 3); colours behind a face's corners are passed over."""
    sides = _numbers(faces, 1, np.int64)[:, 0]
    found = [np.empty((0, 3), np.int64)]
    for count in np.unique(sides[sides >= 3]).tolist():
        corners = _numbers([faces[i] for i in np.flatnonzero(sides == count)], 1 + count, np.int64)[:, 1:]
        found += [corners[:, [0, second, second + 1]] for second in range(1, count - 1)]
    return np.concatenate(found)


def _numbers(lines: list[str], columns: int, kind: type) -> NDArray[Any]:
    return np.loadtxt(lines, kind, comments=None, usecols=range(columns), ndmin=2)


def _mark(grid: Grid, points: Floats, fill: int) -> None:
    """Marks the voxels of points (..., xyz, count), counted in voxels from the middle of those that are filled."""
    middle = (len(grid) - fill) // 2 + fill / 2
    x, y, z = np.moveaxis(np.floor(points + middle).astype(np.int64), -2, 0)
    grid[x, y, z] = 1


def _halve(triangles: Floats, longest: Integers) -> Floats:
    """Both halves of triangles (corners, xyz, count) whose edge `longest`, of that corner and the next, is divided."""
    halves = []
    for edge in range(3):
        first, second, third = np.roll(triangles[:, :, longest == edge], -edge, axis=0)
        middle = (first + second) / 2
        halves += [np.stack((first, middle, third)), np.stack((middle, second, third))]
    return np.concatenate(halves, axis=-1)


# Points of a triangle whose edges are divided into parts, as weights of its corners.
_LATTICE = np.array([(i, j, PARTS - i - j) for i in range(PARTS + 1) for j in range(PARTS + 1 - i)]) / PARTS
