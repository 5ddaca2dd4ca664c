"""The whole job on images of one's own, and in three dimensions."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from smash_lightning.data import CropFlip, DataModule, Folder, ModelNet10, Source, VoxelMoves
from smash_lightning.evaluation.tables import read_retrained
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.search_space import SingleConvolution
from smash_lightning.stages import Experiment
from smash_lightning.stages.pipeline import pipeline
from smash_lightning.strategies import Random, RankingOptions
from tests.cases import small
from tests.data import test_modelnet10
from tests.stages.small_run import RETRAIN, small_experiment


def experiment(folder: Path, source: Source, **options: Any) -> Experiment:
    numbers = {"validation": 0.2, "train": None, "batch_size": 4, "eval_batch_size": 5, "recalibration": 8}
    cache = str(folder / "cache")
    data = DataModule(name="mine", source=source, stem_stride=1, split_seed=0, cache=cache, **numbers, **options)
    data.setup()
    space = small(data.image_spec, SingleConvolution())
    ranking = RankingOptions({"random": Random(7)}, RecalibratedStatistics(), 1, 1)
    retrain = replace(RETRAIN, seeds=2, stratified=5, shortlist=1)
    parts = {"data": data, "space": space, "candidates": space, "ranking": ranking, "retrain": retrain}
    return small_experiment(folder / "run", **parts)


def pictures(root: Path, size: tuple[int, int]) -> Folder:
    """Horizontal and vertical stripes, in colours without information."""
    rng = np.random.default_rng(0)
    for name, axis in (("horizontal", 0), ("vertical", 1)):
        (root / name).mkdir(parents=True)
        for index in range(24):
            stripes = np.indices(size)[axis] // 2 % 2
            pixels = stripes[..., None] * rng.integers(100, 255, 3) + rng.integers(0, 40, (*size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{index}.png")
    return Folder(str(root), size=8)


@pytest.mark.slow
def test_images_of_ones_own(tmp_path: Path) -> None:
    mine = experiment(tmp_path, pictures(tmp_path / "mine", (12, 16)), augmentation=CropFlip(1))
    assert mine.data.image_spec.size == (8, 8)
    result = pipeline(mine, Tracker([]))
    assert result is not None
    assert_complete(mine)
    page = (mine.folder.path / "report.html").read_text()
    assert "horizontal, vertical" in page
    assert "test" in " ".join(mine.data.sets.notes)
    assert all(note in page for note in mine.data.sets.notes)


@pytest.mark.slow
def test_voxels(tmp_path: Path) -> None:
    source = ModelNet10(str(test_modelnet10.official(tmp_path / "meshes", train=8, test=4)), size=16, fill=12)
    moves = VoxelMoves(shift=1, rotations=4)
    voxels = experiment(tmp_path, source, augmentation=moves, average_views=True, mean=[1 / 6], std=[1 / 6])
    assert voxels.data.image_spec.size == (16, 16, 16)
    assert voxels.data.views == 4
    assert sorted(set(voxels.data.normalised(voxels.data.train).images.flatten().tolist())) == pytest.approx([-1, 5])
    pipeline(voxels, Tracker([]))
    assert_complete(voxels)
    assert "averaged over 4 views" in (voxels.folder.path / "report.html").read_text()


def assert_complete(done: Experiment) -> None:
    table = read_retrained(done.folder)
    assert len(table) == 2 * table["fingerprint"].nunique() >= 10
    assert (table["failure"] == "").all()
    assert np.isfinite(table["true_loss"]).all()
    assert json.loads(done.folder.correlation.read_text())["architectures"] == 5
    names = ("correlation.png", "baselines.png", "pareto.png", "architecture.svg", "report.html")
    for name in (*names, "ranking.csv", "architectures.jsonl", "data.json", "settling.csv"):
        assert (done.folder.path / name).exists()
