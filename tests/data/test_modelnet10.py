import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smash_lightning.data import modelnet10
from smash_lightning.data.modelnet10 import ModelNet10
from smash_lightning.data.source import RawDataset
from tests.data.official_files import SHARED, binvox, with_shared

CLASSES = ("bathtub", "night_stand", "toilet")


def mesh(length: float, width: float, height: float) -> str:
    """A box as an OFF mesh."""
    corners = [" ".join(map(str, corner)) for corner in itertools.product((0, length), (0, width), (0, height))]
    sides = ["0 1 3 2", "4 6 7 5", "0 4 5 1", "2 3 7 6", "0 2 6 4", "1 5 7 3"]
    return "\n".join(["OFF", "8 6 0", *corners, *(f"4 {side}" for side in sides)]) + "\n"


def block(length: int, width: int, height: int, size: int) -> np.ndarray:
    """The same box as a grid, its longest side being as long as stated."""
    grid = np.zeros((size, size, size), np.uint8)
    x, y, z = (slice((size - side) // 2, (size + side) // 2) for side in (length, width, height))
    grid[x, y, z] = 1
    return grid


def official(folder: Path, train: int = 3, test: int = 2, ending: str = ".off") -> Path:
    """Boxes in the official layout: its height encodes the class of a box, its length its number."""
    for label, name in enumerate(CLASSES):
        for number in range(1, train + test + 1):
            split = "train" if number <= train else "test"
            path = folder / "ModelNet10" / name / split / f"{name}_{number:04d}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            sides = 2 * number % 24 or 24, 24, 8 * label + 8
            path.write_bytes(mesh(*sides).encode() if ending == ".off" else binvox(block(*sides, 28)))
    (folder / "ModelNet10" / "README.txt").write_text("Princeton ModelNet\n")
    (folder / "__MACOSX" / "ModelNet10" / "bathtub" / "train").mkdir(parents=True, exist_ok=True)
    return folder


def write_npz(path: Path, size: int = 8, **changes: Any) -> Path:
    """Three grids to learn from and two others, of two classes; None leaves an array out."""
    arrays: dict[str, Any] = {
        "X_train": np.stack([block(2, 2, 4, size), block(2, 4, 2, size), block(4, 2, 2, size)]),
        "y_train": np.array([0, 1, 1]),
        "X_test": np.stack([block(4, 4, 2, size), block(4, 4, 4, size)]),
        "y_test": np.array([1, 0]),
        "class_names": np.array(["bed", "chair"]),
    }
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **{key: value for key, value in (arrays | changes).items() if value is not None})
    return path


def grids(sets: RawDataset) -> list[np.ndarray]:
    return [split.images[:, 0].numpy() for split in (sets.train, sets.test)]


@pytest.mark.parametrize(("inside", "ending"), [("", ".off"), ("ModelNet10", ".off"), ("", ".binvox")])
def test_the_official_layout_becomes_grids_with_z_up(tmp_path: Path, inside: str, ending: str) -> None:
    sets = ModelNet10(str(official(tmp_path, ending=ending) / inside)).read()
    assert sets.classes == CLASSES
    assert sets.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sets.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    for found, numbers in zip(grids(sets), ([1, 2, 3], [4, 5]), strict=True):
        expected = [block(2 * number, 24, 8 * label + 8, 32) for label in range(3) for number in numbers]
        assert np.array_equal(found, np.stack(expected))
    assert sets.notes == (
        "9 training images instead of the official 3,991: this is not the whole ModelNet10.",
        "6 test images instead of the official 908: this is not the whole ModelNet10.",
    )


@pytest.mark.slow
def test_many_meshes_are_read_in_processes_and_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ModelNet10(str(official(tmp_path, 12, 4)), size=24)
    alone = source.read()
    monkeypatch.setattr(modelnet10, "OBJECTS_PER_PROCESS", 48 // 2)
    for one, other in zip(grids(source.read()), grids(alone), strict=True):
        assert np.array_equal(one, other)
    expected = [block(2 * number, 24, 8 * label + 8, 24) for label in range(3) for number in range(1, 13)]
    assert np.array_equal(grids(alone)[0], np.stack(expected))


def test_an_unreadable_mesh_is_left_out_and_stated(tmp_path: Path) -> None:
    root = official(tmp_path, 40, 10)
    broken = root / "ModelNet10" / "toilet" / "train" / "toilet_0002.off"
    whole = ModelNet10(str(root), 8, 6).read()
    broken.write_text(broken.read_text()[:60])
    sets = ModelNet10(str(root), 8, 6).read()
    assert "toilet_0002.off cannot be read and counts as empty." in sets.notes
    assert "1 of 120 training objects were left out: their grids are empty." in sets.notes
    kept = torch.tensor([index for index in range(120) if index != 81])
    assert torch.equal(sets.train.images, whole.train.images[kept])
    assert torch.equal(sets.train.labels, whole.train.labels[kept])
    (broken.parent / "toilet_0004.off").write_text("")
    with pytest.raises(
        ValueError, match=r"^2 of 150 objects cannot be read, the first: .*toilet_0002\.off is not a wh"
    ):
        ModelNet10(str(root)).read()


def test_meshes_are_preferred_to_grids_in_their_place_and_these_to_an_npz(tmp_path: Path) -> None:
    official(official(tmp_path), ending=".binvox")
    write_npz(tmp_path / "a.npz")
    for ending in (".off", ".binvox", ".npz"):
        files = ModelNet10(str(tmp_path)).files()
        assert {path.suffix for path in files} == {ending}
        for path in files:
            path.unlink()


@pytest.mark.parametrize("direct", [False, True])
def test_grids_of_an_npz(tmp_path: Path, direct: bool) -> None:
    path = write_npz(tmp_path / "any.npz")
    sets = ModelNet10(str(path if direct else tmp_path), size=8, fill=8).read()
    assert list(ModelNet10(str(path)).files()) == [path]
    assert sets.classes == ("bed", "chair")
    assert sets.train.labels.tolist() == [0, 1, 1]
    assert sets.test.labels.tolist() == [1, 0]
    assert np.array_equal(grids(sets)[0][1], block(2, 4, 2, 8))
    larger = ModelNet10(str(path)).read()
    assert larger.train.images.shape == (3, 1, 32, 32, 32)
    assert np.array_equal(grids(larger)[0][1], block(2, 4, 2, 32))


def test_empty_grids_are_left_out_and_repeated_ones_kept(tmp_path: Path) -> None:
    tall, wide, empty = block(2, 2, 4, 8), block(2, 4, 2, 8), np.zeros((8, 8, 8), np.uint8)
    changes = {
        "X_train": np.stack([tall, empty, wide, empty]),
        "y_train": np.array([0, 0, 1, 1]),
        "X_test": np.stack([wide, empty, wide]),
        "y_test": np.array([1, 0, 1]),
    }
    sets = ModelNet10(str(write_npz(tmp_path / "a.npz", **changes)), 8, 8).read()
    assert np.array_equal(grids(sets)[0], np.stack([tall, wide]))
    assert (sets.train.labels.tolist(), sets.test.labels.tolist()) == ([0, 1], [1, 1])
    assert sets.notes == (
        "4 training images instead of the official 3,991: this is not the whole ModelNet10.",
        "3 test images instead of the official 908: this is not the whole ModelNet10.",
        "2 of 4 training objects were left out: their grids are empty.",
        "1 of 3 test objects were left out: their grids are empty.",
        "2 test objects have the same grid as a training object; they were kept.",
    )


def test_a_split_without_objects_is_named(tmp_path: Path) -> None:
    place = official(tmp_path) / "ModelNet10" / "toilet" / "test"
    for path in place.iterdir():
        path.unlink()
    for remove in (lambda: None, place.rmdir):
        remove()
        with pytest.raises(ValueError, match=rf"{place} lacks \.off files: complete it, or"):
            ModelNet10(str(tmp_path)).files()


NOT_WHOLE, NO_NAMES = r"is not a whole \.npz of X_train, y_train, X_test and y_test \(", "needs class_names as text"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X_test": None}, f"{NOT_WHOLE}.*X_test"),
        ({"X_test": np.array([{}, {}], dtype=object)}, f"{NOT_WHOLE}Object arrays cannot"),
        (lambda whole: b"", NOT_WHOLE),
        (lambda whole: b"PK\3\4", NOT_WHOLE),
        (lambda whole: b"garbage" * 100, NOT_WHOLE),
        (lambda whole: whole[: len(whole) // 2], NOT_WHOLE),
        (lambda whole: whole[:100] + bytes(10) + whole[110:], NOT_WHOLE),
        ({"y_train": np.array([0, 1])}, r"holds \(3, 8, 8, 8\) of uint8 with labels \(2,\) of int64, not grids"),
        ({"X_test": np.full((2, 8, 8, 8), 2, np.uint8)}, r"holds .*, not grids \(count, x, y, z\) of 0 and 1"),
        ({"X_test": np.zeros((2, 9, 40, 8), np.uint8)}, r"holds grids of 9 x 40 x 8 voxels: choose .*source\.size=40"),
        ({"class_names": None}, NO_NAMES),
        ({"class_names": np.array(["x", None], dtype=object)}, NO_NAMES),
        ({"class_names": np.array([1, 2])}, NO_NAMES),
    ],
)
def test_other_content_of_an_npz_is_refused(
    tmp_path: Path, changes: dict[str, Any] | Callable[[bytes], bytes], message: str
) -> None:
    path = write_npz(tmp_path / "a.npz", **(changes if isinstance(changes, dict) else {}))
    if not isinstance(changes, dict):
        path.write_bytes(changes(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{path} {message}"):
        ModelNet10(str(path)).read()


def test_folders_without_a_set_and_impossible_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no ModelNet10/CLASS/train/\*\.off, .* in .*dataset\.root=FOLDER\."):
        ModelNet10(str(tmp_path)).files()
    for name in ("b.npz", "a.npz"):
        write_npz(tmp_path / name)
    with pytest.raises(ValueError, match=r"holds a\.npz and b\.npz: choose one with dataset\.root=.*a\.npz"):
        ModelNet10(str(tmp_path)).files()
    for fill in (0, 33):
        with pytest.raises(ValueError, match=rf"dataset\.source\.fill must be from 1 to size=32, got {fill}"):
            ModelNet10(str(tmp_path), 32, fill).files()


@with_shared
def test_grids_that_others_made() -> None:
    sets = ModelNet10(str(SHARED / "modelnet10" / "modelnet10_32.npz")).read()
    assert (len(sets.train), len(sets.test)) == (3984, 907)
    assert sets.train.images.shape[1:] == (1, 32, 32, 32)
    assert sets.classes[2] == "chair"
    assert "7 of 3,991 training objects were left out: their grids are empty." in sets.notes
    assert "1 of 908 test objects were left out: their grids are empty." in sets.notes
    assert "71 test objects have the same grid as a training object; they were kept." in sets.notes
    # Desks and tables stand on their legs; the tank of a toilet is above its bowl, at its back, where y is largest.
    for label in (3, 8):
        below, above = sets.train.images[sets.train.labels == label][..., 4:28].float().mean((0, 1, 2, 3)).chunk(2)
        assert above.sum() > 1.2 * below.sum()
    toilet = sets.train.images[sets.train.labels == 9][:, 0].float().mean(0)
    assert toilet[:, 16:, 16:].sum() > 2 * toilet[:, :16, 16:].sum()


@with_shared
def test_sampled_official_meshes_agree_with_the_grids_that_others_made_of_them(tmp_path: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(SHARED / "modelnet10" / "off_sample" / "bathtub" / "train", tmp_path / "bathtub" / split)
    ours = grids(ModelNet10(str(tmp_path)).read())[0].astype(bool)
    sets = ModelNet10(str(SHARED / "modelnet10" / "modelnet10_32.npz")).read()
    theirs = sets.train.images[sets.train.labels == 0][:5, 0].numpy().astype(bool)
    for index, least in ((1, 0.8), (3, 0.95), (4, 0.9)):  # of the others binvox left out thin walls, or filled the tub
        overlaps = [_overlap(np.rot90(ours[index], turn), theirs[index]) for turn in range(4)]
        assert overlaps[0] == max(overlaps) > least
    assert ours.sum() > 0


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())
