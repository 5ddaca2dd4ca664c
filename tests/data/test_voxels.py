import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from trimesh import Trimesh

from smash_lightning.data.modelnet10 import Grid, centred, read_binvox, read_off
from smash_lightning.data.modelnet10 import voxelise as voxelise_mesh
from tests.data.official_files import binvox

Floats = NDArray[np.float64]
CORNERS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))  # corner 4x + 2y + z
SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]  # the last one is above


def voxelise(triangles: Floats, size: int, fill: int) -> Grid:
    mesh = Trimesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), process=False)
    return voxelise_mesh(mesh, size, fill)


def box(length: float, width: float, height: float, sides: int = 6) -> Floats:
    """Triangles of a box; with five sides it is open above."""
    fans = [triangle for a, b, c, d in SIDES[:sides] for triangle in ((a, b, c), (a, c, d))]
    return (CORNERS * (length, width, height))[np.array(fans)]


def blob(seed: int, triangles: int = 40) -> Floats:
    """Triangles of many sizes and slopes, slivers among them, through each other."""
    rng = np.random.default_rng(seed)
    shapes = rng.normal(size=(triangles, 3, 3))
    shapes[::3, 2] = shapes[::3, 1] + 0.001 * rng.normal(size=shapes[::3, 2].shape)
    return shapes


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("size", "fill"), [(32, 24), (8, 8), (9, 4), (30, 1), (16, 15)])
def test_a_cube_fills_a_cube_and_nothing_else(size: int, fill: int) -> None:
    grid = voxelise(box(3, 3, 3), size, fill)
    first = (size - fill) // 2
    expected = np.zeros((size, size, size), np.uint8)
    expected[first : first + fill, first : first + fill, first : first + fill] = 1
    assert grid.dtype == np.uint8
    assert np.array_equal(grid, expected)


def test_an_open_surface_is_not_filled_and_a_closed_one_is() -> None:
    closed, opened = (voxelise(box(1, 1, 1, sides), 32, 24) for sides in (6, 5))
    assert closed[4:28, 4:28, 4:28].all()
    assert not opened[5:27, 5:27, 5:28].any()
    assert opened[4:28, 4:28, 4].all()
    assert opened[4, 4:28, 4:28].all()
    assert opened.sum() == 24**3 - 22 * 22 * 23


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-4, 0.3, 7.0, 1e5]))
def test_neither_place_nor_scale_nor_the_order_of_triangles_matters(seed: int, scale: float) -> None:
    triangles = blob(seed)
    expected = voxelise(triangles, 16, 12)
    order = np.random.default_rng(seed).permutation(len(triangles))
    assert np.array_equal(voxelise(triangles[order] * scale, 16, 12), expected)
    assert np.array_equal(voxelise(triangles * 4 + (64, -32, 16), 16, 12), expected)


@given(seed=st.integers(0, 1000))
def test_a_turned_mesh_is_a_turned_grid(seed: int) -> None:
    triangles = blob(seed)
    turned = np.stack((-triangles[..., 1], triangles[..., 0], triangles[..., 2]), -1)
    upside_down = triangles * (1, -1, -1)
    expected = voxelise(triangles, 16, 12)
    assert np.array_equal(voxelise(turned, 16, 12), np.rot90(expected, 1, (0, 1)))
    assert np.array_equal(voxelise(upside_down, 16, 12), expected[:, ::-1, ::-1])


@given(seed=st.integers(0, 1000), flatness=st.sampled_from([1.0, 0.3, 0.03]))
def test_what_lies_inside_a_closed_surface_is_full_and_nothing_else(seed: int, flatness: float) -> None:
    corners = np.random.default_rng(seed).normal(size=(4, 3)) * (1, 1, flatness)
    tetrahedron = np.stack([corners[list(face)] for face in itertools.combinations(range(4), 3)])
    size, fill = 24, 20
    grid = voxelise(tetrahedron, size, fill)
    placed = in_grid(corners, corners, size, fill)
    centres = np.argwhere(grid >= 0) + 0.5
    planes = [planes_distance(placed[i], np.delete(placed, i, axis=0), centres) for i in range(4)]
    outside = np.max(planes, axis=0).reshape(grid.shape)  # distance to the nearest plane, less than 0 inside
    assert grid[outside < 0].all(), "no path from voxel to voxel leads out"
    assert not grid[outside > np.sqrt(3) / 2].any(), "what is marked is touched"


def in_grid(points: Floats, mesh: Floats, size: int, fill: int) -> Floats:
    """Coordinates of points of a mesh in its grid, in voxels."""
    low, high = mesh.reshape(-1, 3).min(0), mesh.reshape(-1, 3).max(0)
    return (points - (low + high) / 2) * (fill / (high - low).max()) + (size - fill) // 2 + fill / 2


def planes_distance(inside: Floats, plane: Floats, points: Floats) -> Floats:
    """Distance of points from a plane of three points, less than 0 on the side of `inside`."""
    normal = np.cross(plane[1] - plane[0], plane[2] - plane[0])
    normal /= np.linalg.norm(normal) * -np.sign((inside - plane[0]) @ normal)
    return (points - plane[0]) @ normal


CUBE = "\n".join(" ".join(map(str, corner)) for corner in CORNERS)
FACES = "\n".join("4 " + " ".join(map(str, side)) for side in SIDES)


@pytest.mark.parametrize(
    "text",
    [
        f"OFF\n8 6 0\n{CUBE}\n{FACES}\n",
        f"OFF8 6 0\n{CUBE}\n{FACES}\n",
        f"OFF 8 6 12\n{CUBE}\n{FACES}\n",
        f"off\n8 6\n{CUBE}\n{FACES}",
        f"\ufeffOFF\n8 6 0\n{CUBE}\n{FACES}\n",
        "COFF\n8 6 0\n" + CUBE.replace("\n", " 255 0 0 255\n") + " 255 0 0 255\n" + FACES,
        "NOFF8 6 0\n" + CUBE.replace("\n", " 0 0 1\n") + " 0 0 1\n" + FACES,
        "STCNOFF\n8 6 0\n" + CUBE.replace("\n", " 0 0 1 1 2 3 4 5 6\n") + " 0 0 1 1 2 3 4 5 6\n" + FACES,
        f"OFF  # a cube\n\n# of eight corners\n8 6 0 # and six sides\n{CUBE}\n\n{FACES}\n",
        f"OFF\r\n8 6 0\r\n{CUBE}\n{FACES}\n".replace("\n", "\r\n").replace("\r\r", "\r"),
        "OFF\n8 6 0\n" + CUBE.replace("\n", " 255 0 0\n") + " 1 1 1\n" + FACES.replace("\n", " 0.5 0 1\n") + "\n",
        f"OFF\n8 8 0\n{CUBE}\n2 0 1\n{FACES}\n1 3\n",
        f"OFF\n9 6 0\n{CUBE}\n700 700 700\n{FACES}\n",
    ],
)
def test_the_ways_in_which_meshes_are_written(tmp_path: Path, text: str) -> None:
    triangles = read_off(write(tmp_path / "cube.off", text)).triangles
    assert triangles.shape == (12, 3, 3)
    assert np.array_equal(voxelise(triangles, 32, 24), voxelise(box(1, 1, 1), 32, 24))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it does not start with OFF, or is a variant"),
        ("solid cube\nfacet", "it does not start with OFF"),
        ("OFF\n", "not enough values to unpack"),
        ("OFF BINARY\n\0\0\0", "it does not start with OFF, or is a variant"),
        (f"nOFF\n3 8 6 0\n{CUBE}\n{FACES}", "it does not start with OFF, or is a variant"),
        (f"OFF\n8 0 0\n{CUBE}\n", "it has no faces of any extent"),
        *((f"OFF\n8 1 0\n{CUBE}\n{face}\n", "it has no faces of any extent") for face in ("3 0 0 0", "2 0 1", "1 2")),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}"[:-20], r"it has 12 instead of 14 lines"),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}"[:-2], "a face lacks a corner"),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}".replace("4 0 4 5 1", "4 0 4 8 1"), "a face has a corner that is none of the 8"),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}".replace("4 0 4 5 1", "4 0 4 -5 1"), "a face has a corner that is none of the"),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}".replace("4 0 4 5 1", "4 0 4 x 1"), "invalid literal for int.*'x'"),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}".replace("1.0 0.0 1.0", "1.0 O.0 1.0"), "could not convert string 'O.0'"),
        (f"OFF\n8 6 0\n{CUBE}\n{FACES}".replace("1.0 0.0 1.0", "1.0 nan 1.0"), "a vertex is not finite"),
    ],
)
def test_broken_meshes_are_named(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path / "broken.off", text)
    with pytest.raises(
        ValueError, match=rf"broken\.off is not a whole OFF mesh \(.*{reason}.*\): export it again"
    ) as error:
        read_off(path)
    assert "\n" not in str(error.value)


@given(seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_binvox_grids_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    grid = (rng.random(rng.integers(1, 12, 3)) < share).astype(np.uint8)
    path, values = tmp_path_factory.mktemp("grids") / "a.binvox", rng.integers(1, 256, grid.shape, dtype=np.uint8)
    for name, written in (("#binvox 1", grid), ("binvox 1", grid), ("#binvox 2", grid * values)):
        path.write_bytes(binvox(written, name))
        assert np.array_equal(read_binvox(path), grid), "version 2 has values"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#binvox 1\ndim 3 3\ndata\n",
        b"#binvox 1\ndim 2 2 2\n\x00\x08",
        b"#binvox 1\ndim 2 2 2\ndata\n\x00\x07",
        b"#binvox 1\ndim 2 2 2\ndata\n\x00\x05\x01\x04",
        b"#binvox 1\ndim 2 2 2\ndata\n\x00\x08\x01",
        b"#binvox 1\ndim 2 2 2\ndata\n",
    ],
)
def test_broken_binvox_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.binvox"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.binvox is not a whole binvox file \(.+\): export it again"):
        read_binvox(path)


def test_small_grids_are_put_into_the_middle(tmp_path: Path) -> None:
    grids = np.ones((2, 3, 4, 5), bool)
    found = centred(grids, 6, tmp_path)
    assert (found.shape, found.dtype) == ((2, 6, 6, 6), np.uint8)
    assert found[:, 1:4, 1:5, :5].all()
    assert found.sum() == grids.sum()
    assert np.array_equal(centred(found, 6, tmp_path), found)
