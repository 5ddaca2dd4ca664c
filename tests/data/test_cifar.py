from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smash_lightning.data import cifar
from smash_lightning.data.cifar import CIFAR10, CIFAR100
from smash_lightning.data.source import Download, Source
from smash_lightning.random_streams import rng

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "cifar10_original_sample"
NAMES10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FINE = [f"fine {number}" for number in range(100)]
COARSE = [f"coarse {number}" for number in range(20)]


def rows(name: str, count: int) -> np.ndarray:
    return np.frombuffer(rng(name).randbytes(count * 3072), np.uint8).reshape(count, 3072)


def write10(root: Path, count: int = 4, protocol: int = 2) -> Path:
    """CIFAR-10 in the official layout, `count` images in each batch; label of the n-th image: n modulo 10."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        batch = {
            "batch_label": name,
            "labels": [n % 10 for n in range(number * count, (number + 1) * count)],
            "data": rows(name, count),
            "filenames": [f"{n}.png" for n in range(count)],
        }
        change(folder / name, lambda _, batch=batch: batch, protocol)
    meta = {"num_cases_per_batch": count, "label_names": NAMES10, "num_vis": 3072}
    change(folder / "batches.meta", lambda _: meta)
    return folder


def write100(root: Path) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, fine in (("train", [99, 0, 50, 7]), ("test", [3, 98])):
        batch = {
            "fine_labels": fine,
            "coarse_labels": [label // 5 for label in fine],
            "data": rows(name, len(fine)),
        }
        change(folder / name, lambda _, batch=batch: batch)
    change(folder / "meta", lambda _: {"fine_label_names": FINE, "coarse_label_names": COARSE})
    return folder


def change(path: Path, how: Callable[[Any], Any], protocol: int = 2) -> None:
    """Writes a pickle with the keys of Python 2, or writes one again."""
    value = pickle.loads(path.read_bytes()) if path.exists() else None
    changed = how(value)
    if isinstance(changed, dict):
        changed = {key.encode() if isinstance(key, str) else key: entry for key, entry in changed.items()}
    path.write_bytes(pickle.dumps(changed, protocol))


def test_batches_come_in_order_with_upright_planes(tmp_path: Path) -> None:
    folder = write10(tmp_path)
    sets = CIFAR10(str(tmp_path)).read()
    assert sets.train.images.shape == (20, 3, 32, 32)
    assert sets.test.images.shape == (4, 3, 32, 32)
    assert sets.train.labels.tolist() == [n % 10 for n in range(20)]
    assert sets.test.labels.tolist() == [0, 1, 2, 3]
    assert sets.classes == tuple(NAMES10)
    # A row of the file holds 1,024 red bytes, row by row of the image, then green, then blue.
    for image in range(20):
        data = rows(f"data_batch_{image // 4 + 1}", 4)[image % 4]
        for channel, y, x in ((0, 0, 1), (1, 5, 0), (2, 31, 30)):
            assert int(sets.train.images[image, channel, y, x]) == data[channel * 1024 + y * 32 + x]
    assert [path.name for path in CIFAR10(str(tmp_path)).files()] == [
        *(f"data_batch_{n}" for n in range(1, 6)),
        "test_batch",
        "batches.meta",
    ]
    assert torch.equal(CIFAR10(str(folder)).read().train.images, sets.train.images)


def test_images_may_be_written_to(tmp_path: Path) -> None:
    write10(tmp_path)
    sets, again = CIFAR10(str(tmp_path)).read(), CIFAR10(str(tmp_path)).read()
    for one, other in ((sets.train, again.train), (sets.test, again.test)):
        one.images.add_(1)
        assert torch.equal(one.images, other.images + 1)


@pytest.mark.parametrize(
    ("labels", "names", "expected"), [("fine", FINE, [99, 0, 50, 7]), ("coarse", COARSE, [19, 0, 10, 1])]
)
def test_hundred_classes_or_twenty(tmp_path: Path, labels: str, names: list[str], expected: list[int]) -> None:
    write100(tmp_path)
    sets = CIFAR100(str(tmp_path), labels).read()
    assert sets.train.labels.tolist() == expected
    assert sets.classes == tuple(names)
    assert torch.equal(sets.test.images, torch.from_numpy(rows("test", 2).copy()).view(2, 3, 32, 32))
    assert labels != "fine" or torch.equal(CIFAR100(str(tmp_path)).read().train.labels, sets.train.labels)


def test_other_labels_do_not_exist(tmp_path: Path) -> None:
    write100(tmp_path)
    with pytest.raises(ValueError, match=r"dataset\.source\.labels must be one of fine, coarse, got 'middle'"):
        CIFAR100(str(tmp_path), "middle").files()


def test_a_part_of_the_set_is_told(tmp_path: Path) -> None:
    write10(tmp_path)
    assert CIFAR10(str(tmp_path)).read().notes == (
        "20 training images instead of the official 50,000: this is not the whole CIFAR-10.",
        "4 test images instead of the official 10,000: this is not the whole CIFAR-10.",
    )
    write100(tmp_path)
    assert "the whole CIFAR-100" in CIFAR100(str(tmp_path)).read().notes[0]


def test_nothing_is_told_of_the_whole_set(tmp_path: Path) -> None:
    write10(tmp_path, 10_000, protocol=4)
    sets = CIFAR10(str(tmp_path)).read()
    assert (len(sets.train), len(sets.test), sets.notes) == (50_000, 10_000, ())


@pytest.mark.parametrize("batch", ["data_batch_3", "test_batch"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda b: b | {b"data": b[b"data"][:3]}, "holds 3 images but 4 labels"),
        (lambda b: b | {b"labels": [1, 2, 3]}, "holds 4 images but 3 labels"),
        (lambda b: b | {b"data": b[b"data"][:, :3071]}, r"holds uint8 \(4, 3071\) instead of rows of 3,072 bytes"),
        (lambda b: b | {b"data": b[b"data"].astype("f4")}, r"holds float32 \(4, 3072\) instead of rows"),
        (lambda b: b | {b"data": b[b"data"].reshape(4, 3, 1024)}, r"holds uint8 \(4, 3, 1024\) instead of rows"),
        (lambda b: b | {b"data": [1, 2]}, "holds list instead of rows"),
        (lambda b: b | {b"labels": [0, 1, 2, 10]}, "has an image of class 10, but classes are numbered from 0 to 9"),
        (lambda b: b | {b"labels": [0, -1, 2, 3]}, "has an image of class -1, but classes are numbered from 0 to 9"),
        (lambda b: b | {b"labels": [0, 1, 2, 3.5]}, "has labels that are not a list of integers"),
        (lambda b: b | {b"labels": [0, 1, 2, [3]]}, "has labels that are not a list of integers"),
        (lambda b: b | {b"labels": [0, 1, 2, 2**70]}, "has labels that are not a list of integers"),
        (lambda b: b | {b"labels": "0123"}, "has labels that are not a list of integers"),
        (lambda b: {b"labels": b[b"labels"]}, r"has no 'data', but \['labels'\]"),
        (lambda b: {b"data": b[b"data"]}, r"has no 'labels', but \['data'\]"),
        (lambda b: [1], "holds no dictionary"),
    ],
)
def test_a_wrong_batch_is_named(tmp_path: Path, batch: str, how: Callable[[Any], Any], message: str) -> None:
    path = write10(tmp_path) / batch
    change(path, how)
    with pytest.raises(ValueError, match=f"^{path} {message}.*: delete it and fetch the data set again$"):
        CIFAR10(str(tmp_path)).read()


def test_a_truncated_batch_is_named(tmp_path: Path) -> None:
    path = write10(tmp_path) / "data_batch_5"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=f"^{path} is not a whole pickle .*: delete it and fetch the data set again$"):
        CIFAR10(str(tmp_path)).read()


@pytest.mark.parametrize("value", [{}, {"label_names": []}, {"label_names": "names"}, {"label_names": [1, 2]}])
def test_missing_names_are_told(tmp_path: Path, value: dict[str, Any]) -> None:
    path = write10(tmp_path) / "batches.meta"
    change(path, lambda _: value)
    with pytest.raises(ValueError, match=f"^{path} has no names of classes under 'label_names': delete it"):
        CIFAR10(str(tmp_path)).read()


@pytest.mark.parametrize("source", [CIFAR10, CIFAR100])
def test_an_absent_set_is_named(tmp_path: Path, source: type[CIFAR10] | type[CIFAR100]) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no cifar-100?-\S+ in {tmp_path}: say where .* dataset\.root=FOLDER"):
        source(str(tmp_path)).files()


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    folder = write10(tmp_path)
    (folder / "data_batch_4").unlink()
    for read in (CIFAR10(str(tmp_path)).files, CIFAR10(str(tmp_path)).read, CIFAR10(str(tmp_path)).fetch):
        with pytest.raises(ValueError, match=f"{folder} lacks data_batch_4: complete it, or remove it and fetch"):
            read()


@pytest.mark.parametrize(
    ("kind", "write", "constant"), [(CIFAR10, write10, "CIFAR10_DOWNLOAD"), (CIFAR100, write100, "CIFAR100_DOWNLOAD")]
)
def test_fetching_unpacks_the_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Callable[[str], Source],
    write: Callable[[Path], Path],
    constant: str,
) -> None:
    folder = write(tmp_path / "made")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, folder.name)
    official: Download = getattr(cifar, constant)
    assert official in kind("").downloads()
    name = official.url.rpartition("/")[2]
    content = packed.getvalue()
    # The archive lies there already, so that nothing is asked of the network; only its size and checksum are others.
    monkeypatch.setattr(cifar, constant, Download(official.url, len(content), hashlib.md5(content).hexdigest()))
    root = tmp_path / "root"
    root.mkdir()
    (root / name).write_bytes(content)
    source = kind(str(root))
    source.fetch()
    assert torch.equal(source.read().train.images, kind(str(folder)).read().train.images)
    assert (root / name).exists(), "what was put there by hand stays"


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of official batches is not there")
def test_official_pixels() -> None:
    sets = CIFAR10(str(SAMPLE)).read()
    assert (len(sets.train), len(sets.test)) == (820, 164)
    assert sets.train.images.shape[1:] == (3, 32, 32)
    assert sets.classes == tuple(NAMES10)
    # The first images of the official set are known: a frog, two trucks, a deer; a cat, two ships, an aeroplane.
    assert [sets.classes[label] for label in sets.train.labels[:4]] == ["frog", "truck", "truck", "deer"]
    assert [sets.classes[label] for label in sets.test.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    assert sets.train.images[0, :, 0, 0].tolist() == [59, 62, 63]
    assert sets.train.images[0, :, 0, 1].tolist() == [43, 46, 45]
    # Photographs are smooth: neighbors differ much less than pixels of different images, along both axes.
    images = sets.train.images.float()
    for axis in (2, 3):
        assert images.diff(dim=axis).abs().mean() < 0.25 * images.diff(dim=0).abs().mean()
    assert len(sets.notes) == 2
