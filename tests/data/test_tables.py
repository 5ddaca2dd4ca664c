import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smash_lightning.data import Hub, Parquet, RawDataset
from tests.data.pictures import IMAGE, NAMES, encoded, images, metadata, plain, shard, values

DATA = Path(__file__).parents[3] / "shared" / "data"
LABELS = [0, 1, 2, 0, 1, 2]


def read(root: Path, **options: Any) -> RawDataset:
    return Parquet(str(root), **options).read()


def both(folder: Path, columns: dict[str, Any], names: tuple[str, ...] | None = None) -> None:
    """A training and a test shard of six images with these columns."""
    for split in ("train", "test"):
        plain(folder / f"{split}.parquet", range(6), names=names, **columns)


def test_images_labels_and_names_are_those_that_were_written(tmp_path: Path) -> None:
    order = np.random.default_rng(0).integers(0, 256, 1500).tolist()
    path = plain(tmp_path / "train-00000-of-00002.parquet", order, group=700)
    plain(tmp_path / "train-00001-of-00002.parquet", range(10, 17))
    plain(tmp_path / "test-00000-of-00001.parquet", range(20, 25))
    assert pq.ParquetFile(path).num_row_groups == 3
    sets = read(tmp_path)
    assert values(sets.train) == order + list(range(10, 17))
    assert values(sets.test) == list(range(20, 25))
    assert sets.train.labels.tolist() == [value % 3 for value in values(sets.train)]
    assert sets.test.labels.tolist() == [value % 3 for value in range(20, 25)]
    assert (sets.classes, sets.notes) == (NAMES, ())


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_plain_bytes_are_images_too(tmp_path: Path, kind: pa.DataType) -> None:
    both(tmp_path, {"image": pa.array([encoded(value) for value in range(6)], type=kind)})
    assert values(read(tmp_path).train) == list(range(6))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_text_is_sorted_into_classes(tmp_path: Path, kind: pa.DataType) -> None:
    names = ["pear", "apple", "fig", "Quince", "plum", "lime", "10", "9"]
    for split, order in (("train", range(24)), ("test", range(8))):
        labels = pa.array([names[value % 8] for value in order], type=kind)
        plain(tmp_path / f"{split}.parquet", order, names=None, label=labels)
    sets = read(tmp_path)
    assert sets.classes == ("10", "9", "Quince", "apple", "fig", "lime", "pear", "plum")
    assert [sets.classes[label] for label in sets.train.labels] == names * 3


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABELS, ("0", "1", "2")),
        ([True, False] * 3, ("false", "true")),
        ([0.0, 1.0] * 3, ("0", "1")),
        (np.array(LABELS, np.uint8), ("0", "1", "2")),
    ],
)
def test_labels_without_names(tmp_path: Path, labels: Any, classes: tuple[str, ...]) -> None:
    index = pa.array(range(6))  # as pandas writes it
    both(tmp_path, {"label": labels, "__index_level_0__": index})
    sets = read(tmp_path)
    assert sets.classes == classes
    assert sets.train.labels.tolist() == [int(label) for label in labels]


def test_columns_are_found_by_type_or_chosen_by_name(tmp_path: Path) -> None:
    for split in ("train", "test"):
        shard(
            tmp_path / f"{split}.parquet",
            metadata(fine=NAMES, coarse=("animal", "bird")),
            image=images(range(6)),
            mask=images(range(100, 106)),
            fine=LABELS,
            coarse=[0, 0, 1] * 2,
        )
    with pytest.raises(ValueError, match=r"columns that may hold images, image, mask: dataset\.source\.image=NAME"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"columns that may hold labels, fine, coarse: dataset\.source\.label=NAME"):
        read(tmp_path, image="image")
    fine, coarse = read(tmp_path, image="image", label="fine"), read(tmp_path, image="mask", label="coarse")
    assert (fine.classes, values(fine.train), fine.train.labels.tolist()) == (NAMES, [*range(6)], LABELS)
    assert (coarse.classes, values(coarse.train)) == (("animal", "bird"), [*range(100, 106)])
    both(tmp_path, {"count": [5] * 6, "title": ["x"] * 6, "score": [0.5] * 6}, NAMES)
    assert read(tmp_path).train.labels.tolist() == LABELS, "the column with class names is that of labels"
    for other in ([1999, 2000] * 3, ["a", "b"] * 3):
        both(tmp_path, {"other": other})
        with pytest.raises(ValueError, match=r"columns that may hold labels, (label, other|other, label): dataset"):
            read(tmp_path)


def test_rows_without_a_readable_image_are_left_out_and_noted(tmp_path: Path) -> None:
    order: list[int | bytes | None] = list(range(250))
    order[7], order[203] = None, b"broken"
    plain(tmp_path / "train.parquet", range(250), image=images(order), group=100)
    plain(tmp_path / "test.parquet", range(3))
    sets = read(tmp_path)
    kept = [value for value in range(250) if value not in (7, 203)]
    assert values(sets.train) == kept
    assert sets.train.labels.tolist() == [value % 3 for value in kept]
    expected = "Unreadable and left out: 2 of 253 images, row 7 of the train split, row 203 of the train split."
    assert sets.notes == (expected,)
    null = pa.array([{"bytes": encoded(1), "path": ""}] * 3 + [None] * 3, type=IMAGE)
    plain(tmp_path / "test.parquet", range(6), image=null)
    with pytest.raises(ValueError, match=r"5 of 256 images cannot be read, the first is row 7 of .* \(it has no"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {"label": "lable"}, r"there is no column lable, only image, label: dataset\.source\.label=NAME names one"),
        ({"image": [1.5] * 6}, {}, r"there is no column of images, only image, label: dataset\.source\.image=NAME"),
        ({"label": [[1]] * 6}, {}, r"there is no column of labels, only image, label: dataset\.source\.label=NAME"),
        ({"label": [0.0, 1.5] * 3}, {}, r"column label: Float value 1\.5.*, but labels are whole numbers or text"),
        ({"label": [0, 1, None, 2, 0, 1]}, {}, r"image 2 of the train split has no label: correct it"),
        ({"label": [True, False, None] * 2}, {}, r"image 2 of the train split has no label: correct it"),
        ({"label": [0, 1, 3, 2, 0, 1]}, {}, r"image 2 of the train split has the label 3, which is none of the 3"),
        ({"label": [0, 1, 2, -1, 0, 1]}, {}, r"image 3 of the train split has the label -1, which is none of the 3"),
        ({}, {"size": 0}, r"dataset\.size must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    plain(tmp_path / "train.parquet", LABELS, **columns)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **options)


def test_tables_that_disagree_are_named(tmp_path: Path) -> None:
    plain(tmp_path / "train-0.parquet", LABELS)
    for names, columns in ((("dog", "cat", "emu"), {}), (NAMES, {"label": ["cat", "dog", "emu"] * 2})):
        plain(tmp_path / "train-1.parquet", LABELS, names=names, **columns)
        with pytest.raises(ValueError, match=r"train-1\.parquet has .* as label, and other files ClassLabel\("):
            read(tmp_path)
    shard(tmp_path / "train-1.parquet", metadata(label=NAMES), picture=images(LABELS), label=LABELS)
    with pytest.raises(ValueError, match=r"train-1\.parquet has None as image, and other files .*: keep one kind"):
        read(tmp_path)


@pytest.mark.parametrize("labels", [list(range(6)), [10**12] * 6, list("abcdef"), [0, 1, 2, 3, 3, 3]])
def test_a_column_of_numbers_or_names_of_images_is_not_that_of_labels(tmp_path: Path, labels: list[Any]) -> None:
    both(tmp_path, {"label": labels})
    with pytest.raises(ValueError, match=r"column label makes \d+ classes of 6 images: dataset\.source\.label="):
        read(tmp_path)


@pytest.mark.parametrize(
    ("names", "order", "message"),
    [
        (NAMES, [], "the train split holds 0 images in 3 classes: too few"),
        (("only",), [0, 3, 6, 9], "the train split holds 4 images in 1 classes: too few"),
        (("test", "train"), [0, 1, 0, 1], "the classes test, train are names of splits: dataset=folder reads"),
    ],
)
def test_sets_without_classes_are_refused(
    tmp_path: Path, names: tuple[str, ...], order: list[int], message: str
) -> None:
    plain(tmp_path / "train.parquet", order, names=names, label=pa.array([v % 2 for v in order], pa.int64()))
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_truncated_shards_are_named(tmp_path: Path, share: float) -> None:
    path = plain(tmp_path / "train.parquet", range(30))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"train\.parquet is truncated or corrupt \(.*\): fetch it again"):
        read(tmp_path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the hub's library without a network."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    return tmp_path / "hub"


def cached(cache: Path, name: str, config: str = "plain", **splits: Path) -> None:
    """Puts a data set into the hub's cache, as `load_dataset(name, config)` does."""
    files = {split: str(path) for split, path in splits.items()}
    builder = datasets.load_dataset_builder("parquet", data_files=files, cache_dir=str(cache / "made"))
    builder.download_and_prepare()
    folder = cache / name.replace("/", "___") / config / "0.0.0" / "hash"
    folder.mkdir(parents=True)
    for path in Path(builder.cache_dir).iterdir():
        shutil.copy(path, folder / path.name.replace("parquet-", f"{name.split('/')[1]}-"))
    about = json.loads((folder / "dataset_info.json").read_text()) | {"config_name": config}
    (folder / "dataset_info.json").write_text(json.dumps(about | {"dataset_name": name.split("/")[1]}))


def test_a_data_set_of_the_hub_is_read_from_its_cache(tmp_path: Path, hub: Path) -> None:
    train = plain(tmp_path / "train.parquet", range(9))
    cached(hub, "some/tiny", train=train, test=plain(tmp_path / "test.parquet", range(20, 26)))
    source = Hub(path="some/tiny")
    sets = source.read()
    assert (values(sets.train), values(sets.test)) == ([*range(9)], [*range(20, 26)])
    assert sets.train.labels.tolist() == LABELS + LABELS[:3]
    assert (sets.classes, sets.notes) == (NAMES, ())
    assert [path.name for path in source.files()] == ["tiny-train.arrow", "tiny-test.arrow"]
    with pytest.raises(ValueError, match=r"some/tiny for config 'other'"):
        Hub(path="some/tiny", config="other").files()
    with pytest.raises(OSError, match=r"some/none"):
        Hub(path="some/none").files()
    with pytest.raises(ValueError, match=r"dataset\.path=\S+ is a file or folder: choose dataset=folder"):
        Hub(path=str(tmp_path)).files()


def test_images_of_the_hub_may_be_files(tmp_path: Path, hub: Path) -> None:
    paths = [tmp_path / f"{value}.png" for value in range(6)]
    for value, path in enumerate(paths):
        path.write_bytes(encoded(value))
    column = pa.array([{"bytes": None, "path": str(path)} for path in paths], type=IMAGE)
    cached(hub, "some/files", train=plain(tmp_path / "train.parquet", range(6), image=column))
    sets = Hub(path="some/files", test_share=0.5).read()
    assert sorted(values(sets.train) + values(sets.test)) == list(range(6))


def test_splits_of_the_hub_are_found_or_named(tmp_path: Path, hub: Path) -> None:
    paths = {name: plain(tmp_path / f"{name}.parquet", range(9)) for name in ("extra_train", "train", "validation")}
    cached(hub, "some/tiny", **paths)
    sets = Hub(path="some/tiny").read()
    assert (len(sets.train), len(sets.test)) == (9, 9)
    assert sets.notes[0] == "Splits that are not used: extra_train."
    assert len(Hub(path="some/tiny", train_split="extra_train").read().test) == 3, "drawn"
    with pytest.raises(ValueError, match=r"some/tiny has no split none, only extra_train, train, validation"):
        Hub(path="some/tiny", train_split="none").read()
