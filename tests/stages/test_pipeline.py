"""The whole job on images of one's own, and in three dimensions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from smash_lightning.data import CropFlip, DataModule, Folder, ModelNet10, Source, VoxelMoves
from smash_lightning.evaluation.tables import Retrained, read_records
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
    """Stripes that lie and stripes that stand, in colours that say nothing."""
    chance = np.random.default_rng(0)
    for name, axis in (("lying", 0), ("standing", 1)):
        (root / name).mkdir(parents=True)
        for index in range(24):
            stripes = np.indices(size)[axis] // 2 % 2
            pixels = stripes[..., None] * chance.integers(100, 255, 3) + chance.integers(0, 40, (*size, 3))
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
    assert "lying, standing" in page
    assert "test" in " ".join(mine.data.sets.notes)
    assert all(note in page for note in mine.data.sets.notes)


@pytest.mark.slow
def test_voxels(tmp_path: Path) -> None:
    source = ModelNet10(str(test_modelnet10.official(tmp_path / "meshes", train=8, test=4)), size=16, fill=12)
    moves = VoxelMoves(shift=1, rotations=4)
    voxels = experiment(tmp_path, source, augmentation=moves, average_views=True, mean=[1 / 6], deviation=[1 / 6])
    assert voxels.data.image_spec.size == (16, 16, 16)
    assert voxels.data.views == 4
    assert sorted(set(voxels.data.normalised(voxels.data.train).images.flatten().tolist())) == pytest.approx([-1, 5])
    pipeline(voxels, Tracker([]))
    assert_complete(voxels)
    assert "averaged over 4 poses" in (voxels.folder.path / "report.html").read_text()


def assert_complete(done: Experiment) -> None:
    rows = read_records(done.folder.retrained, Retrained)
    assert len(rows) == 2 * len({row.fingerprint for row in rows}) >= 10
    assert not any(row.failure for row in rows)
    assert torch.tensor([row.true_loss for row in rows]).isfinite().all()
    correlation = json.loads((done.folder.path / "correlation.json").read_text())
    assert correlation["architectures"] == 5
    for name in ("correlation.png", "architecture.svg", "ranking.csv", "architectures.jsonl"):
        assert (done.folder.path / name).exists()
