from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smash_lightning.data.imagenet32 import TRAIN, ImageNet32
from smash_lightning.random_streams import rng

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "imagenet32" / "official_format_subset"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
IDS = [1, 7, 500, 1000]
BY_HAND = (
    r"log in at https://image-net\.org/download-images, 'Download downsampled image data \(32x32\)', unpack both "
    r"archives and set dataset\.root=FOLDER to where they lie\."
)


def rows(name: str, count: int) -> np.ndarray:
    return np.frombuffer(rng(name).randbytes(count * 3072), np.uint8).reshape(count, 3072)


def write(root: Path, *, apart: bool = False, ids: list[int] = IDS, test_ids: list[int] = IDS) -> Path:
    """Downsampled ImageNet in the official layout: the b-th batch holds b images, classes in turn."""
    drawn = 0
    for number in range(1, 11):
        labels = [ids[n % len(ids)] for n in range(drawn, drawn + number)]
        drawn += number
        batch = {"data": rows(f"train {number}", number), "labels": labels, "mean": np.zeros(3072)}
        dump(root / ("Imagenet32_train" if apart else "") / f"train_data_batch_{number}", batch)
    held = {"data": rows("val", len(test_ids)), "labels": test_ids}
    dump(root / ("Imagenet32_val" if apart else "") / "val_data", held)
    return root


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, 3))


def change(path: Path, **entries: Any) -> None:
    dump(path, pickle.loads(path.read_bytes()) | entries)


@pytest.mark.parametrize("apart", [False, True])
def test_batches_come_in_order_and_classes_are_counted_from_0(tmp_path: Path, apart: bool) -> None:
    write(tmp_path, apart=apart)
    sets = ImageNet32(str(tmp_path)).read()
    assert sets.train.images.shape == (55, 3, 32, 32)
    expected = np.concatenate([rows(f"train {number}", number) for number in range(1, 11)])
    assert np.array_equal(sets.train.images.numpy().reshape(55, 3072), expected)
    assert np.array_equal(sets.test.images.numpy().reshape(4, 3072), rows("val", 4))
    assert sets.train.labels.tolist() == [n % 4 for n in range(55)]
    assert sets.test.labels.tolist() == [0, 1, 2, 3]
    assert sets.classes == ("1", "7", "500", "1000")
    assert sets.train.images.is_contiguous()


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write(tmp_path)
    assert [path.name for path in ImageNet32(str(tmp_path)).files()] == [*TRAIN, "val_data"]
    assert TRAIN[-1] == "train_data_batch_10"


def test_what_is_missing_of_the_set_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    assert ImageNet32(str(tmp_path)).read().notes == (
        "55 training images instead of the official 1,281,167: this is not the whole ImageNet32.",
        "4 test images instead of the official 50,000: this is not the whole ImageNet32.",
        "4 of the official 1,000 classes occur, and only these are told apart.",
    )


def test_all_classes_are_kept_where_all_occur(tmp_path: Path) -> None:
    write(tmp_path)
    everything = list(range(1000, 0, -1))
    change(tmp_path / "train_data_batch_5", data=rows("all", 1000), labels=everything)
    sets = ImageNet32(str(tmp_path)).read()
    assert sets.classes == tuple(str(number) for number in range(1, 1001))
    assert sets.train.labels[10:1010].tolist() == [number - 1 for number in everything]
    assert len(sets.notes) == 2


def test_a_test_image_of_a_class_without_training_images_is_named(tmp_path: Path) -> None:
    write(tmp_path, test_ids=[7, 8, 500])
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}/val_data has an image of class 8, of which there are no training"
    ):
        ImageNet32(str(tmp_path)).read()


def test_a_test_set_may_lack_classes(tmp_path: Path) -> None:
    write(tmp_path, test_ids=[500, 7])
    sets = ImageNet32(str(tmp_path)).read()
    assert [sets.classes[label] for label in sets.test.labels] == ["500", "7"]


TABLES = {
    "map_clsloc.txt": "n02119789 1 kit_fox\nn02100735 7 English setter\nn1 500 crane\nn2 1000 toilet_tissue\nn3 2 x\n",
    "classes.tsv": "label\twnid\tilsvrc2012_id\tname\n"
    "0\tn02119789\t1\tkit_fox\n3\tn1\t500\tcrane\n1\tn02100735\t7\tEnglish setter\n9\tn2\t1000\ttoilet_tissue\n",
}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_classes_have_names_where_the_table_is_there(tmp_path: Path, name: str, apart: bool) -> None:
    write(tmp_path, apart=apart)
    (tmp_path / name).write_text(TABLES[name])
    sets = ImageNet32(str(tmp_path)).read()
    assert sets.classes == ("kit_fox", "English setter", "crane", "toilet_tissue")
    assert ImageNet32(str(tmp_path)).files()[-1] == tmp_path / name, "what is read decides the name in the cache"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("map_clsloc.txt", "n02119789 1 kit_fox\nn1 500 crane\n", "has no name of class 7: complete it, or remove it"),
        (
            "map_clsloc.txt",
            "n02119789 one kit_fox\n",
            r"is not a table of classes \(.*'one'\): correct it, or remove it",
        ),
        ("map_clsloc.txt", "n02119789 1\n", r"is not a table of classes \(.*\): correct it, or remove it"),
        ("classes.tsv", "label\tname\n0\tfox\n", r"is not a table of classes \('ilsvrc2012_id' is not in list\)"),
        ("classes.tsv", "ilsvrc2012_id\tname\n1\n", r"is not a table of classes \(.*\): correct it, or remove it"),
        ("classes.tsv", "", r"is not a table of classes \(.*\): correct it, or remove it"),
        (
            "classes.tsv",
            b"ilsvrc2012_id\tname\n1\t\xff\n",
            r"is not a table of classes \(.*\): correct it, or remove it",
        ),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"^{tmp_path}/{name} {message}"):
        ImageNet32(str(tmp_path)).read()


@pytest.mark.parametrize("name", ["train_data_batch_3", "val_data"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            lambda labels: {"labels": [0, *labels[1:]]},
            "has an image of class 0, but classes are numbered from 1 to 1000",
        ),
        (lambda labels: {"labels": [1001, *labels[1:]]}, "has an image of class 1001, but classes are numbered from 1"),
        (lambda labels: {"labels": labels[1:]}, r"holds \d images but \d labels"),
        (
            lambda labels: {"data": np.zeros((len(labels), 12288), np.uint8)},
            r"holds uint8 \(\d, 12288\) instead of rows",
        ),
    ],
)
def test_a_wrong_batch_is_named(
    tmp_path: Path, name: str, how: Callable[[list[int]], dict[str, Any]], message: str
) -> None:
    path = write(tmp_path) / name
    change(path, **how(pickle.loads(path.read_bytes())["labels"]))
    with pytest.raises(ValueError, match=f"^{path} {message}.*: delete it and fetch the data set again$"):
        ImageNet32(str(tmp_path)).read()


def test_a_truncated_batch_is_named(tmp_path: Path) -> None:
    path = write(tmp_path) / "train_data_batch_10"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"^{path} is not a whole pickle"):
        ImageNet32(str(tmp_path)).read()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", ["train_data_batch_10", "val_data"])
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path, name: str, apart: bool) -> None:
    write(tmp_path, apart=apart)
    next(tmp_path.rglob(name)).unlink()
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path}/.*{name} is missing: {BY_HAND}$"):
        ImageNet32(str(tmp_path)).files()


def test_it_cannot_be_downloaded_and_says_where_it_is(tmp_path: Path) -> None:
    source = ImageNet32(str(tmp_path))
    assert source.downloads() == ()
    with pytest.raises(FileNotFoundError, match=f"is missing: {BY_HAND}$"):
        source.files()


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux tells how much memory was in use at most")
def test_there_is_never_a_second_copy_of_the_images(tmp_path: Path) -> None:
    write(tmp_path)
    for name in TRAIN:
        dump(tmp_path / name, {"data": np.zeros((4000, 3072), np.uint8), "labels": IDS * 1000})

    def most() -> int:
        match = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
        assert match
        return int(match[1]) << 10

    CLEAR.write_text("5")  # forgets what was in use before
    before = most()
    images = ImageNet32(str(tmp_path)).read().train.images
    assert images.nbytes == 4000 * 3072 * 10
    assert most() - before < 1.5 * images.nbytes


@pytest.mark.skipif(not SAMPLE.exists(), reason="the subset in the official format is not there")
def test_photographs_in_the_official_format(tmp_path: Path) -> None:
    for path in SAMPLE.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "classes.tsv").symlink_to(SAMPLE.parent / "classes.tsv")
    sets, bare = ImageNet32(str(tmp_path)).read(), ImageNet32(str(SAMPLE)).read()
    assert (len(sets.train), len(sets.test), len(sets.classes)) == (5000, 2000, 200)
    assert torch.bincount(sets.train.labels).tolist() == [25] * 200
    assert torch.bincount(sets.test.labels).tolist() == [10] * 200
    assert torch.equal(sets.train.labels, bare.train.labels)
    rows_ = [line.split("\t") for line in (tmp_path / "classes.tsv").read_text().splitlines()[1:]]
    assert dict(zip(bare.classes, sets.classes, strict=True)) == {number: name for _, _, number, name in rows_}
    # Oranges and lemons have the colours that they should have.
    for name, (most, least) in {"orange": (0, 2), "lemon": (0, 2)}.items():
        label = next(n for n, known in enumerate(sets.classes) if known == name)
        mean = sets.train.images[sets.train.labels == label].float().mean((0, 2, 3))
        assert mean[most] > mean[least] + 40
    images = sets.train.images.float()
    for axis in (2, 3):
        assert images.diff(dim=axis).abs().mean() < 0.5 * images.diff(dim=0).abs().mean()
