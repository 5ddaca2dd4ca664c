"""CIFAR, STL-10 and Downsampled ImageNet in their official files."""

import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smash_lightning.data import CIFAR10, CIFAR100, STL10, ImageNet32
from smash_lightning.data.imagenet32 import BY_HAND, TRAIN
from smash_lightning.data.official import read_batches, read_dictionary, shortfall
from smash_lightning.random_streams import rng
from tests.data.official_files import (
    CIFAR10_NAMES,
    COARSE,
    FINE,
    IDS,
    SHARED,
    STL10_NAMES,
    change,
    cifar10,
    cifar100,
    imagenet32,
    rows,
    stl10,
    with_shared,
)

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


PROTOCOLS = range(5)  # the fifth writes arrays in another way, which no official file uses
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@every_protocol
def test_cifar10_is_in_order_with_upright_planes_and_may_be_written_to(tmp_path: Path, protocol: int) -> None:
    folder = cifar10(tmp_path, protocol=protocol)
    sets, again = CIFAR10(str(tmp_path)).read(), CIFAR10(str(folder)).read()
    assert sets.train.labels.tolist() == [n % 10 for n in range(20)]
    assert sets.test.labels.tolist() == [0, 1, 2, 3]
    assert sets.classes == tuple(CIFAR10_NAMES)
    # A row of the file holds 1,024 red bytes, row by row of the image, then green, then blue.
    data = np.concatenate([rows(f"data_batch_{number}", 4) for number in range(1, 6)])
    for channel, y, x in ((0, 0, 1), (1, 5, 0), (2, 31, 30)):
        assert np.array_equal(sets.train.images[:, channel, y, x], data[:, channel * 1024 + y * 32 + x])
    for one, other in ((sets.train, again.train), (sets.test, again.test)):
        one.images.add_(1)
        assert torch.equal(one.images, other.images + 1)
    assert sets.notes == (
        "20 training images instead of the official 50,000: this is not the whole CIFAR-10.",
        "4 test images instead of the official 10,000: this is not the whole CIFAR-10.",
    )
    assert shortfall("CIFAR-10", (50_000, 10_000), (50_000, 10_000)) == ()


def test_cifar100_has_hundred_classes_or_twenty(tmp_path: Path) -> None:
    cifar100(tmp_path, [99, 0, 50, 7], [3, 98])
    fine, coarse = CIFAR100(str(tmp_path)).read(), CIFAR100(str(tmp_path), "coarse").read()
    assert (fine.train.labels.tolist(), fine.classes) == ([99, 0, 50, 7], tuple(FINE))
    assert (coarse.train.labels.tolist(), coarse.classes) == ([19, 0, 10, 1], tuple(COARSE))
    assert torch.equal(fine.test.images, torch.from_numpy(rows("test", 2).copy()).view(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"dataset\.source\.labels must be one of fine, coarse, got 'middle'"):
        CIFAR100(str(tmp_path), "middle").files()


@pytest.mark.parametrize(
    "how",
    [
        lambda b: b | {b"data": b[b"data"][:3]},
        lambda b: b | {b"data": b[b"data"][:, :3071]},
        lambda b: b | {b"data": b[b"data"].astype("i1")},
        lambda b: b | {b"data": [1, 2]},
        lambda b: b | {b"data": np.array([None, "text"], dtype=object)},
        lambda b: b | {b"data": np.array(["text"] * 4)},
        lambda b: b | {b"data": np.zeros(4, [("a", "i4"), ("b", "f8")])},
        lambda b: b | {b"labels": np.arange(4)},
        lambda b: b | {b"labels": [0, 1, 2, 3.5]},
        lambda b: b | {b"labels": [0, 1, 2, [3]]},
        lambda b: b | {b"labels": [0, 1, 2, 2**70]},
        lambda b: {b"data": b[b"data"]},
    ],
)
def test_a_wrong_batch_is_named(tmp_path: Path, how: Callable[[Any], Any]) -> None:
    path = cifar10(tmp_path) / "data_batch_3"
    change(path, how)
    with pytest.raises(ValueError, match=f"^{path} does not hold rows of 3,072 bytes .*: delete it and fetch the data"):
        CIFAR10(str(tmp_path)).read()


def test_missing_files_and_names_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source, folder in ((CIFAR10, "cifar-10-batches-py"), (CIFAR100, "cifar-100-python"), (STL10, "stl10_binary")):
        with pytest.raises(FileNotFoundError, match=rf"^no {folder} in {tmp_path}: name its folder with dataset.root"):
            source(str(tmp_path)).files()
    folder = cifar10(tmp_path)
    for name, lacking in (("data_batch_4", "data_batch_4"), ("data_batch_5", "data_batch_4 and data_batch_5")):
        (folder / name).unlink()
        with pytest.raises(ValueError, match=f"{folder} lacks {lacking}: complete it, or remove it and fetch"):
            CIFAR10(str(tmp_path)).files()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cifar10(tmp_path / "home")
    assert len(CIFAR10("~").files()) == 7
    path = tmp_path / "home" / "cifar-10-batches-py" / "batches.meta"
    for value in ({}, {"label_names": []}, {"label_names": "names"}, {"label_names": [1, 2]}):
        change(path, lambda _, value=value: value)
        with pytest.raises(ValueError, match=f"^{path} has no names of classes under 'label_names': delete it"):
            CIFAR10("~").read()


def test_stl10_is_upright_label_by_label(tmp_path: Path) -> None:
    folder = stl10(tmp_path)
    sets = STL10(str(tmp_path)).read()
    assert sets.train.images.is_contiguous()
    for image, channel, y, x in ((0, 0, 0, 0), (3, 0, 95, 1), (19, 1, 2, 95)):
        assert int(sets.train.images[image, channel, y, x]) == (image * 7 + channel * 50 + y * 2 + x) % 256
    assert sets.train.labels.tolist() == [*range(10), *range(10)]
    assert sets.test.labels.tolist() == list(range(7))
    assert sets.classes == tuple(STL10_NAMES)
    assert torch.equal(STL10(str(folder)).read().train.images, sets.train.images)
    assert len(sets.notes) == 2


def test_a_fold_of_stl10_restricts_the_training_images(tmp_path: Path) -> None:
    folder = stl10(tmp_path)
    whole = STL10(str(tmp_path)).read()
    for fold in range(10):
        part = STL10(str(tmp_path), fold).read()
        assert torch.equal(part.train.images, whole.train.images[[19 - fold, fold]])
        assert part.train.labels.tolist() == [9 - fold, fold]
        assert torch.equal(part.test.images, whole.test.images)
        assert part.notes == whole.notes, "what is missing of the set does not depend on the fold"
    for fold in (-1, 10):
        with pytest.raises(ValueError, match=rf"dataset\.fold must be from 0 to 9, or null for all, got {fold}"):
            STL10(str(tmp_path), fold).files()
    for text in ("0 1\n", "0 1\n2 20\n", "0 1\n-1 2\n", "0 1\n2 x\n", "0 1\n\n3\n", "0 1\n2 3 2\n"):
        (folder / "fold_indices.txt").write_text(text)
        with pytest.raises(ValueError, match=r"fold_indices\.txt must name distinct images from 0 to 19 in line 2"):
            STL10(str(tmp_path), 1).read()
    (folder / "fold_indices.txt").unlink()
    assert len(STL10(str(tmp_path)).files()) == 5
    with pytest.raises(ValueError, match=f"{folder} lacks fold_indices.txt"):
        STL10(str(tmp_path), 0).files()


def test_a_wrong_file_of_stl10_is_named(tmp_path: Path) -> None:
    folder = stl10(tmp_path)
    for path in (folder / "train_X.bin", folder / "train_y.bin"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(ValueError, match=r"train_X.bin and .*train_y.bin hold other numbers of images and labels"):
            STL10(str(tmp_path)).read()
        path.write_bytes(whole)


@pytest.mark.parametrize("apart", [False, True])
def test_imagenet32_is_in_order_and_classes_are_counted_from_0(tmp_path: Path, apart: bool) -> None:
    imagenet32(tmp_path, apart=apart)
    sets = ImageNet32(str(tmp_path)).read()
    expected = np.concatenate([rows(f"train {number}", number) for number in range(1, 11)])
    assert np.array_equal(sets.train.images.numpy().reshape(55, 3072), expected)
    assert np.array_equal(sets.test.images.numpy().reshape(4, 3072), rows("val", 4))
    assert sets.train.labels.tolist() == [n % 4 for n in range(55)]
    assert sets.test.labels.tolist() == [0, 1, 2, 3]
    assert sets.classes == ("1", "7", "500", "1000")
    assert sets.notes[2] == "4 of the official 1,000 classes occur."
    assert [path.name for path in ImageNet32(str(tmp_path)).files()] == [*TRAIN, "val_data"]
    next(tmp_path.rglob("train_data_batch_10")).unlink()
    message = rf"^{tmp_path}/.*train_data_batch_10 is missing: {re.escape(BY_HAND)}$"
    with pytest.raises(FileNotFoundError, match=message):
        ImageNet32(str(tmp_path)).files()


def test_a_test_set_of_imagenet32_may_lack_classes_but_not_have_others(tmp_path: Path) -> None:
    sets = ImageNet32(str(imagenet32(tmp_path, test_ids=[500, 7]))).read()
    assert [sets.classes[label] for label in sets.test.labels] == ["500", "7"]
    for other in (8, 1001):
        imagenet32(tmp_path, test_ids=[7, other, 500])
        message = rf"^{tmp_path}/val_data has an image of class {other}, of which there are no training images"
        with pytest.raises(ValueError, match=message):
            ImageNet32(str(tmp_path)).read()


def test_classes_of_imagenet32_have_names_where_the_table_exists(tmp_path: Path) -> None:
    table = imagenet32(tmp_path) / "map_clsloc.txt"
    whole = b"n02119789 1 kit_fox\nn02100735 7 English setter\nn1 500 crane\nn2 1000 toilet_tissue\nn3 2 x\n"
    table.write_bytes(whole)
    assert ImageNet32(str(tmp_path)).read().classes == ("kit_fox", "English setter", "crane", "toilet_tissue")
    assert ImageNet32(str(tmp_path)).files()[-1] == table, "it is part of what the cache is named by"
    for text in (b"", whole[:-30], whole.replace(b"7", b"seven"), whole + b"\xff"):
        table.write_bytes(text)
        with pytest.raises(ValueError, match=f"^{table} is no table of all classes .*: correct it, or remove"):
            ImageNet32(str(tmp_path)).read()


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux has the largest memory in use")
def test_there_is_never_a_second_copy_of_imagenet32(tmp_path: Path) -> None:
    imagenet32(tmp_path)
    for name in TRAIN:
        batch = {"data": np.zeros((4000, 3072), np.uint8), "labels": IDS * 1000}
        change(tmp_path / name, lambda _, batch=batch: batch, 3)

    def most() -> int:
        match = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
        assert match
        return int(match[1]) << 10

    CLEAR.write_text("5")  # the maximum starts anew
    before = most()
    images = ImageNet32(str(tmp_path)).read().train.images
    assert images.nbytes == 4000 * 3072 * 10
    assert most() - before < 1.5 * images.nbytes


@with_shared
def test_official_pixels_of_cifar10() -> None:
    sets = CIFAR10(str(SHARED / "cifar10_original_sample")).read()
    assert (len(sets.train), len(sets.test)) == (820, 164)
    # The first images of the official set are known: a frog, two trucks, a deer; a cat, two ships, an aeroplane.
    assert [sets.classes[label] for label in sets.train.labels[:4]] == ["frog", "truck", "truck", "deer"]
    assert [sets.classes[label] for label in sets.test.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    assert sets.train.images[0, :, 0, 0].tolist() == [59, 62, 63]
    assert sets.train.images[0, :, 0, 1].tolist() == [43, 46, 45]


def python2(array: np.ndarray, labels: list[int]) -> bytes:
    """A batch, instruction for instruction as Python 2 and its numpy wrote the official ones."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|")
    dtype += b"NNN" + 2 * number(-1) + b"K\x00tb"
    rows, columns = array.shape
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    shape = number(rows) + number(columns) + b"\x86"
    data = empty + b"(K\x01" + shape + dtype + b"\x89" + string(array.tobytes()) + b"tb"
    numbers = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + string(b"data") + data + string(b"labels") + numbers + b"u."


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    array = rows("python 2", 2)
    (tmp_path / "batch").write_bytes(python2(array, [3, 70_000]))
    batch = read_batches([tmp_path / "batch"], "labels")
    assert np.array_equal(batch.images.flatten(1), array)
    assert batch.labels.tolist() == [3, 70_000]


class Calls:
    """Pickles to a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@every_protocol
def test_nothing_in_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "marker"
    for command in (Calls(os.system, f"touch {marker}"), Calls(eval, f"open({str(marker)!r}, 'w')")):
        path = tmp_path / "batch"
        path.write_bytes(pickle.dumps({"labels": [1], "data": command}, protocol))
        with pytest.raises(ValueError, match=rf"^{path} is not .* is not part of arrays, and was not run\): delete it"):
            read_dictionary(path)
        assert not marker.exists()
        pickle.loads(path.read_bytes())
        assert marker.exists(), "the same pickle runs elsewhere"
        marker.unlink()


@every_protocol
def test_a_truncated_or_damaged_pickle_gives_a_value_or_one_line(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps({"data": np.full((1, 3072), 97, np.uint8), "labels": [700], "mean": np.zeros(2)}, protocol)
    path, random = tmp_path / "batch", rng("damaged", protocol)
    places = [*range(250), *range(len(whole) - 150, len(whole))]  # not the bytes of the image
    for length in places:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"^{path} is not a pickled .* \(.*\): delete it and fetch"):
            read_batches([path], "labels")
    refusals = []
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            damaged[random.choice(places)] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            read_batches([path], "labels")
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(refusal.startswith(str(path)) and "\n" not in refusal for refusal in refusals)


@pytest.mark.parametrize("shape", [(2, 3073), (1, 1), (-2, -3072), (2**31 - 1, 2**31 - 1)])
def test_an_array_that_does_not_fit_its_bytes_is_broken(tmp_path: Path, shape: tuple[int, int]) -> None:
    right = python2(np.zeros((2, 3072), np.uint8), [1, 1])
    two, wrong = (b"J" + struct.pack("<i", a) + b"J" + struct.pack("<i", b) + b"\x86" for a, b in ((2, 3072), shape))
    assert right.count(two) == 1
    (tmp_path / "batch").write_bytes(right.replace(two, wrong))
    with pytest.raises(ValueError, match=r"batch does not hold rows of 3,072 bytes"):
        read_batches([tmp_path / "batch"], "labels")


def test_other_content_is_named(tmp_path: Path) -> None:
    contents = [b"", b"no pickle", b"<html>Not found</html>", b"\x80\x09K\x01."]
    for content in (*contents, *(pickle.dumps(value) for value in ([1, 2], 3, None))):
        (tmp_path / "batch").write_bytes(content)
        with pytest.raises(ValueError, match=r"batch is not a pickled dictionary of arrays \(.+\): delete it and fet"):
            read_batches([tmp_path / "batch"], "labels")
