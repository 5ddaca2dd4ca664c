"""Which files of a folder are read, as which split and class; a layout with two readings is refused with both."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.data import Folder, Parquet, RawDataset
from smash_lightning.data.encoded import draw_test, split_words
from tests.data.pictures import NAMES, by_class, image, make, plain, values


def read(root: Path, **options: Any) -> RawDataset:
    return Folder(str(root), **options).read()


def shared_out(values: Sequence[int]) -> dict[str, list[int]]:
    """The classes of the rows of a shard."""
    return {name: [value for value in values if value % 3 == label] for label, name in enumerate(NAMES)}


TRAIN = {"ant": [1, 2, 3], "Cat": [4, 5], "10": [6], "9": [7, 8]}
TEST = {"ant": [11], "Cat": [12, 13], "10": [14], "9": [15]}
TWO, OTHERS = {"one": [1, 2], "two": [3, 4]}, {"one": [5], "two": [6]}
CLASSES = {"one": list(range(10)), "two": list(range(50, 90)), "three": [100, 101]}
ROWS, TESTED, MORE = range(6), range(10, 16), range(20, 26)
SHARED_OUT, SHARED_TEST = shared_out(ROWS), shared_out(TESTED)
DRAWN = "There is no test split: 0.2 of each class, drawn from train with seed 0, is the test set."
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"  # as Linux and macOS write an accent
UNLABELLED = "The test split is left out, as its images have no labels."
VALIDATION = "There is no test split: the validation split serves as the test set."


def unlabelled(path: Path) -> None:
    """As the hub marks images without a label."""
    plain(path, ROWS, label=[-1] * 6)


@dataclass(frozen=True)
class Layout:
    """Files, `at` which place of them a source is, and its options."""

    files: Any
    options: dict[str, Any]
    at: str = ""

    def source(self, root: Path) -> Folder | Parquet:
        made = make(root, self.files) / self.at
        names = [path.suffix for path in root.rglob("*")]
        return (Parquet if ".parquet" in [made.suffix, *names] else Folder)(str(made), **self.options)


def reads(files: Any, train: Any, test: Any, *notes: str, at: str = "", **options: Any) -> tuple[Any, ...]:
    """A layout, what is read as training and as test images of each class, and notes; DRAWN is a test set and a note"""
    return Layout(files, options, at), train, test, [*notes, DRAWN] if test == DRAWN else [*notes]


def shards(train: str, test: str) -> tuple[Any, ...]:
    files = {"data": {"train": {}, "test": {}}, train: ROWS, test: TESTED, ".cache": {"train.parquet": [0]}}
    return reads(files, SHARED_OUT, SHARED_TEST)


PROJECT = {"Dataset": {"0": [1, 2], "1": [3, 4]}, "Examples": [7, 8]}
STATIONS = {"train station": [1, 2], "test tube": [3, 4], "airport": [5, 6]}
INNER = {"one": {"more": {"b": [3], "a": [4]}, "": [1]}, "two": [2], "three": {"images": [5]}}
ACCENTS = {"train": {COMPOSED: [1, 2], "x": [3, 4]}, "test": {DECOMPOSED: [5], "x": [6]}}
LONG = {"training_set": TRAIN, "test_set": TEST, "single_prediction": [77]}
PATTERNS = {"train_test_a.parquet": ROWS, "train_test_b.parquet": TESTED}
TWO_OF_THREE = {"train-00000-of-00003.parquet": ROWS, "train-00002-of-00003.parquet": TESTED, "test.parquet": MORE}
WITH_VALIDATION = {"train.parquet": ROWS, "val.parquet": TESTED}
ALL_SPLITS = {"train.parquet": ROWS, "val.parquet": MORE, "test.parquet": TESTED, "extra.parquet": MORE}
READ = {
    "splits": reads({"train": TRAIN, "test": TEST}, TRAIN, TEST),
    "long names": reads(
        LONG,
        TRAIN,
        TEST,
        "The test split is test_set.",
        "The train split is training_set.",
        "Folders that are no splits are left out: single_prediction.",
    ),
    "classes": reads(CLASSES, CLASSES, DRAWN),
    "training classes": reads({"train": CLASSES}, CLASSES, DRAWN),
    "classes with words of splits": reads(STATIONS, STATIONS, DRAWN),
    "nested": reads(PROJECT, {"Dataset": [1, 2, 3, 4], "Examples": [7, 8]}, DRAWN, nested=True),
    "within": reads(PROJECT, {"0": [1, 2], "1": [3, 4]}, DRAWN, at="Dataset"),
    "folders in a class": reads(
        {"train": INNER, "test": OTHERS | {"three": [7]}},
        {"one": [1, 4, 3], "three": [5], "two": [2]},
        OTHERS | {"three": [7]},
    ),
    "accents": reads(ACCENTS, {COMPOSED: [1, 2], "x": [3, 4]}, {COMPOSED: [5], "x": [6]}),
    "test images in no class": reads({"train": TWO, "test": [7]}, TWO, DRAWN, UNLABELLED),
    "validation": reads({"train": TWO, "test": [7], "val": OTHERS}, TWO, OTHERS, UNLABELLED, VALIDATION),
    "named": reads({"a": TWO, "b": OTHERS}, TWO, OTHERS, train_split="a", test_split="b"),
    "one named": reads({"a": TWO, "b": OTHERS}, TWO, DRAWN, train_split="a"),
    "not splits": reads({"a": [1, 2], "test": [7, 8]}, {"a": [1, 2], "test": [7, 8]}, DRAWN, train_split="."),
    "absent": reads(
        {"train": TWO, "test": {"one": [5]}}, TWO, {"one": [5], "two": []}, "There is no test image of two."
    ),
    "shards of the hub": shards("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
    "shards in folders": shards("data/train/0000.parquet", "data/test/0000.parquet"),
    "shards with other words": shards("mnist_train.parquet", "TEST.parquet"),
    "shards by patterns": reads(PATTERNS, SHARED_OUT, SHARED_TEST, train_split="*_a.parquet", test_split="*_b.parquet"),
    "shards by one": reads(TWO_OF_THREE, shared_out([*ROWS, *TESTED]), DRAWN, train_split="train-*"),
    "single shard": reads({"a.parquet": ROWS, "b.parquet": MORE}, SHARED_OUT, DRAWN, at="a.parquet"),
    "no split": reads({"a.parquet": ROWS, "b.parquet": TESTED}, shared_out([*ROWS, *TESTED]), DRAWN),
    "shards of validation": reads(WITH_VALIDATION, SHARED_OUT, SHARED_TEST, VALIDATION),
    "shard without labels": reads(
        WITH_VALIDATION | {"test.parquet": unlabelled}, SHARED_OUT, SHARED_TEST, UNLABELLED, VALIDATION
    ),
    "shards of all splits": reads(
        ALL_SPLITS,
        SHARED_OUT,
        SHARED_TEST,
        "Shards of no split are left out: extra.parquet.",
        "The validation split is left out: images for validation are held out from train.",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_layouts_are_read(tmp_path: Path, name: str) -> None:
    layout, train, test, notes = READ[name]
    sets = layout.source(tmp_path).read()
    assert list(sets.classes) == sorted(train), "sorted as text"
    found, tested = (by_class(sets, split) for split in (sets.train, sets.test))
    if test == DRAWN:
        assert all(found[each] and tested[each] == sorted(tested[each]) for each in train), "in order, and of each"
        found, test = {each: sorted(found[each] + tested[each]) for each in train}, tested
    assert (found, tested, list(sets.notes)) == (train, test, notes)


def refuses(message: str, files: Any, at: str = "", **options: Any) -> tuple[str, Layout]:
    return message, Layout(files, options, at)


TWO_WAYS = r"(\S+) can be read in two ways: "
SPLIT_IN_CLASS = TWO_WAYS + r"its folders are the splits test, which belong above: test/one; or .*nested=true"
PROJECT_REFUSED = (
    TWO_WAYS + r"its folders are the classes 0, 1: dataset\.root=\1; or all .* Dataset: dataset\.nested=true"
)
SPLITS_OR_CLASSES = TWO_WAYS + r"test are splits, .*; or all of .*test are classes: dataset\.train_split"
PARTS = {"a": [1, 2], "b": [3, 4]}
REFUSED = [
    refuses(PROJECT_REFUSED, PROJECT),
    refuses(SPLIT_IN_CLASS, TWO | {"one": {"": [1, 2], "test": [9]}}),
    refuses(SPLIT_IN_CLASS.replace("test,", "test, train,"), {"one": {"train": [1], "test": [2]}, "two": [3]}),
    refuses(
        "test_set, training_set are splits", {"training_set": TWO, "test_set": TWO, "more": {"deep": [5], "er": [6]}}
    ),
    refuses(SPLITS_OR_CLASSES, {"test": TWO}),
    refuses(r"the training split of \S+ holds no folders of classes", {"train": {}}),
    refuses(r"holds one class only, one: at least two", {"one": [1, 2]}),
    refuses(r"class six is empty: there is no image in \S+six; fill or remove", {"train": TWO, "test": {"six": []}}),
    refuses(r"image 4 of the test split has the label zoo, which is none", {"train": TWO, "test": TWO | {"zoo": [1]}}),
    refuses(r"has both val and valid: keep one", {"train": TWO, "val": TWO, "valid": TWO}),
    refuses(r"class six has one image only: it needs two", TWO | {"six": [9]}),
    refuses(r"dataset\.test_split=x needs dataset\.train_split", TWO, test_split="x"),
    refuses(r"dataset\.train_split: there is no folder \S+x", TWO, train_split="x"),
    refuses(r"dataset\.size must be at least 1, got 0", TWO, size=0),
    refuses(r"dataset\.source\.test_share must be between 0 and 1, got 1", TWO, test_share=1.0),
    refuses(r"there is no folder \S+none: dataset\.root=PATH", {}, at="none"),
    refuses(r"train_test_a\.parquet can be read as one of test and train: .*train_split=", PATTERNS),
    refuses(r"train-00001-of-00003\.parquet is missing, one of 1: fetch the whole set, or", TWO_OF_THREE),
    refuses(r"other/train-\*-of-00003 and \S+/train-\*-of-00003 are different", TWO_OF_THREE | {"other": TWO_OF_THREE}),
    refuses(r"dataset\.train_split=\*_c\.parquet matches no Parquet file", PATTERNS, train_split="*_c.parquet"),
    refuses(r"there is no Parquet file in \S+: dataset\.root=PATH", {}, at="a.parquet"),
    refuses(r"has test\.parquet, but no file of a training split: name the files of both", {"test.parquet": ROWS}),
]


@pytest.mark.parametrize(("message", "layout"), REFUSED, ids=[message for message, _ in REFUSED])
def test_layouts_are_refused(tmp_path: Path, message: str, layout: Layout) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        layout.source(tmp_path).read()


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jpeg", "a.Bmp", "a.gif", "a.webp", "a.TIF", "a.tiff", "a.ppm"])
def test_the_usual_types_in_any_case(tmp_path: Path, name: str) -> None:
    for folder, value in (("one", 100), ("two", 200)):
        for split in ("train", "test"):
            image(tmp_path / split / folder / name, value, (4, 4, 3))
    sets = read(tmp_path)
    assert (sets.train.images.int() - torch.tensor([100, 200]).view(2, 1, 1, 1)).abs().max() <= 3


def test_other_files_are_ignored_if_hidden_and_else_left_out_and_noted(tmp_path: Path) -> None:
    for split in ("train", "test"):
        make(tmp_path / split, TWO | {".thumbnails": [3], "__MACOSX": [4], ".DS_Store": b""})
        make(tmp_path / split / "one", {"Thumbs.db": b"", "._x.png": b""})
    assert (values(read(tmp_path).train), read(tmp_path).notes) == ([1, 2, 3, 4], ())
    make(tmp_path, {"extra": [1], "test": {"in_no_class.png": b""}, "train": {"two": {"notes.txt": b""}}})
    (tmp_path / "train" / "one" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    sets = read(tmp_path)
    assert values(sets.train) == values(sets.test) == [1, 2, 3, 4]
    left_out = "test/in_no_class.png, train/one/gone.png, train/two/notes.txt"
    assert sets.notes == (
        "Folders that are no splits are left out: extra.",
        f"3 files are left out, as they are no images or in no class: {left_out}.",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("training_set", {"train"}),
        ("mnist-train-00000-of-00002", {"train"}),
        ("val256", {"validation"}),
        ("train_test", {"train", "test"}),
        ("strain", set()),
        ("testament", set()),
        ("trainers", set()),
    ],
)
def test_words_of_splits_in_names(name: str, words: set[str]) -> None:
    assert split_words(name) == words


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    make(tmp_path, {"set": TWO, "elsewhere": {"more": [5, 6], "three": [7, 8]}})
    (tmp_path / "set" / "one" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "set" / "three").symlink_to(tmp_path / "elsewhere" / "three")
    (tmp_path / "set" / "two" / "again").symlink_to(tmp_path / "set" / "two")
    sets = read(tmp_path / "set")
    found = {name: sorted(by_class(sets, sets.train)[name] + by_class(sets, sets.test)[name]) for name in sets.classes}
    assert found == {"one": [1, 2, 5, 6], "three": [7, 8], "two": [3, 4]}


def test_names_that_are_no_utf_8_are_shown_with_a_replacement(tmp_path: Path) -> None:
    try:
        make(tmp_path, {os.fsdecode(b"caf\xe9"): range(100), "tea": range(100, 200)})
    except OSError:
        pytest.skip("this file system takes names of UTF-8 only")
    (tmp_path / os.fsdecode(b"caf\xe9/\xff.png")).write_bytes(b"broken")
    sets = read(tmp_path)
    assert sets.classes == ("caf\ufffd", "tea")
    assert "Unreadable and left out: 1 of 201 images, caf\ufffd/\ufffd.png." in sets.notes
    make(tmp_path, {os.fsdecode(b"caf\xe8"): [7, 8]})
    with pytest.raises(ValueError, match=r"has two classes named caf\ufffd, in other bytes: rename one"):
        read(tmp_path)


def test_a_drawn_test_split_depends_on_the_seed_and_on_names_alone(tmp_path: Path) -> None:
    first, second = make(tmp_path / "first", CLASSES), tmp_path / "second"
    make(second, {name: CLASSES[name][::-1] for name in reversed(CLASSES)})  # written in another order
    assert values(read(first).test) == values(read(second).test)
    assert values(read(first, seed=1).test) != values(read(first).test)
    before = by_class(read(first), read(first).test)
    sets = read(make(first, {"four": [120, 121, 122]}))
    after = by_class(sets, sets.test)
    assert {name: after[name] for name in before} == before, "another class changes nothing about these"


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_drawn_images_are_a_share_of_each_class(counts: list[int], share: float, seed: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    held = draw_test(labels, [str(number) for number in range(len(counts))], share, seed)
    for label, count in enumerate(counts):
        drawn = int(held[labels == label].sum())
        assert abs(drawn - share * count) < 1
        assert 1 <= drawn <= count - 1
