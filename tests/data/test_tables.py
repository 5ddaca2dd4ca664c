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


PLAIN, NUMBERS = [encoded(value) for value in range(6)], ("0", "1", "2")
TEXT = ["pear", "Quince", "10"] * 2


@pytest.mark.parametrize(
    ("columns", "classes", "labels"),
    [
        ({"image": pa.array(PLAIN, pa.binary())}, NUMBERS, LABELS),
        ({"image": pa.array(PLAIN, pa.large_binary())}, NUMBERS, LABELS),
        ({"label": pa.array(TEXT, pa.string())}, ("10", "Quince", "pear"), [2, 1, 0] * 2),
        ({"label": pa.array(TEXT, pa.large_string())}, ("10", "Quince", "pear"), [2, 1, 0] * 2),
        ({"label": pa.array(TEXT, pa.dictionary(pa.int8(), pa.string()))}, ("10", "Quince", "pear"), [2, 1, 0] * 2),
        ({"label": [True, False] * 3}, ("false", "true"), [1, 0] * 3),
        ({"label": [0.0, 1.0] * 3}, ("0", "1"), [0, 1] * 3),
        ({"label": np.array(LABELS, np.uint8), "__index_level_0__": LABELS}, NUMBERS, LABELS),  # as pandas writes it
    ],
)
def test_kinds_of_columns(tmp_path: Path, columns: dict[str, Any], classes: tuple[str, ...], labels: list[int]) -> None:
    both(tmp_path, columns)
    sets = read(tmp_path)
    assert (values(sets.train), sets.classes, sets.train.labels.tolist()) == ([*range(6)], classes, labels)


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
    with pytest.raises(ValueError, match=rf"there is no column lable, only image, mask, fine, coarse: {ONE} one"):
        read(tmp_path, image="image", label="lable")
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
    plain(tmp_path / "test.parquet", range(6), image=pa.array([{"bytes": encoded(1)}] * 3 + [None] * 3, type=IMAGE))
    with pytest.raises(ValueError, match=r"5 of 256 images cannot be read, the first is row 7 of .* \(it has no"):
        read(tmp_path)


ONE = "dataset\\.source\\.label=NAME names"
NO_LABEL, NONE_OF = "image 2 of the train split has no label: correct it", "which is none of the 3"
OTHER_KIND = r"train-1\.parquet has .* as {}, and other files .*: keep one kind"


@pytest.mark.parametrize(
    ("message", "columns"),
    [
        (r"there is no column of images, only image, label: dataset\.source\.image=NAME", {"image": [1.5] * 6}),
        (f"there is no column of labels, only image, label: {ONE} one", {"label": [[1]] * 6}),
        (r"column label: Float value 1\.5.*, but labels are whole numbers or text", {"label": [0.0, 1.5] * 3}),
        (NO_LABEL, {"label": [0, 1, None, 2, 0, 1]}),
        (NO_LABEL, {"label": [True, False, None] * 2}),
        (f"image 2 of the train split has the label 3, {NONE_OF}", {"label": [0, 1, 3, 2, 0, 1]}),
        (f"image 3 of the train split has the label -1, {NONE_OF}", {"label": [0, 1, 2, -1, 0, 1]}),
        (f"column label makes 6 classes of 6 images: {ONE} another", {"label": list(range(6)), "names": None}),
        (f"column label makes 1000000000001 classes of 6 images: {ONE}", {"label": [10**12] * 6, "names": None}),
        (f"column label makes 6 classes of 6 images: {ONE} another", {"label": list("abcdef"), "names": None}),
        (f"column label makes 4 classes of 6 images: {ONE} another", {"label": [0, 1, 2, 3, 3, 3], "names": None}),
        (
            "the train split holds 0 images in 3 classes: too few",
            {"image": images([]), "label": pa.array([], pa.int64())},
        ),
        ("the train split holds 6 images in 1 classes: too few", {"label": [0] * 6, "names": ("only",)}),
        (
            "the classes test, train are names of splits: dataset=folder",
            {"label": [0, 1] * 3, "names": ("test", "train")},
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, message: str, columns: dict[str, Any]) -> None:
    plain(tmp_path / "train.parquet", LABELS, **columns)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_tables_that_disagree_or_are_truncated_are_named(tmp_path: Path) -> None:
    path = plain(tmp_path / "train-0.parquet", LABELS).with_name("train-1.parquet")
    for other in ({"names": NAMES[::-1]}, {"label": ["cat", "dog", "emu"] * 2}):
        plain(path, LABELS, **other)
        with pytest.raises(ValueError, match=OTHER_KIND.format("label")):
            read(tmp_path)
    shard(path, metadata(label=NAMES), picture=images(LABELS), label=LABELS)
    with pytest.raises(ValueError, match=OTHER_KIND.format("image")):
        read(tmp_path)
    whole = plain(path, range(30)).read_bytes()
    for share in (0, 0.5, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"train-1\.parquet is truncated or corrupt \(.*\): fetch it again"):
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
