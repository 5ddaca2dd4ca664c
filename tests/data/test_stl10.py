from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from smash_lightning.data import stl10
from smash_lightning.data.source import Download
from smash_lightning.data.stl10 import STL10

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "imagenette96" / "stl10_layout_subset"
NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
SIZE = 3 * 96 * 96


def pixel(image: int, channel: int, y: int, x: int) -> int:
    """What `write` makes: every axis counts for another amount."""
    return (image * 7 + channel * 50 + y * 2 + x) % 256


def write(root: Path, train: int = 20, test: int = 7) -> Path:
    """STL-10 in the official layout; label of the n-th image: n modulo 10, counted from 1; ten folds of two images."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        n, c, x, y = np.ogrid[:count, :3, :96, :96]  # the file goes down a column before it goes to the next
        (folder / f"{split}_X.bin").write_bytes(((n * 7 + c * 50 + y * 2 + x) % 256).astype(np.uint8).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(number % 10 + 1 for number in range(count)))
    (folder / "class_names.txt").write_text("\n".join(NAMES))
    folds = [f"{19 - fold} {fold} \n" for fold in range(10)]
    (folder / "fold_indices.txt").write_text("".join(folds))
    return folder


def test_images_are_upright(tmp_path: Path) -> None:
    folder = write(tmp_path)
    sets = STL10(str(tmp_path)).read()
    assert sets.train.images.shape == (20, 3, 96, 96)
    assert sets.test.images.shape == (7, 3, 96, 96)
    for image, channel, y, x in ((0, 0, 0, 0), (3, 0, 95, 1), (19, 1, 2, 95), (6, 2, 40, 30)):
        assert int(sets.train.images[image, channel, y, x]) == pixel(image, channel, y, x)
    assert sets.train.labels.tolist() == [*range(10), *range(10)]
    assert sets.test.labels.tolist() == list(range(7))
    assert sets.classes == tuple(NAMES)
    assert sets.train.images.is_contiguous()
    assert torch.equal(STL10(str(folder)).read().train.images, sets.train.images)


@pytest.mark.parametrize("fold", range(10))
def test_a_fold_restricts_the_training_images(tmp_path: Path, fold: int) -> None:
    write(tmp_path)
    whole, part = STL10(str(tmp_path)).read(), STL10(str(tmp_path), fold).read()
    assert torch.equal(part.train.images, whole.train.images[[19 - fold, fold]])
    assert part.train.labels.tolist() == [9 - fold, fold]
    assert torch.equal(part.test.images, whole.test.images)
    assert part.notes == whole.notes, "what is missing of the set does not depend on the fold"


def test_folds_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path)
    names = [path.name for path in STL10(str(tmp_path), 0).files()]
    assert names == ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt", "fold_indices.txt"]
    (folder / "fold_indices.txt").unlink()
    assert [path.name for path in STL10(str(tmp_path)).files()] == names[:-1]
    with pytest.raises(ValueError, match=f"{folder} lacks fold_indices.txt: complete it, or remove it and fetch"):
        STL10(str(tmp_path), 0).files()


@pytest.mark.parametrize("fold", [-1, 10, 100])
def test_other_folds_do_not_exist(tmp_path: Path, fold: int) -> None:
    write(tmp_path)
    with pytest.raises(ValueError, match=rf"dataset\.fold must lie between 0 and 9, or be null for all, got {fold}"):
        STL10(str(tmp_path), fold).files()


def test_a_part_of_the_set_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    assert STL10(str(tmp_path)).read().notes == (
        "20 training images instead of the official 5,000: this is not the whole STL-10.",
        "7 test images instead of the official 8,000: this is not the whole STL-10.",
    )


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("X", lambda b: b[:-1], r"{X} is not a whole number of images of 27,648 bytes"),
        ("X", lambda b: b + b"more", r"{X} is not a whole number of images of 27,648 bytes"),
        ("X", lambda b: b[:-SIZE], r"{X} holds \d+ images, but {y} holds \d+ labels"),
        ("y", lambda b: b + b"\1", r"{X} holds \d+ images, but {y} holds \d+ labels"),
        ("y", lambda b: b[:-1] + b"\0", r"{y} has an image of class 0, but classes are numbered from 1 to 10"),
        ("y", lambda b: b"\x0b" + b[1:], r"{y} has an image of class 11, but classes are numbered from 1 to 10"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, split: str, name: str, how: Callable[[bytes], bytes], message: str
) -> None:
    folder = write(tmp_path)
    path = folder / f"{split}_{name}.bin"
    path.write_bytes(how(path.read_bytes()))
    named = message.format(X=re.escape(str(folder / f"{split}_X.bin")), y=re.escape(str(folder / f"{split}_y.bin")))
    with pytest.raises(ValueError, match=f"^{named}: delete it and fetch the data set again$"):
        STL10(str(tmp_path)).read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n", r"holds 1 folds, so that there is no dataset\.fold=1"),
        ("0 1\n2 20\n", "has image 20 in line 2, but 20 images are numbered from 0"),
        ("0 1\n-1 2\n", "has image -1 in line 2, but 20 images are numbered from 0"),
        ("0 1\n2 x\n", "has something else than numbers in line 2"),
        ("0 1\n2 \xff\n", "has something else than numbers in line 2"),
        ("0 1\n\n3\n", "has no image, or one twice, in line 2"),
        ("0 1\n2 3 2\n", "has no image, or one twice, in line 2"),
    ],
)
def test_wrong_folds_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path) / "fold_indices.txt"
    path.write_text(text, encoding="latin1")
    with pytest.raises(ValueError, match=f"^{path} {message}: delete it and fetch the data set again$"):
        STL10(str(tmp_path), 1).read()
    assert STL10(str(tmp_path), 0).read().train.labels.tolist() == [0, 1]


@pytest.mark.parametrize("content", [b"", b" \n", b"air\xff"])
def test_missing_names_are_told(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path) / "class_names.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} holds no names of classes: delete it and fetch the data set again$"):
        STL10(str(tmp_path)).read()


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    write(tmp_path, test=0)
    with pytest.raises(ValueError, match="the data set has no test images"):
        STL10(str(tmp_path)).read()


def test_an_absent_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"no stl10_binary in {tmp_path}: say where it lies with dataset\.root"
    ):
        STL10(str(tmp_path)).read()


def test_fetching_leaves_unlabelled_images_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "made")
    (folder / "unlabeled_X.bin").write_bytes(bytes(SIZE))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, folder.name)
    content, root = packed.getvalue(), tmp_path / "root"
    assert STL10("").downloads() == (stl10.DOWNLOAD,)
    # The archive lies there already, so that nothing is asked of the network; only its size and checksum are others.
    monkeypatch.setattr(stl10, "DOWNLOAD", Download(stl10.DOWNLOAD.url, len(content), hashlib.md5(content).hexdigest()))
    root.mkdir()
    (root / "stl10_binary.tar.gz").write_bytes(content)
    STL10(str(root)).fetch()
    assert {path.name for path in (root / "stl10_binary").iterdir()} == {
        path.name for path in folder.iterdir() if path.name != "unlabeled_X.bin"
    }
    assert torch.equal(STL10(str(root), 3).read().train.images, STL10(str(folder), 3).read().train.images)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the subset in STL-10's layout is not there")
def test_photographs_in_the_official_layout() -> None:
    sets = STL10(str(SAMPLE)).read()
    assert (len(sets.train), len(sets.test)) == (400, 200)
    assert torch.bincount(sets.train.labels).tolist() == [40] * 10
    assert sets.classes[0] == "tench"
    folds = [STL10(str(SAMPLE), fold).read().train for fold in range(10)]
    assert all(len(fold) == 80 for fold in folds)
    # Skies are at the top and photographs are brighter there: sideways, left and right would be alike.
    rows, columns = (sets.train.images.float().mean((0, 1, axis)) for axis in (3, 2))
    assert rows[:24].mean() > rows[72:].mean() + 5
    assert (columns[:24].mean() - columns[72:].mean()).abs() < 5
