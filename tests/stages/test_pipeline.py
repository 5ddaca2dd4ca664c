"""The whole job in three dimensions; tests/test_platforms.py has it on pictures in folders."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smash_lightning.data import DataModule, ModelNet10, VoxelMoves
from smash_lightning.evaluation.tables import read_retrained
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.search_space import SingleConvolution
from smash_lightning.stages.pipeline import pipeline
from smash_lightning.strategies import Random, RankingOptions
from tests.cases import small
from tests.data import test_modelnet10
from tests.stages.small_run import RETRAIN, small_experiment


@pytest.mark.slow
def test_voxels(tmp_path: Path) -> None:
    data = DataModule(
        name="mine",
        source=ModelNet10(str(test_modelnet10.official(tmp_path / "meshes", train=8, test=4)), size=16, fill=12),
        stem_stride=1,
        split_seed=0,
        cache=str(tmp_path / "cache"),
        validation=0.2,
        train=None,
        batch_size=4,
        eval_batch_size=5,
        recalibration=8,
        augmentation=VoxelMoves(shift=1, rotations=4),
        average_views=True,
        mean=[1 / 6],
        std=[1 / 6],
    )
    data.setup()
    assert data.image_spec.size == (16, 16, 16)
    assert data.views == 4
    assert sorted(set(data.normalised(data.train).images.flatten().tolist())) == pytest.approx([-1, 5])
    parts = {
        "data": data,
        "space": small(data.image_spec, SingleConvolution()),
        "ranking": RankingOptions({"random": Random(7)}, RecalibratedStatistics(), 1, 1),
        "retrain": replace(RETRAIN, seeds=2, stratified=5, shortlist=1),
    }
    done = small_experiment(tmp_path / "run", **parts)
    pipeline(done, Tracker([]))
    table = read_retrained(done.folder)
    assert len(table) == 2 * table["fingerprint"].nunique() >= 10
    assert (table["failure"] == "").all()
    assert np.isfinite(table["true_loss"]).all()
    assert json.loads(done.folder.correlation.read_text())["architectures"] == 5
    names = ("correlation.png", "baselines.png", "pareto.png", "architecture.svg", "report.html")
    for name in (*names, "ranking.csv", "architectures.jsonl", "data.json", "settling.csv"):
        assert (done.folder.path / name).exists()
    assert "averaged over 4 views" in done.folder.report.read_text()
