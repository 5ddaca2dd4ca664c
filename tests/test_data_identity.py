"""Data sets are known by their content: moved ones are found, changed ones are refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smash_lightning import load
from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.run_folder import RunFolder
from tests.command_line import TINY, Ended, changed, smash

OPTIONS = changed(TINY, ["search.epochs=1", "search.hypernets=1"])
OPTIONS = changed(OPTIONS, ["ranking.strategies.random.count=6", "retrain.stratified=2", "retrain.seeds=1"])
DATA = ["dataset=folder", "dataset.size=8", "dataset.batch_size=16", "dataset.validation=16", "dataset.cache=null"]


def images(root: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 32), ("test", 8)):
        for name, brightness in (("dark", 0), ("bright", 128)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(brightness, brightness + 128, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with a HyperNet, and its images."""
    folder = tmp_path_factory.mktemp("identity")
    root = images(folder / "images")
    run = smash(folder, "task=search", *OPTIONS, *DATA, f"dataset.root={root}", f"hydra.run.dir={folder}/searched")
    assert run.well, run
    return folder / "searched", root


def moved(root: Path, to: Path) -> Path:
    return Path(shutil.copytree(root, to))


def refused(ended: Ended, splits: str, folder: Path) -> bool:
    message = f"the {splits} images or their labels are others than those of {folder}: restore them, name their folder"
    return message in str(ended.error)


def test_moved_images_are_found_and_changed_ones_are_refused(tmp_path: Path, searched: tuple[Path, Path]) -> None:
    earlier, root = searched
    new, run = moved(root, tmp_path / "new"), tmp_path / "ranked"
    rank = ["task=rank", f"checkpoint={earlier}", f"dataset.root={new}"]
    assert smash(tmp_path, *rank, f"hydra.run.dir={run}").well
    again = moved(new, tmp_path / "again")
    shutil.rmtree(new)
    assert smash(tmp_path, f"resume={run}", f"dataset.root={again}").well
    shutil.copy(again / "test" / "dark" / "0.png", again / "test" / "dark" / "1.png")
    assert refused(smash(tmp_path, f"resume={run}", f"dataset.root={again}"), "test", run)
    assert refused(smash(tmp_path, "task=retrain", f"checkpoint={run}", f"dataset.root={again}"), "test", run)
    retrain = ["task=retrain", f"checkpoint={run}", f"dataset.root={root}", "retrain.random=0", "retrain.shortlist=1"]
    assert smash(tmp_path, *retrain, f"hydra.run.dir={tmp_path}/retrained").well
    refuses_other_data(tmp_path, tmp_path / "retrained", again)


def refuses_other_data(folder: Path, run: Path, other: Path) -> None:
    """A retrained network has the digests of its data, even without data.json."""
    described, export = RunFolder(run).read_data(), ["task=export", f"checkpoint={run}", f"dataset.root={other}"]
    assert refused(smash(folder, *export), "test", run)
    network = RunFolder(run).network(load(run).best["fingerprint"], 0)
    assert load_checkpoint(network, "data")["data"].items() >= described["content"].items()
    assert load(run).model
    (run / "data.json").write_text(json.dumps(described | {"content": {**described["content"], "validation": "0"}}))
    with pytest.raises(ValueError, match=rf"{network} belongs to another data set or split: validation was "):
        _ = load(run).model
    (run / "data.json").unlink()
    message = rf"{network} belongs to another data set or split: test was "
    assert re.search(message, str(smash(folder, *export).error))


def test_changed_training_images_are_refused(tmp_path: Path, searched: tuple[Path, Path]) -> None:
    earlier, root = searched
    new = moved(root, tmp_path / "new")
    (new / "train" / "dark" / "0.png").rename(new / "train" / "bright" / "x.png")
    ended = smash(tmp_path, "task=rank", f"checkpoint={earlier}", f"dataset.root={new}")
    assert refused(ended, "train and validation", earlier), ended
