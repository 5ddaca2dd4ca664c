import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.data import Folder, RawDataset
from smash_lightning.data.encoded import draw_test, split_words
from tests.data.pictures import by_class, fill, image, values


def read(root: Path, **options: Any) -> RawDataset:
    return Folder(str(root), **options).read()


TRAIN = {"dog": [1, 2, 3], "Cat": [4, 5], "10": [6], "9": [7, 8]}
TEST = {"dog": [11], "Cat": [12, 13], "10": [14], "9": [15]}
TWO = {"one": [1, 2], "two": [3, 4]}


def test_every_image_has_the_label_of_its_folder(tmp_path: Path) -> None:
    fill(tmp_path / "train", TRAIN)
    fill(tmp_path / "test", TEST)
    sets = read(tmp_path)
    assert sets.classes == ("10", "9", "Cat", "dog"), "sorted as text"
    assert by_class(sets, sets.train) == TRAIN
    assert by_class(sets, sets.test) == TEST
    assert sets.train.images.shape == (8, 1, 4, 4)
    assert sets.notes == ()
    assert Folder(str(tmp_path)).files() == sorted(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jpeg", "a.Bmp", "a.gif", "a.webp", "a.TIF", "a.tiff", "a.ppm"])
def test_the_usual_types_in_any_case(tmp_path: Path, name: str) -> None:
    for split in ("train", "test"):
        image(tmp_path / split / "one" / name, 100, (4, 4, 3))
        image(tmp_path / split / "two" / name, 200, (4, 4, 3))
    sets = read(tmp_path)
    assert (len(sets.train), len(sets.test)) == (2, 2)
    assert (sets.train.images.int() - torch.tensor([100, 200]).view(2, 1, 1, 1)).abs().max() <= 3


def test_other_files_are_ignored_if_hidden_and_else_left_out_and_noted(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split, {"one": [1], "two": [2], ".thumbnails": [3], "__MACOSX": [4]})
        image(tmp_path / split / "one" / "._x.png", 6)
        (tmp_path / split / "one" / "Thumbs.db").write_bytes(b"")
        (tmp_path / split / ".DS_Store").write_bytes(b"")
    sets = read(tmp_path)
    assert (sets.classes, values(sets.train), sets.notes) == (("one", "two"), [1, 2], ())
    (tmp_path / "train" / "two" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "one" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    fill(tmp_path / "extra", {"one": [1]})
    image(tmp_path / "test" / "without_a_class.png", 9)
    sets = read(tmp_path)
    assert (values(sets.train), values(sets.test)) == ([1, 2], [1, 2])
    assert sets.notes == (
        "Folders that are no splits are left out: extra.",
        "3 files are left out, as they are no images or in no class: test/without_a_class.png, "
        "train/one/gone.png, train/two/notes.txt.",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("training_set", {"train"}),
        ("seg_test", {"test"}),
        ("TrainImages", {"train"}),
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


@pytest.mark.parametrize(
    "names", [("training_set", "test_set"), ("seg_train", "seg_test"), ("TrainImages", "TestImages")]
)
def test_folders_of_folders_with_longer_names_of_splits_are_splits_and_noted(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    fill(tmp_path / names[0], TRAIN)
    fill(tmp_path / names[1], TEST)
    fill(tmp_path, {"single_prediction": [77]})
    sets = read(tmp_path)
    assert by_class(sets, sets.train) == TRAIN
    assert by_class(sets, sets.test) == TEST
    assert f"The train split is {names[0]}." in sets.notes
    assert f"The test split is {names[1]}." in sets.notes


def test_a_class_whose_name_contains_a_split_is_a_class(tmp_path: Path) -> None:
    fill(tmp_path, {"train station": [1, 2], "test tube": [3, 4], "airport": [5, 6]})
    assert read(tmp_path).classes == ("airport", "test tube", "train station")
    fill(tmp_path / "hangar", {"day": [7, 8], "night": [9, 10]})
    with pytest.raises(ValueError, match=r"hangar can be read in two ways: its folders are the classes day, night: "):
        read(tmp_path)


def test_folders_that_may_be_classes_or_belong_to_one_are_refused_with_both_readings(tmp_path: Path) -> None:
    fill(tmp_path / "Dataset", {"0": [1, 2], "1": [3, 4], "2": [5, 6]})
    fill(tmp_path, {"Examples": [7, 8]})
    place = tmp_path / "Dataset"
    with pytest.raises(
        ValueError,
        match=rf"{place} can be read in two ways: its folders are the classes 0, 1, 2: dataset\.root={place}; or all "
        r"images in it are of one class, Dataset: dataset\.nested=true",
    ):
        read(tmp_path)
    assert read(place).classes == ("0", "1", "2")
    assert read(tmp_path, nested=True).classes == ("Dataset", "Examples")


def test_images_of_a_test_folder_within_a_class_are_not_silently_pooled(tmp_path: Path) -> None:
    fill(tmp_path, TWO)
    fill(tmp_path / "one", {"test": [9]})
    message = (
        r"one can be read in two ways: its folders are the splits test, which belong above: test/one; or .*nested=true"
    )
    with pytest.raises(ValueError, match=message):
        read(tmp_path)
    assert sorted(read(tmp_path, nested=True).train.labels.tolist()) == [0, 0, 1]


@pytest.mark.parametrize("names", [("train", "test"), ("training_set", "test_set")])
def test_splits_within_classes_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        fill(tmp_path / "cat", {name: [1, 2]})
        fill(tmp_path / "dog", {name: [3, 4]})
    with pytest.raises(ValueError, match=r"cat can be read in two ways: its folders are the \w+ test"):
        read(tmp_path)


def test_folders_in_a_class_belong_to_it(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"one": [1], "two": [2]})
    fill(tmp_path / "train" / "one" / "more", {"b": [3], "a": [4]})
    fill(tmp_path / "train" / "three", {"images": [5]})  # as in Tiny ImageNet
    fill(tmp_path / "test", {"one": [6], "two": [7], "three": [8]})
    sets = read(tmp_path)
    assert by_class(sets, sets.train) == {"one": [1, 4, 3], "three": [5], "two": [2]}


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "set", {"one": [1, 2], "two": [3, 4]})
    fill(tmp_path / "elsewhere", {"more": [5, 6], "three": [7, 8]})
    (tmp_path / "set" / "one" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "set" / "three").symlink_to(tmp_path / "elsewhere" / "three")
    (tmp_path / "set" / "two" / "again").symlink_to(tmp_path / "set" / "two")
    sets = read(tmp_path / "set")
    found = {name: sorted(by_class(sets, sets.train)[name] + by_class(sets, sets.test)[name]) for name in sets.classes}
    assert found == {"one": [1, 2, 5, 6], "three": [7, 8], "two": [3, 4]}


def test_names_that_are_no_utf_8_are_shown_with_a_replacement(tmp_path: Path) -> None:
    try:
        fill(tmp_path, {os.fsdecode(b"caf\xe9"): list(range(100)), "tea": list(range(100, 200))})
    except OSError:
        pytest.skip("this file system takes names of UTF-8 only")
    (tmp_path / os.fsdecode(b"caf\xe9/\xff.png")).write_bytes(b"broken")
    sets = read(tmp_path)
    assert sets.classes == ("caf\ufffd", "tea")
    "".join((*sets.classes, *sets.notes)).encode()  # a report can be written
    fill(tmp_path, {os.fsdecode(b"caf\xe8"): [7, 8]})
    with pytest.raises(ValueError, match=r"has two classes named caf\ufffd, in other bytes: rename one"):
        read(tmp_path)


def test_an_accent_is_the_same_in_every_encoding_of_it(tmp_path: Path) -> None:
    one, other = "caf\u00e9", "cafe\u0301"  # as Linux and macOS write it
    fill(tmp_path / "train", {one: [1, 2], "caff": [3, 4]})
    fill(tmp_path / "test", {other: [5], "caff": [6]})
    sets = read(tmp_path)
    assert by_class(sets, sets.test) == {one: [5], "caff": [6]}
    (tmp_path / "train" / one).rename(tmp_path / "train" / other)
    assert read(tmp_path).classes == sets.classes == ("caff", one)


def test_test_images_in_no_class_are_left_out_and_noted(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"0": list(range(10)), "1": list(range(10, 20))})
    fill(tmp_path, {"test": [30, 31, 32]})
    sets = read(tmp_path)
    assert (len(sets.train), len(sets.test)) == (16, 4)
    assert sets.notes[0] == "The test split is left out, as its images have no labels."
    assert "drawn from train" in sets.notes[1]
    fill(tmp_path / "val", {"0": [40], "1": [50]})
    assert values(read(tmp_path).test) == [40, 50]


def test_named_splits_decide(tmp_path: Path) -> None:
    fill(tmp_path / "first", {"one": [1, 2], "two": [3, 4]})
    fill(tmp_path / "second", {"one": [5], "two": [6]})
    sets = read(tmp_path, train_split="first", test_split="second")
    assert (values(sets.train), values(sets.test), sets.notes) == ([1, 2, 3, 4], [5, 6], ())
    assert len(read(tmp_path, train_split="first").test) == 2, "drawn from train"
    fill(tmp_path, {"test": [7, 8]})
    assert read(tmp_path, train_split=".", nested=True).classes == ("first", "second", "test")
    with pytest.raises(ValueError, match=r"dataset\.test_split=x needs dataset\.train_split"):
        read(tmp_path, test_split="x")
    with pytest.raises(ValueError, match=r"dataset\.train_split: there is no folder \S+nowhere"):
        read(tmp_path, train_split="nowhere")


WHOLE = {"one": list(range(10)), "two": list(range(50, 90)), "three": [100, 101]}


@pytest.mark.parametrize("folder", ["", "train"])
def test_a_missing_test_split_is_drawn_from_train_and_noted(tmp_path: Path, folder: str) -> None:
    fill(tmp_path / folder, WHOLE)
    sets = read(tmp_path, test_share=0.3)
    train, test = by_class(sets, sets.train), by_class(sets, sets.test)
    assert {name: sorted(train[name] + test[name]) for name in WHOLE} == WHOLE
    assert {name: len(test[name]) for name in WHOLE} == {"one": 3, "two": 12, "three": 1}
    assert train == {name: sorted(train[name]) for name in WHOLE}, "the rest keeps its order"
    assert len(sets.notes) == 1
    assert "0.3 of each class" in sets.notes[0]


def test_a_drawn_test_split_depends_on_the_seed_and_on_names_alone(tmp_path: Path) -> None:
    first, second = fill(tmp_path / "first", WHOLE), tmp_path / "second"
    fill(second, {name: WHOLE[name][::-1] for name in reversed(WHOLE)})  # written in another order
    assert values(read(first).test) == values(read(second).test)
    assert values(read(first, seed=1).test) != values(read(first).test)
    before = by_class(read(first), read(first).test)
    fill(first, {"four": [120, 121, 122]})
    sets = read(first)
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


def test_classes_without_an_image_are_noted(tmp_path: Path) -> None:
    fill(tmp_path / "train", TWO | {"six": [1]})
    fill(tmp_path / "test", TWO)
    assert read(tmp_path).notes == ("There is no test image of six.",)


def test_images_of_any_size_are_brought_to_one(tmp_path: Path) -> None:
    for split in ("train", "test"):
        image(tmp_path / split / "one" / "a.png", 1, (9, 5))
        image(tmp_path / split / "two" / "b.png", 2, (3, 7, 3))
    sets = read(tmp_path, size=6)
    assert sets.train.images.shape == sets.test.images.shape == (2, 3, 6, 6)
    message = r"differ in size: train/one/a\.png has 5x9 pixels, train/two/b\.png has 7x3: dataset\.size=N"
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_an_unreadable_image_among_many_is_left_out_and_noted(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split, {"one": list(range(60)), "two": list(range(60, 120))})
    (tmp_path / "train" / "one" / "007.png").write_bytes(b"broken")
    sets = read(tmp_path)
    assert by_class(sets, sets.train) == {"one": [v for v in range(60) if v != 7], "two": list(range(60, 120))}
    assert len(sets.test) == 120
    assert sets.notes == ("Unreadable and left out: 1 of 240 images, train/one/007.png.",)
    for name in ("one/000.png", "two/119.png"):
        (tmp_path / "test" / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"3 of 240 images cannot be read, the first is train/one/007\.png \(no image"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({}, r"the training split of \S+ holds no folders of classes"),
        ({"train": {}}, r"the training split of \S+ holds no folders of classes"),
        ({"": {"one": [1, 2]}}, r"holds one class only, one: at least two"),
        ({"": TWO | {"three": []}}, r"class three is empty: there is no image in \S+three; fill or remove it"),
        ({"train": TWO, "test": TWO | {"two": []}}, r"class two is empty: there is no image in \S+test/two"),
        ({"train": TWO, "test": TWO | {"six": [1]}}, r"image 2 of the test split has the label six, which is none of"),
        (
            {"test": TWO},
            r"can be read in two ways: test are splits, .*; or all of test are classes: dataset.train_split",
        ),
        ({"train": TWO, "val": TWO, "valid": TWO}, r"has both val and valid: keep one"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, folders: dict[str, dict[str, list[int]]], message: str) -> None:
    for folder, classes in folders.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        fill(tmp_path / folder, classes)
        for name in classes:
            (tmp_path / folder / name).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder \S+none: dataset\.root=PATH"):
        read(tmp_path / "none")
    fill(tmp_path, TWO | {"three": [9]})
    with pytest.raises(ValueError, match=r"dataset\.size must be at least 1, got 0"):
        read(tmp_path, size=0)
    with pytest.raises(ValueError, match=r"dataset\.source\.test_share must be between 0 and 1, got 1"):
        read(tmp_path, test_share=1.0)
    with pytest.raises(ValueError, match="class three has one image only: it needs two"):
        read(tmp_path)
