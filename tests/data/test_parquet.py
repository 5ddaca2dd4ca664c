from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from smash_lightning.data.tables import Parquet
from smash_lightning.data.source import RawDataset, Split

DATA = Path(__file__).parents[3] / "shared" / "data"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ("cat", "dog", "emu")


def encoded(value: int, shape: tuple[int, ...] = (4, 4)) -> bytes:
    """An image that is all `value`."""
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def images(values: Sequence[int | bytes | None]) -> pa.Array:
    """A column of images as the hub writes it; bytes stand for themselves, None for no bytes."""
    contents = [encoded(value) if isinstance(value, int) else value for value in values]
    return pa.array([{"bytes": content, "path": "image.png"} for content in contents], type=IMAGE)


def metadata(**names: Sequence[str]) -> dict[bytes, bytes]:
    """What the hub notes of columns: their class names, if they have any."""
    features: dict[str, Any] = {name: {"names": list(of), "_type": "ClassLabel"} for name, of in names.items()}
    return {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, **features}}}).encode()}


def shard(path: Path, about: dict[bytes, bytes] | None = None, group: int = 3, **columns: Any) -> Path:
    """Writes a shard in row groups of `group` rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path, row_group_size=group)
    return path


def plain(path: Path, values: Sequence[int], names: Sequence[str] | None = NAMES, **columns: Any) -> Path:
    """A shard in the hub's schema; the label of an image is its value modulo 3."""
    labels = [value % 3 for value in values]
    about = metadata(label=names) if names else None
    return shard(path, about, **({"image": images(values), "label": labels} | columns))


def read(
    root: Path, image: str | None = None, label: str | None = None, size: int | None = None, **more: Any
) -> RawDataset:
    return Parquet(str(root), image, label, size, **more).read()


def values(split: Split) -> list[int]:
    """Which images a split holds."""
    return split.images[:, 0, 0, 0].tolist()


def test_images_labels_and_names_come_as_they_were_written(tmp_path: Path) -> None:
    plain(tmp_path / "train-00000-of-00002.parquet", range(10))
    plain(tmp_path / "train-00001-of-00002.parquet", range(10, 17))
    plain(tmp_path / "test-00000-of-00001.parquet", range(20, 25))
    sets = read(tmp_path)
    assert values(sets.train) == list(range(17))
    assert values(sets.test) == list(range(20, 25))
    assert sets.train.labels.tolist() == [value % 3 for value in range(17)]
    assert sets.test.labels.tolist() == [value % 3 for value in range(20, 25)]
    assert (sets.classes, sets.notes) == (NAMES, ())


def test_shards_of_many_row_groups_and_batches_stay_in_order(tmp_path: Path) -> None:
    order = np.random.default_rng(0).integers(0, 256, 1500).tolist()
    path = plain(tmp_path / "train.parquet", order, group=700)
    plain(tmp_path / "test.parquet", [1])
    assert pq.ParquetFile(path).num_row_groups == 3
    sets = read(tmp_path)
    assert values(sets.train) == order
    assert sets.train.labels.tolist() == [value % 3 for value in order]


def test_plain_bytes_are_images_too(tmp_path: Path) -> None:
    contents = [encoded(value) for value in range(6)]
    for kind in (pa.binary(), pa.large_binary()):
        for split in ("train", "test"):
            plain(tmp_path / f"{split}.parquet", range(6), image=pa.array(contents, type=kind))
        assert values(read(tmp_path).train) == list(range(6))


def test_without_names_numbers_are_the_names(tmp_path: Path) -> None:
    plain(tmp_path / "train.parquet", range(9), names=None)
    plain(tmp_path / "test.parquet", range(2), names=None)
    sets = read(tmp_path)
    assert sets.classes == ("0", "1", "2")
    assert sets.notes == ("There is no test image of 2.",)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_text_is_sorted_into_classes(tmp_path: Path, kind: pa.DataType) -> None:
    names = ["pear", "apple", "fig", "Quince", "plum", "lime", "10", "9"]
    for split, order in (("train", range(24)), ("test", range(8))):
        labels = pa.array([names[value % 8] for value in order], type=kind)
        plain(tmp_path / f"{split}.parquet", order, names=None, label=labels)
    sets = read(tmp_path)
    assert sets.classes == ("10", "9", "Quince", "apple", "fig", "lime", "pear", "plum")
    assert [sets.classes[label] for label in sets.train.labels] == names * 3
    assert [sets.classes[label] for label in sets.test.labels] == names


def test_other_columns_are_not_in_the_way(tmp_path: Path) -> None:
    for split in ("train", "test"):
        about = metadata(label=NAMES)
        count = {"count": [5] * 6, "title": ["x"] * 6, "score": [0.5] * 6}
        shard(tmp_path / f"{split}.parquet", about, img=images(range(6)), label=[0, 1, 2] * 2, **count)
    assert read(tmp_path).train.labels.tolist() == [0, 1, 2] * 2, "the column with class names is that of labels"


def test_without_class_names_a_second_column_of_integers_or_text_is_a_question(tmp_path: Path) -> None:
    for other in ([1999, 2000] * 3, ["a", "b"] * 3):
        for split in ("train", "test"):
            plain(tmp_path / f"{split}.parquet", range(6), names=None, other=other)
        with pytest.raises(
            ValueError, match=r"several columns that may hold labels, (label, other|other, label): dataset"
        ):
            read(tmp_path)
        assert read(tmp_path, label="label").train.labels.tolist() == [0, 1, 2] * 2


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    for split in ("train", "test"):
        shard(
            tmp_path / f"{split}.parquet",
            metadata(fine=NAMES, coarse=("animal", "bird")),
            image=images(range(6)),
            mask=images(range(100, 106)),
            fine=[0, 1, 2] * 2,
            coarse=[0, 0, 1] * 2,
        )
    with pytest.raises(
        ValueError, match=r"several columns that may hold images, image, mask: dataset\.source\.image=NAME"
    ):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"columns that may hold labels, fine, coarse: dataset\.source\.label=NAME"):
        read(tmp_path, image="image")
    fine, coarse = read(tmp_path, "image", "fine"), read(tmp_path, "mask", "coarse")
    assert (fine.classes, values(fine.train), fine.train.labels.tolist()) == (NAMES, [*range(6)], [0, 1, 2] * 2)
    assert (coarse.classes, values(coarse.train)) == (("animal", "bird"), [*range(100, 106)])
    assert coarse.train.labels.tolist() == [0, 0, 1] * 2


@pytest.mark.parametrize("name", ["val", "valid-00000-of-00001", "validation-00000-of-00001", "Validation_0"])
def test_validation_serves_as_test_only_where_there_is_none(tmp_path: Path, name: str) -> None:
    plain(tmp_path / "train.parquet", range(6))
    plain(tmp_path / f"{name}.parquet", range(10, 16))
    sets = read(tmp_path)
    assert (values(sets.train), values(sets.test)) == ([*range(6)], [*range(10, 16)])
    assert sets.notes == ("There is no test split: the validation split serves as the test set.",)
    plain(tmp_path / "test.parquet", range(20, 26))
    plain(tmp_path / "unlabelled.parquet", range(30, 36))
    sets = read(tmp_path)
    assert (values(sets.train), values(sets.test)) == ([*range(6)], [*range(20, 26)])
    assert sets.notes == (
        "The validation split is left out: images for validation are held out from train.",
        "Shards of no split are left out: unlabelled.parquet.",
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("train_b.parquet", "TEST.parquet"),
    ],
)
def test_shards_are_told_by_their_names_or_folders(tmp_path: Path, train: str, test: str) -> None:
    root = tmp_path / "test"  # what lies above the root says nothing
    paths = [plain(root / train, range(6)), plain(root / test, range(10, 16))]
    plain(root / ".cache" / "train.parquet", range(3))
    for pattern in (root, root / "**" / "*.parquet"):
        assert Parquet(str(pattern), None, None, None).files() == paths
    sets = read(root)
    assert (values(sets.train), values(sets.test), sets.notes) == ([*range(6)], [*range(10, 16)], ())


@pytest.mark.parametrize("name", ["train.parquet", "0000.parquet"])
def test_a_missing_test_split_is_made_from_train_and_stated(tmp_path: Path, name: str) -> None:
    path = plain(tmp_path / name, range(60))
    sets = read(tmp_path, test_share=0.25)
    assert sorted(values(sets.train) + values(sets.test)) == list(range(60))
    assert values(sets.train) == sorted(values(sets.train))
    for split, each in ((sets.train, 15), (sets.test, 5)):
        assert torch.bincount(split.labels).tolist() == [each] * 3
        assert split.labels.tolist() == [value % 3 for value in values(split)]
    assert sets.notes == ("There is no test split: 0.25 of each class, drawn from train with seed 0, is it.",)
    assert values(read(path, test_share=0.25).test) == values(sets.test), "a single file is a pattern, too"
    assert values(read(tmp_path, test_share=0.25, seed=1).test) != values(sets.test)


def test_a_pattern_chooses_shards(tmp_path: Path) -> None:
    for number in range(3):
        plain(tmp_path / f"train-0000{number}.parquet", range(number * 10, number * 10 + 9))
    plain(tmp_path / "test.parquet", range(3))
    sets = read(tmp_path / "t*[1t].parquet")
    assert (values(sets.train), values(sets.test)) == ([*range(10, 19)], [0, 1, 2])


def test_images_are_resized(tmp_path: Path) -> None:
    contents = [encoded(value, (5 + value, 9)) for value in range(6)]
    for split in ("train", "test"):
        plain(tmp_path / f"{split}.parquet", range(6), image=images(contents))
    assert read(tmp_path, size=3).train.images.shape == (6, 1, 3, 3)
    with pytest.raises(ValueError, match=r"row 0 of train\.parquet has 9x5 pixels, row 1 of train\.parquet has 9x6"):
        read(tmp_path)


def test_rows_without_a_readable_image_are_left_out_and_stated(tmp_path: Path) -> None:
    order: list[int | bytes | None] = list(range(250))
    order[7], order[203] = None, b"broken"
    labels = [position % 3 for position in range(250)]
    plain(tmp_path / "train.parquet", range(250), image=images(order), label=labels, group=100)
    plain(tmp_path / "test.parquet", range(3))
    sets = read(tmp_path)
    kept = [value for value in range(250) if value not in (7, 203)]
    assert values(sets.train) == kept
    assert sets.train.labels.tolist() == [value % 3 for value in kept]
    expected = "Unreadable and left out: 2 of 253 images, row 7 of train.parquet, row 203 of train.parquet."
    assert sets.notes == (expected,)
    null = pa.array([{"bytes": encoded(1), "path": ""}] * 3 + [None] * 3, type=IMAGE)
    plain(tmp_path / "test.parquet", range(6), image=null)
    with pytest.raises(
        ValueError, match=r"5 of 256 images cannot be read, the first is row 7 of train\.parquet \(it has no"
    ):
        read(tmp_path)


LABELS = [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {"label": "lable"}, r"train\.parquet has no column lable, only image, label: dataset\.source\.label=NAME"),
        ({}, {"image": "img"}, r"train\.parquet has no column img, only image, label: dataset\.source\.image=NAME"),
        ({}, {"image": "label"}, r"column label of \S+ is int64: dataset\.source\.image=NAME names that of images"),
        (
            {},
            {"label": "image"},
            r"column image of \S+ is struct<.*>: dataset\.source\.label=NAME names that of lab",
        ),
        ({"image": [1.5] * 6}, {}, r"train\.parquet has no column of images \(bytes, .*\), only image, label"),
        ({"label": [1.5] * 6}, {}, r"train\.parquet has no column of labels \(integers or text\), only image, label"),
        ({"label": [0, 1, None, 2, 0, 1]}, {}, r"row 2 of \S+train\.parquet has no label: leave it out"),
        ({"label": [0, 1, 3, 2, 0, 1]}, {}, r"row 2 of \S+train\.parquet has label 3, which is none of the 3 classes"),
        (
            {"label": [0, 1, 2, -1, 0, 1]},
            {},
            r"row 3 of \S+train\.parquet has label -1, which is none of the 3 classes",
        ),
        ({}, {"size": 0}, r"dataset\.size must be at least 1, got 0"),
        ({}, {"test_share": 1.5}, r"dataset\.source\.test_share must lie between 0 and 1, got 1\.5"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    plain(tmp_path / "train.parquet", LABELS, **columns)
    plain(tmp_path / "test.parquet", LABELS)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **options)


def test_labels_of_the_test_set_must_be_classes_of_train(tmp_path: Path) -> None:
    plain(tmp_path / "train.parquet", LABELS, names=None)
    plain(tmp_path / "test.parquet", range(6), names=None, label=[0, 1, 2, 3, 0, 1])
    with pytest.raises(ValueError, match=r"row 3 of \S+test\.parquet has label 3, which is none of the 3 classes"):
        read(tmp_path)


def test_shards_that_disagree_are_named(tmp_path: Path) -> None:
    plain(tmp_path / "train-0.parquet", LABELS)
    for names, columns in ((("dog", "cat", "emu"), {}), (NAMES, {"label": ["cat", "dog", "emu"] * 2})):
        plain(tmp_path / "train-1.parquet", LABELS, names=names, **columns)
        with pytest.raises(ValueError, match=r"train-1\.parquet has labels of another type, or other class names"):
            read(tmp_path)
    shard(tmp_path / "train-1.parquet", metadata(label=NAMES), picture=images(LABELS), label=LABELS)
    with pytest.raises(ValueError, match=r"train-1\.parquet has no column image, only picture, label"):
        read(tmp_path)


@pytest.mark.parametrize("labels", [list(range(6)), [10**12] * 6, list("abcdef"), [0, 1, 2, 3, 3, 3]])
def test_a_column_of_numbers_or_names_of_images_is_not_that_of_labels(tmp_path: Path, labels: list[Any]) -> None:
    for split in ("train", "test"):
        plain(tmp_path / f"{split}.parquet", LABELS, names=None, label=labels)
    with pytest.raises(
        ValueError, match=r"column label of \S+ makes \d+ classes of 6 images: dataset\.source\.label=NAME"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("order", "names", "message"),
    [
        ([], NAMES, "hold 0 images in 3 classes: too few"),
        ([0, 3, 6, 9], ("only",), "hold 4 images in 1 classes: too few"),
        ([0, 3, 6, 9], None, "hold 4 images in 1 classes: too few"),
    ],
)
def test_a_set_without_images_or_classes_is_named(
    tmp_path: Path, order: list[int], names: Sequence[str] | None, message: str
) -> None:
    plain(tmp_path / "train.parquet", order, names, label=pa.array([0] * len(order), type=pa.int64()))
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_a_class_of_one_image_cannot_be_divided(tmp_path: Path) -> None:
    plain(tmp_path / "train.parquet", [0, 1, 3, 4, 5])
    with pytest.raises(ValueError, match="class emu has one image only: it needs two, as a test set is to be drawn"):
        read(tmp_path)


@pytest.mark.parametrize("left", [0, 0.01, 0.5, 0.999])
def test_truncated_shards_are_named(tmp_path: Path, left: float) -> None:
    plain(tmp_path / "train.parquet", range(60))
    path = plain(tmp_path / "test.parquet", range(60))
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(ValueError, match=r"test\.parquet is truncated or corrupt \(.*\): fetch it again$"):
        read(tmp_path)


def test_shards_whose_pages_are_corrupt_are_named(tmp_path: Path) -> None:
    path = plain(tmp_path / "train.parquet", range(60), group=60)
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56  # the header of the first column's first page
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.parquet is truncated or corrupt \(.*\): fetch it again$"):
        read(tmp_path)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none", tmp_path / "*.parquet"):
        with pytest.raises(FileNotFoundError, match=r"there is no Parquet file in \S+: dataset\.root=PATH"):
            Parquet(str(root), None, None, None).files()
    plain(tmp_path / "test.parquet", LABELS)
    with pytest.raises(ValueError, match=r"there is \S+test\.parquet, but no file in \S+ whose name begins with train"):
        Parquet(str(tmp_path), None, None, None).files()


@pytest.mark.skipif(not (DATA / "cifar10_original_sample").exists(), reason="shared/data is not there")
def test_cifar10_comes_in_the_official_order(tmp_path: Path) -> None:
    """Row i of train is image i of the five official batches on end, of which a sample has the first 164 each."""
    start = 0
    shards = [sorted((DATA / "cifar10").glob(f"{split}*.parquet")) for split in ("train", "test")]
    for path in chain(*shards):
        # Of each shard what the sample has, in a shard of the same name.
        table = pq.read_table(path)
        wanted = [row for row in range(len(table)) if (start + row) % 10_000 < 164]
        start += len(table)
        pq.write_table(table.take(wanted), tmp_path / path.name)
    sets = read(tmp_path)
    assert len(sets.classes) == 10
    names = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
    for split, batches in ((sets.train, names["train"]), (sets.test, names["test"])):
        pixels, labels = [], []
        for name in batches:
            with (DATA / "cifar10_original_sample" / "cifar-10-batches-py" / name).open("rb") as file:
                batch = pickle.load(file, encoding="bytes")
            pixels.append(torch.from_numpy(np.array(batch[b"data"])).view(-1, 3, 32, 32))
            labels += batch[b"labels"]
        original = torch.cat(pixels)
        assert split.labels.tolist() == labels
        assert split.images.shape == original.shape
        error = (split.images.float() - original).square().mean((1, 2, 3))
        quality = 10 * torch.log10(255**2 / error)  # dB; these went through JPEG
        assert 29 < quality.median() < 32
        assert quality.min() > 20, "no two images change places"
