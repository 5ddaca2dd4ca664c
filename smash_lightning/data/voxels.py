"""Reads files of shapes as grids of voxels (x, y, z), z being up as in the file; corrupt files are a ValueError.

Formats: OFF, Geomview's object file, as ModelNet uses it; binvox, https://www.patrickmin.com/binvox/binvox.html.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from trimesh import Trimesh
from trimesh.remesh import subdivide_to_size

EXPORT_AGAIN = "export it again, or remove it"
INSIDE = 1e-6  # voxels by which a mesh is made smaller, so that its far side is in the last voxel and not behind it
SPACING = 0.8  # voxels between neighbouring points of a surface at most
PARTS = 4  # into how many parts the edges of small triangles are divided at once
MOST_STEPS = 64  # of dividing long edges; each step halves them

Grid = NDArray[np.uint8]


def read_off(path: Path) -> Trimesh:
    """A mesh of triangles; polygons of more corners are divided like a fan. Colours and normals are ignored."""
    try:
        mesh = _parse_off(path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("latin-1"))
    except ValueError as error:
        raise ValueError(f"{path} is not a whole OFF mesh ({error}): {EXPORT_AGAIN}") from None
    if not len(mesh.faces) or not mesh.extents.any():
        raise ValueError(f"{path} has no faces of any extent: {EXPORT_AGAIN}")
    return mesh


def voxelise(mesh: Trimesh, size: int, fill: int) -> Grid:
    """Marks the voxels that a surface passes through, and those that it encloses, with 1.

    The longest side of the surface takes `fill` of `size` voxels, and the surface is in the middle of the grid. Edges
    are divided until no path from voxel to voxel through their sides passes the surface: every point of it is less than
    SPACING / sqrt(3), so less than half a voxel, away from a point that is marked.
    """
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
    content = path.read_bytes()
    header = re.match(rb"#?binvox [12]\s.*?^dim (\d+) (\d+) (\d+)\s.*?^data\r?\n", content, re.DOTALL | re.MULTILINE)
    if header is None:
        raise ValueError(f"{path} has no binvox header: {EXPORT_AGAIN}")
    length, height, width = map(int, header.groups())
    runs = np.frombuffer(content, np.uint8, offset=header.end())
    values, counts = runs[: len(runs) // 2 * 2].reshape(-1, 2).T
    if len(runs) % 2:
        raise ValueError(f"{path} ends with a run without a length: {EXPORT_AGAIN}")
    if (total := int(counts.sum(dtype=np.int64))) != length * width * height:
        raise ValueError(f"{path} holds {total} voxels instead of {length} x {width} x {height}: {EXPORT_AGAIN}")
    grid = np.repeat(values, counts).reshape(length, height, width).transpose(0, 2, 1)  # y runs fastest, then z
    return (grid > 0).astype(np.uint8)


def centred(grids: NDArray[Any], size: int, path: Path) -> Grid:
    """Grids (..., x, y, z), padded on all sides to be `size` voxels long, wide and high."""
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


def _parse_off(text: str) -> Trimesh:
    lines = [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]
    # ST: texture coordinates, C: colours, N: normals, all after x, y and z; 4 and n: other coordinates than these.
    header = re.match(r"(ST|C|N)*4?n?OFF", lines[0] if lines else "", re.IGNORECASE)
    if header is None:
        raise ValueError("it does not start with OFF")
    if re.search("4|nOFF", header[0]) or "BINARY" in lines[0].upper():
        raise ValueError(f"its variant, {lines[0]}, is not read, only text with coordinates x y z")
    lines[0] = lines[0][header.end() :]  # many files of ModelNet have the counts in the same line, without a space
    lines = lines if lines[0].strip() else lines[1:]
    counts = lines[0].split() if lines else []
    if len(counts) < 2 or not all(count.isdecimal() for count in counts):
        raise ValueError("it does not give the number of vertices and faces")
    vertices, faces = int(counts[0]), int(counts[1])
    if not vertices or not faces:
        raise ValueError(f"it has {vertices} vertices and {faces} faces")
    if len(lines) <= vertices + faces:
        raise ValueError(f"it ends after {len(lines) - 1} of {vertices + faces} lines")
    points = _numbers(lines[1 : 1 + vertices], 3, np.float64)
    corners = _triangles(lines[1 + vertices : 1 + vertices + faces])
    if not np.isfinite(points).all():
        raise ValueError("a vertex is not finite")
    if corners.size and (corners.min() < 0 or corners.max() >= vertices):
        raise ValueError(f"a face has a corner that is none of the {vertices} vertices")
    return Trimesh(points, corners, process=False)


def _triangles(faces: list[str]) -> NDArray[np.int64]:
    """Vertices of each triangle (triangles, 3); colours after a face's corners are skipped."""
    sides = _numbers(faces, 1, np.int64)[:, 0]
    found = [np.empty((0, 3), np.int64)]
    for count in np.unique(sides[sides >= 3]).tolist():
        corners = _numbers([faces[i] for i in np.flatnonzero(sides == count)], 1 + count, np.int64)[:, 1:]
        found += [corners[:, [0, second, second + 1]] for second in range(1, count - 1)]
    return np.concatenate(found)


def _numbers(lines: list[str], columns: int, kind: type) -> NDArray[Any]:
    return np.loadtxt(lines, kind, comments=None, usecols=range(columns), ndmin=2)


# Points of a triangle whose edges are divided into parts, as weights of its corners.
_LATTICE = np.array([(i, j, PARTS - i - j) for i in range(PARTS + 1) for j in range(PARTS + 1 - i)]) / PARTS
