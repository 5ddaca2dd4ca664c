"""Which files belong to which split: names of splits, and a test split drawn from train where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import torch
from torch import Tensor

from smash_lightning.random_streams import Stream, generator

_TRAIN, _TEST = ("train", "training", "trainset"), ("test", "testing", "testset", "eval", "evaluation")
_VALIDATION = ("val", "valid", "validation", "valset", "dev")
SPLIT_WORDS = {
    word: split for split, words in (("train", _TRAIN), ("test", _TEST), ("validation", _VALIDATION)) for word in words
}
_SYSTEM_FILES = ("__macosx", "thumbs.db", "desktop.ini")


def split_words(name: str) -> set[str]:
    """The splits that the words of a name denote: {"train"} for training_set, mnist-train-00000 and TrainImages."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS}


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or was made by an operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def check_options(size: int | None, test_share: float, splits: tuple[str | None, str | None]) -> None:
    """Whether these are possible.

    Raises:
        ValueError: one is not.
    """
    if size is not None and size < 1:
        raise ValueError(f"dataset.size must be at least 1, got {size}")
    if not 0 < test_share < 1:
        raise ValueError(f"dataset.source.test_share must be between 0 and 1, got {test_share}")
    if splits[0] is None and splits[1] is not None:
        raise ValueError(f"dataset.test_split={splits[1]} needs dataset.train_split as well")


def choose_test(
    found: Collection[str], has_labels: Callable[[str], bool]
) -> tuple[Literal["test", "validation"] | None, tuple[str, ...]]:
    """Which of the splits train, test and validation is the test set, and notes on it."""
    notes: tuple[str, ...] = ()
    for name in ("test", "validation"):
        if name not in found:
            continue
        if not has_labels(name):
            notes = (*notes, f"The {name} split is left out, as its images have no labels.")
        elif name == "validation":
            return name, (*notes, "There is no test split: the validation split serves as the test set.")
        elif "validation" in found:
            return name, ("The validation split is left out: images for validation are held out from train.",)
        else:
            return name, ()
    return None, notes


def held_images(
    labels: Tensor, train: int, classes: Sequence[str], share: float, seed: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Which images are the test set (count,), and a note on it: those after the first `train`.

    Where there are none, they are drawn: `share` of each class that occurs, but at least one image, and at least one
    stays. The draw from a class depends on the order and number of its images, its name and the seed alone.

    Raises:
        ValueError: a test set is to be drawn, and a class has one image only.
    """
    held = torch.arange(len(labels)) >= train
    if held.any():
        return held, ()
    for label, name in enumerate(classes):
        of_class = (labels == label).nonzero().flatten()
        if len(of_class) == 1:
            raise ValueError(f"class {name} has one image only: it needs two, as a test set is to be drawn from train")
        taken = min(max(round(share * len(of_class)), 1), len(of_class) - 1)
        order = torch.randperm(len(of_class), generator=generator(Stream.TEST_SPLIT, seed, name))
        held[of_class[order[:taken]]] = True
    return held, (
        f"There is no test split: {share:g} of each class, drawn from train with seed {seed}, is the test set.",
    )
