from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smash_lightning.data.folder import Folder, choose_test, test_images
from smash_lightning.data.source import RawDataset, Split


def image(path: Path, value: int, shape: tuple[int, ...] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)


def fill(folder: Path, classes: dict[str, list[int]]) -> Path:
    """One flat image for each value, in a folder for each class."""
    for name, values in classes.items():
        for value in values:
            image(folder / name / f"{value:03}.png", value)
    return folder


def values(split: Split) -> list[int]:
    """Which images a split holds."""
    return split.images[:, 0, 0, 0].tolist()


def by_class(sets: RawDataset, split: Split) -> dict[str, list[int]]:
    pairs = list(zip(values(split), split.labels.tolist(), strict=True))
    return {name: [value for value, label in pairs if label == number] for number, name in enumerate(sets.classes)}


def read(root: Path, size: int | None = None, test_share: float = 0.2, seed: int = 0) -> RawDataset:
    return Folder(str(root), size, test_share, seed).read()


TRAIN = {"dog": [1, 2, 3], "Cat": [4, 5], "10": [6], "9": [7, 8]}
TEST = {"dog": [11], "Cat": [12, 13], "10": [14], "9": [15]}


def test_every_image_comes_with_the_name_of_its_folder(tmp_path: Path) -> None:
    fill(tmp_path / "train", TRAIN)
    fill(tmp_path / "test", TEST)
    sets = read(tmp_path)
    assert sets.classes == ("10", "9", "Cat", "dog"), "sorted as text"
    assert by_class(sets, sets.train) == TRAIN
    assert by_class(sets, sets.test) == TEST
    assert sets.train.images.shape == (8, 1, 4, 4)
    assert sets.notes == ()


def test_files_are_the_images_sorted(tmp_path: Path) -> None:
    fill(tmp_path / "train", TRAIN)
    fill(tmp_path / "test", TEST)
    (tmp_path / "train" / "dog" / "about.txt").write_text("not an image")
    expected = sorted(tmp_path.rglob("*.png"))
    assert Folder(str(tmp_path), None).files() == expected
    assert len(expected) == 13


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPG", "a.jpeg", "a.png", "a.Bmp", "a.gif", "a.webp", "a.TIF", "a.tiff", "a.ppm"]
)
def test_the_usual_types_in_any_case(tmp_path: Path, name: str) -> None:
    for split in ("train", "test"):
        image(tmp_path / split / "one" / name, 100, (4, 4, 3))
        image(tmp_path / split / "two" / name, 200, (4, 4, 3))
    sets = read(tmp_path)
    assert (len(sets.train), len(sets.test)) == (2, 2)
    assert (sets.train.images.int() - torch.tensor([100, 200]).view(2, 1, 1, 1)).abs().max() <= 3


def test_folders_in_a_class_belong_to_it(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"one": [1], "two": [2]})
    fill(tmp_path / "train" / "one" / "more", {"b": [3], "a": [4]})
    fill(tmp_path / "test", {"one": [5], "two": [6]})
    sets = read(tmp_path)
    assert sets.classes == ("one", "two")
    assert by_class(sets, sets.train) == {"one": [1, 4, 3], "two": [2]}


def test_what_is_hidden_is_ignored(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split, {"one": [1], "two": [2], ".thumbnails": [3], "__MACOSX": [4]})
        fill(tmp_path / split / "one", {".hidden": [5]})
        image(tmp_path / split / "one" / "._x.png", 6)
        (tmp_path / split / "one" / "Thumbs.db").write_bytes(b"")
        (tmp_path / split / ".DS_Store").write_bytes(b"")
    sets = read(tmp_path)
    assert (sets.classes, values(sets.train), sets.notes) == (("one", "two"), [1, 2], ())


def test_what_is_no_image_is_left_out_and_stated(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"one": [1], "two": [2]})
    fill(tmp_path / "test", {"one": [1], "two": [2]})
    fill(tmp_path / "extra", {"one": [1]})
    (tmp_path / "train" / "two" / "notes.txt").write_text("not an image")
    image(tmp_path / "test" / "without_a_class.png", 9)
    sets = read(tmp_path)
    assert (values(sets.train), values(sets.test)) == ([1, 2], [1, 2])
    assert sets.notes == (
        "Folders beside the splits are left out: extra.",
        "2 files are left out, as they are no images or in no class: train/two/notes.txt, test/without_a_class.png.",
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_validation_serves_as_test_only_where_there_is_none(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "train", {"one": [1], "two": [2]})
    fill(tmp_path / name, {"one": [3], "two": [4]})
    sets = read(tmp_path)
    assert values(sets.test) == [3, 4]
    assert sets.notes == ("There is no test split: the validation split serves as the test set.",)
    fill(tmp_path / "test", {"one": [5], "two": [6]})
    sets = read(tmp_path)
    assert (values(sets.train), values(sets.test)) == ([1, 2], [5, 6])
    assert sets.notes == ("The validation split is left out: images for validation are held out from train.",)


@pytest.mark.parametrize("names", [("Train", "TEST"), ("training", "testing"), ("Training", "Test")])
def test_other_spellings_of_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    fill(tmp_path / names[0], {"one": [1], "two": [2]})
    fill(tmp_path / names[1], {"one": [3], "two": [4]})
    sets = read(tmp_path)
    assert (sets.classes, values(sets.train), values(sets.test)) == (("one", "two"), [1, 2], [3, 4])


WHOLE = {"one": list(range(10)), "two": list(range(50, 90)), "three": [100, 101]}


@pytest.mark.parametrize("folder", ["", "train"])
def test_a_missing_test_split_is_made_from_train_and_stated(tmp_path: Path, folder: str) -> None:
    fill(tmp_path / folder, WHOLE)
    sets = read(tmp_path, test_share=0.3)
    train, test = by_class(sets, sets.train), by_class(sets, sets.test)
    assert {name: sorted(train[name] + test[name]) for name in WHOLE} == WHOLE
    assert {name: len(test[name]) for name in WHOLE} == {"one": 3, "two": 12, "three": 1}
    assert train == {name: sorted(train[name]) for name in WHOLE}, "what stays keeps its order"
    assert sets.notes == ("There is no test split: 0.3 of each class, drawn from train with seed 0, is it.",)


def test_a_made_test_split_depends_on_the_seed_and_on_names_alone(tmp_path: Path) -> None:
    first, second = fill(tmp_path / "first", WHOLE), tmp_path / "second"
    fill(second, {name: WHOLE[name][::-1] for name in reversed(WHOLE)})  # written in another order
    assert values(read(first).test) == values(read(second).test)
    assert values(read(first, seed=1).test) != values(read(first).test)
    before = by_class(read(first), read(first).test)
    fill(first, {"four": [120, 121, 122]})
    sets = read(first)
    after = by_class(sets, sets.test)
    assert {name: after[name] for name in before} == before, "another class changes nothing about these"


@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_drawn_images_are_a_share_of_each_class(counts: list[int], share: float, seed: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    names = [str(number) for number in range(len(counts))]
    held, _ = test_images(labels, len(labels), names, share, seed)
    for label, count in enumerate(counts):
        drawn = int(held[labels == label].sum())
        assert abs(drawn - share * count) < 1
        assert 1 <= drawn <= count - 1


def test_nothing_is_drawn_where_there_are_test_images() -> None:
    held, notes = test_images(torch.tensor([0, 1, 0, 1, 1]), 3, ("a", "b"), 0.2, 0)
    assert held.tolist() == [False, False, False, True, True]
    assert notes == ()


def test_images_of_any_size_are_brought_to_one(tmp_path: Path) -> None:
    for split in ("train", "test"):
        image(tmp_path / split / "one" / "a.png", 1, (9, 5))
        image(tmp_path / split / "two" / "b.png", 2, (3, 7, 3))
    sets = read(tmp_path, size=6)
    assert sets.train.images.shape == sets.test.images.shape == (2, 3, 6, 6)
    message = r"differ in size: train/one/a\.png has 5x9 pixels, train/two/b\.png has 7x3: dataset\.size=N"
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_an_unreadable_image_among_many_is_left_out_and_stated(tmp_path: Path) -> None:
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


def test_the_test_split_is_found() -> None:
    assert choose_test({"train", "test"}) == ("test", ())
    assert choose_test({"train", "validation", "test"})[0] == "test"
    assert choose_test({"train", "validation"})[0] == "validation"
    assert choose_test({"train"}) == (None, ())


TWO = {"one": [1, 2], "two": [3, 4]}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({}, r"there are no classes: \S+ holds no folder"),
        ({"train": {}}, r"there are no classes: \S+train holds no folder"),
        ({"": {"one": [1, 2]}}, r"holds one class only, one: at least two"),
        ({"train": {"one": [1]}, "test": {"one": [1]}}, r"train holds one class only, one: at least two"),
        ({"": TWO | {"three": []}}, r"class three is empty: there is no image in \S+three; fill or remove it"),
        ({"train": TWO, "test": TWO | {"two": []}}, r"class two is empty: there is no image in \S+test/two"),
        ({"train": TWO | {"six": [1]}, "test": TWO}, r"test lacks the class six: train and test need the same"),
        ({"train": TWO, "test": TWO | {"six": [1]}}, r"train lacks the class six: train and test need the same"),
        ({"test": TWO}, r"has a folder test, but none named train"),
        ({"train": TWO, "val": TWO, "valid": TWO}, r"has both val and valid: keep the one"),
    ],
)
def test_folders_that_are_not_laid_out_so_are_named(
    tmp_path: Path, folders: dict[str, dict[str, list[int]]], message: str
) -> None:
    for folder, classes in folders.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        fill(tmp_path / folder, classes)
        for name in classes:
            (tmp_path / folder / name).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=message):
        Folder(str(tmp_path), None).files()


def test_a_class_of_one_image_cannot_be_divided(tmp_path: Path) -> None:
    fill(tmp_path, {"one": [1, 2], "two": [3]})
    with pytest.raises(ValueError, match="class two has one image only: it needs two, as a test set is to be drawn"):
        read(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder \S+none: dataset\.root=PATH"):
        Folder(str(tmp_path / "none"), None).files()


@pytest.mark.parametrize(
    ("size", "share", "message"),
    [
        (0, 0.2, r"dataset\.size must be at least 1, got 0"),
        (None, 0.0, r"dataset\.source\.test_share must lie between 0 and 1, got 0"),
        (None, 1.0, r"dataset\.source\.test_share must lie between 0 and 1, got 1"),
    ],
)
def test_impossible_options_are_named(tmp_path: Path, size: int | None, share: float, message: str) -> None:
    fill(tmp_path, TWO)
    with pytest.raises(ValueError, match=message):
        Folder(str(tmp_path), size, share).files()


def test_options_and_files_decide_what_is_read(tmp_path: Path) -> None:
    fill(tmp_path, TWO)
    assert Folder(str(tmp_path), 4) == Folder(str(tmp_path), 4, 0.2, 0)
    one, other = read(tmp_path), read(tmp_path)
    assert torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.test.labels, other.test.labels)


def test_a_link_that_leads_nowhere_is_left_out_and_stated(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": [1, 2], "b": [3, 4]})
    fill(tmp_path / "test", {"a": [5], "b": [6]})
    (tmp_path / "train" / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    sets = read(tmp_path)
    assert sorted(values(sets.train)) == [1, 2, 3, 4]
    assert any("train/a/gone.png" in note for note in sets.notes)
