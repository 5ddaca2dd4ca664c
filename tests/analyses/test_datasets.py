"""Rows of data sets that are present, missing or unusable, and what their sheets show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from smash_lightning.analyses import datasets
from smash_lightning.analyses.datasets import CELL, contact_sheet
from smash_lightning.data import CIFAR10, Folder
from smash_lightning.report.tracker import Tracker
from tests.data.pictures import module
from tests.stages.small_run import small_experiment


def coloured(root: Path) -> Folder:
    """Eight red and eight blue images to learn from, four of each to test on."""
    for split, count in (("train", 8), ("test", 4)):
        for name, colour in (("red", (250, 0, 0)), ("blue", (0, 0, 250))):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (6, 6), colour).save(root / split / name / f"{index}.png")
    return Folder(str(root), size=None)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "datasets.csv").set_index("name")


def test_each_set_has_a_row_and_those_that_are_present_a_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = small_experiment(tmp_path / "run")
    (tmp_path / "broken" / "train" / "red").mkdir(parents=True)
    known = {
        "mine": module(coloured(tmp_path / "mine"), download=True),
        "absent": module(CIFAR10(str(tmp_path / "nothing")), download=True),
        "broken": module(Folder(str(tmp_path / "broken"), size=None), download=True),
    }
    datasets(experiment, Tracker([]), known)
    rows = table(tmp_path / "run")
    states = {"mine": "present", "absent": "missing", "broken": "unusable", "digits": "present"}
    assert rows["state"].to_dict() == states
    columns = {"train": 16, "test": 8, "classes": 2, "shape": "3 x 6 x 6", "mean": "125 0 125"}
    assert rows.loc["mine", list(columns)].to_dict() == columns
    assert "would download 163 MiB from https://www.cs.toronto.edu" in rows.loc["absent", "remedy"]
    assert not (tmp_path / "nothing").exists(), "a table downloads nothing"
    assert "red" in rows.loc["broken", "remedy"]
    assert {path.name for path in (tmp_path / "run").glob("*.png")} == {"mine.png", "digits.png"}
    printed = capsys.readouterr().out
    assert "mine: 16 + 8 images of 3 x 6 x 6, 2 classes, mean 125 0 125" in printed


def test_a_sheet_shows_each_class_in_its_colours() -> None:
    red, blue = (np.zeros((2, 3, 5, 5), np.uint8) for _ in range(2))
    red[:, 0], blue[:, 2] = 255, 255
    sheet = np.asarray(contact_sheet([red, blue], ["red", "blue"], "colours")).astype(int)
    for colour, first in ((0, True), (2, False)):
        places = np.argwhere((sheet == np.eye(3, dtype=int)[colour] * 255).all(axis=2))
        assert len(places) == 2 * CELL**2
        assert (places[:, 0] < sheet.shape[0] // 2 + CELL // 4).all() == first, "red is above blue"
