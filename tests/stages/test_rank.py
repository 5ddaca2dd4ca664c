"""Which HyperNets score, how often they are read, and what is logged of a ranking."""

import csv
import shutil
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger

from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.stages import Experiment, RunFolder, rank, search
from smash_lightning.strategies import Random, RankingOptions
from tests.stages.small_run import SEARCH, small_experiment

SILENT = Tracker([])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two HyperNets, which no test may change."""
    folder = tmp_path_factory.mktemp("trained")
    search(two_hypernets(folder), SILENT)
    return folder


def two_hypernets(folder: Path, **changes: Any) -> Experiment:
    return small_experiment(folder, search=replace(SEARCH, hypernets=2), **changes)


def interrupted(trained: Path, folder: Path) -> RunFolder:
    """A copy of the run whose second HyperNet was not trained to the end."""
    shutil.copytree(trained, folder)
    checkpoint = RunFolder(folder).hypernet(1)
    content = torch.load(checkpoint, weights_only=True)
    content["smash"]["finished"] = False
    torch.save(content, checkpoint)
    return RunFolder(folder)


def logged(folder: Path, version: int) -> list[tuple[int, float]]:
    """Step and loss of every row that the logger wrote."""
    with (folder / "logs" / f"version_{version}" / "metrics.csv").open() as file:
        return [(int(row["step"]), float(row["ranking/val_loss"])) for row in csv.DictReader(file)]


def test_each_row_is_logged_at_its_own_step(trained: Path, tmp_path: Path) -> None:
    # Random candidates are scored in batches. The second ranking takes the first one up again.
    for count in (3, 7):
        options = RankingOptions({"random": Random(count)}, RecalibratedStatistics(), 0, 1)
        tracker = Tracker([CSVLogger(tmp_path, "logs")])
        table = rank(two_hypernets(tmp_path, source=trained, ranking=options), tracker)
    losses = dict(zip(table["fingerprint"], table["val_loss"], strict=True))
    as_scored = [losses[name] for name in RunFolder(tmp_path).read_architectures()]
    assert logged(tmp_path, 0) == list(zip((1, 2, 3), as_scored[:3], strict=True))
    assert logged(tmp_path, 1) == list(zip((4, 5, 6, 7), as_scored[3:], strict=True))


def test_a_complete_ranking_stays_best_first_whenever_it_is_repeated(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = two_hypernets(tmp_path, source=trained)
    rank(experiment, SILENT)
    before = experiment.folder.ranking.read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(import_module("smash_lightning.stages.rank"), "run_ranking", killed)
        with pytest.raises(KeyboardInterrupt):
            rank(experiment, SILENT)
    assert experiment.folder.ranking.read_bytes() == before
    rank(experiment, SILENT)
    assert experiment.folder.ranking.read_bytes() == before


def test_a_ranking_is_not_continued_by_other_hypernets(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    options = RankingOptions({"random": Random(3)}, RecalibratedStatistics(), 0, 1)
    rank(two_hypernets(tmp_path, ranking=options), SILENT)
    before = RunFolder(tmp_path).ranking.read_bytes()
    first, second = (RunFolder(tmp_path).hypernet(index) for index in (0, 1))
    first.write_bytes(second.read_bytes())
    more = replace(options, strategies={"random": Random(7)})
    with pytest.raises(ValueError, match=r"was begun with other HyperNets .* restore them, or rank anew"):
        rank(two_hypernets(tmp_path, ranking=more), SILENT)
    assert RunFolder(tmp_path).ranking.read_bytes() == before


def test_each_checkpoint_is_read_once(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    load = torch.load

    def counting(path: Path, **how: Any) -> Any:
        read[path.name] += 1
        return load(path, **how)

    monkeypatch.setattr(torch, "load", counting)
    rank(two_hypernets(tmp_path, source=trained), SILENT)
    assert read == {"hypernet0.ckpt": 1, "hypernet1.ckpt": 1}


def test_all_hypernets_of_a_run_must_be_finished(trained: Path, tmp_path: Path) -> None:
    folder = interrupted(trained, tmp_path / "interrupted")
    message = rf"^{folder.path} holds 1 of 2 finished HyperNets: complete it with resume={folder.path}, or name one"
    with pytest.raises(ValueError, match=message):
        rank(two_hypernets(tmp_path / "ranking", source=folder.path), SILENT)
    with pytest.raises(ValueError, match=message):  # two exist, though one is needed
        rank(small_experiment(tmp_path / "ranking", source=folder.path), SILENT)


def test_a_checkpoint_that_is_named_scores_though_its_training_is_unfinished(trained: Path, tmp_path: Path) -> None:
    both = rank(two_hypernets(tmp_path / "both", source=trained), SILENT)
    named = interrupted(trained, tmp_path / "interrupted").hypernet(1)
    one = rank(two_hypernets(tmp_path / "one", source=named), SILENT)
    assert one.set_index("fingerprint")["val_loss_0"].to_dict() == both.set_index("fingerprint")["val_loss_1"].to_dict()
    assert "val_loss_1" not in one
    # It scores again in a run that is built on that one.
    (tmp_path / "one" / "config.yaml").write_text(
        yaml.safe_dump({"checkpoint": str(named), "source_run": str(trained)})
    )
    again = rank(two_hypernets(tmp_path / "again", source=tmp_path / "one"), SILENT)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), one.drop(columns="seconds"))
