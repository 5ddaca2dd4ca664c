"""Images without labels are read as a data set reads them, and what cannot be read has a reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from smash_lightning.architecture import ImageSpec
from smash_lightning.data import Folder
from smash_lightning.data.unlabelled import find_unlabelled, read_unlabelled

SPEC = ImageSpec(3, (8, 8), 2)


def read(root: Path, spec: ImageSpec = SPEC) -> dict[str, object]:
    """Bytes or a reason by name."""
    files, _ = find_unlabelled(root)
    return {name: image for batch in read_unlabelled(root, files, spec, 2) for name, image in batch}


def noise(path: Path, seed: int, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def test_pictures_are_what_the_data_set_of_them_has(tmp_path: Path) -> None:
    for index, shape in enumerate([(8, 8, 3), (30, 11, 3), (5, 6), (9, 9, 4)]):
        for name in ("one", "two"):
            noise(tmp_path / name / f"{index}.png", index + 10 * (name == "two"), shape)
    sets, found = Folder(root=str(tmp_path), size=8, test_share=0.25).read(), read(tmp_path)
    assert len(found) == 8
    images = torch.from_numpy(np.stack(list(found.values())))
    known = {image.numpy().tobytes() for split in (sets.train, sets.test) for image in split.images}
    assert {image.numpy().tobytes() for image in images} == known
    grey = read(tmp_path, ImageSpec(1, (8, 8), 2))
    assert {np.shape(image) for image in grey.values()} == {(1, 8, 8)}
    alone = read(tmp_path / "one" / "0.png")
    assert np.array_equal(alone["0.png"], found["one/0.png"])


def test_arrays_are_read_and_wrong_files_have_a_reason(tmp_path: Path) -> None:
    grids = np.random.default_rng(0).integers(2, size=(3, 4, 4, 4))
    np.savez(tmp_path / "model.npz", X_test=grids, y_test=np.zeros(3), X_train=grids)
    volume = ImageSpec(1, (6, 6, 6), 2)
    found = read(tmp_path, volume)
    assert list(found) == [f"model.npz[{index}]" for index in range(3)]
    assert np.array_equal(np.asarray(found["model.npz[2]"])[0, 1:5, 1:5, 1:5], grids[2])
    np.save(tmp_path / "floats.npy", np.full((1, 3, 8, 8), 0.5))
    np.save(tmp_path / "last.npy", np.zeros((2, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "two.npz", a=grids, b=grids)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "notes.txt").touch()
    assert find_unlabelled(tmp_path)[1] == [tmp_path / "notes.txt"]
    found = read(tmp_path)
    for name, reason in {
        "floats.npy": "no bytes",
        "last.npy": "(2, 8, 8, 3), not (count, 3, 8, 8)",
        "two.npz": "it holds a, b: name",
        "cut.png": "no image of a known type",
        "cut.npz": "File is not a zip file",
        "model.npz": "not (count, 3, 8, 8)",
    }.items():
        assert reason in str(found.pop(name)), name
    assert not found
    assert "grids of 3 axes" in str(read(tmp_path / "cut.png", volume))
    for path in (tmp_path / "notes.txt", tmp_path / "none"):
        with pytest.raises((ValueError, FileNotFoundError), match=f"task.images={path}"):
            find_unlabelled(path)
