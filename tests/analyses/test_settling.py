"""The order of scores over the training of HyperNets."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from smash_lightning.analyses import settling
from smash_lightning.analyses.frame import TrainedSample
from smash_lightning.analyses.settling import follow
from smash_lightning.hypernet import load_hypernet
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import make_scorer
from tests.analyses.small_analysis import NO_LOGGERS, TRAINED, experiment_on, made_up_sample, read_results
from tests.stages.small_run import SEARCH

EPOCHS = [2, 4, 6, 8, 9]


def made_up(architectures: int, hypernets: int) -> tuple[TrainedSample, np.ndarray]:
    """Losses that approach the ground truth from epoch to epoch."""
    trained = made_up_sample(architectures, 0)
    noise = np.random.default_rng(1).normal(size=(hypernets, len(EPOCHS), architectures))
    return trained, trained.test_loss + 3 * noise / np.arange(1, 6)[:, None] ** 2


@pytest.mark.parametrize("hypernets", [1, 3])
def test_estimates_equal_the_slow_ones(hypernets: int) -> None:
    trained, losses = made_up(20, hypernets)
    found = follow(trained, EPOCHS, losses, 200, 0)
    assert (found["architectures"], found["hypernets"], found["half"]) == (20, hypernets, 4)
    mean, slow = losses.mean(0), []
    for place, moment in enumerate(found["moments"]):
        assert moment["epoch"] == EPOCHS[place]
        slow.append(spearmanr(mean[place], trained.test_loss).statistic)
        assert moment["with_test_loss"].value == pytest.approx(slow[-1])
        if place == len(EPOCHS) - 1:
            assert moment["with_last"] is None
        else:
            assert moment["with_last"].value == pytest.approx(spearmanr(mean[place], mean[-1]).statistic)
        if hypernets == 1:
            assert moment["agreement"] is None
            continue
        pairs = [spearmanr(losses[a, place], losses[b, place]).statistic for a, b in combinations(range(hypernets), 2)]
        assert moment["agreement"].value == pytest.approx(np.mean(pairs))
    assert found["second_half"].value == pytest.approx(slow[-1] - slow[1])
    assert found["second_half"].low > 0


def test_a_loss_that_is_not_finite_ranks_last() -> None:
    trained, losses = made_up(20, 1)
    losses[0, 0, 7], worst = float("nan"), losses.copy()
    worst[0, 0, 7] = 99.0
    one, other = (follow(trained, EPOCHS, table, 200, 0) for table in (losses, worst))
    assert one == other


def longer(source: Path, folder: Path, **changes: Any) -> Experiment:
    return experiment_on(source, folder, search=replace(SEARCH, hypernets=2, epochs=5), **changes)


def test_it_writes_table_estimates_and_picture(source: Path, tmp_path: Path) -> None:
    experiment = longer(source, tmp_path)
    gain = settling(experiment, NO_LOGGERS, every=2)
    rows, found = read_results(tmp_path, "settling")
    assert len(rows) == 2 * 3 * TRAINED
    assert [moment["epoch"] for moment in found["moments"]] == [2, 4, 5]
    assert (found["architectures"], found["hypernets"], found["half"]) == (TRAINED, 2, 2)
    assert gain == found["second_half"]["value"]
    trained = pd.read_csv(source / "retrained.csv").groupby("fingerprint")["true_loss"].mean()
    architectures, folder = RunFolder(source).read_architectures(), RunFolder(tmp_path)
    assert set(rows["fingerprint"]) == set(trained.index)
    for index in range(2):
        path = folder.hypernet(index, "settling")
        drawn = set(torch.load(path, weights_only=True)["smash"]["drawn"])
        assert not drawn & set(trained.index), "they are held out"
        hypernet = load_hypernet(path, experiment.space, experiment.data.specification())
        scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, "cpu", [hypernet])
        for row in rows[(rows["hypernet"] == index) & (rows["epoch"] == 5)].to_dict("records"):
            name = row["fingerprint"]
            assert row["val_loss"] == pytest.approx(scorer(architectures[name]).val_loss, rel=1e-6)
            assert row["true_loss"] == pytest.approx(trained[name])
    assert not folder.hypernets(), "they are not mistaken for a run's own"
