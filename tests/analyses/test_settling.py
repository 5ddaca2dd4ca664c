"""The order of scores over the training of HyperNets."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from smash_lightning.analyses import settling
from smash_lightning.analyses.load_run import Truths
from smash_lightning.analyses.settling import follow, words
from smash_lightning.evaluation.tables import Retrained, read_records
from smash_lightning.hypernet import load_hypernet
from smash_lightning.stages import RunFolder
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import make_scorer
from tests.analyses.small_analysis import NOBODY, TRAINED, Noting, experiment_on, left, run_to_investigate
from tests.stages.small_run import SEARCH

EPOCHS = [2, 4, 6, 8, 9]


def made_up(architectures: int, hypernets: int) -> tuple[Truths, np.ndarray]:
    """Losses that come nearer to the truth at every moment."""
    chance = np.random.default_rng(0)
    truth = chance.normal(size=architectures)
    noise = chance.normal(size=(hypernets, len(EPOCHS), architectures)) / np.arange(1, 6)[:, None] ** 2
    trainings = truth[:, None] + 0.1 * chance.normal(size=(architectures, 3))
    return Truths((), truth, trainings, np.zeros((architectures, 0))), truth + 3 * noise


@pytest.mark.parametrize("hypernets", [1, 3])
def test_figures_are_what_the_slow_way_gives(hypernets: int) -> None:
    truths, losses = made_up(20, hypernets)
    found = follow(truths, EPOCHS, losses, 200, 0)
    assert (found.architectures, found.hypernets, found.half) == (20, hypernets, 4)
    mean, slow = losses.mean(0), []
    for place, moment in enumerate(found.moments):
        assert moment.epoch == EPOCHS[place]
        assert moment.truth is not None
        slow.append(spearmanr(mean[place], truths.losses).statistic)
        assert moment.truth.value == pytest.approx(slow[-1])
        if place == len(EPOCHS) - 1:
            assert moment.last is None
        else:
            assert moment.last is not None
            assert moment.last.value == pytest.approx(spearmanr(mean[place], mean[-1]).statistic)
        if hypernets == 1:
            assert moment.agreement is None
            continue
        pairs = [spearmanr(losses[a, place], losses[b, place]).statistic for a, b in combinations(range(hypernets), 2)]
        assert moment.agreement is not None
        assert moment.agreement.value == pytest.approx(np.mean(pairs))
    assert found.second_half is not None
    assert found.second_half.value == pytest.approx(slow[-1] - slow[1])
    assert found.second_half.low > 0


def test_a_loss_that_is_not_finite_ranks_last() -> None:
    truths, losses = made_up(20, 1)
    losses[0, 0, 7], worst = float("nan"), losses.copy()
    worst[0, 0, 7] = 99.0
    one, other = (follow(truths, EPOCHS, table, 200, 0) for table in (losses, worst))
    assert one == other


def test_long_histories_are_printed_in_few_lines_with_the_last() -> None:
    truths, losses = made_up(20, 1)
    many = np.repeat(losses, 8, axis=1)
    text = words(follow(truths, list(range(1, 41)), many, 200, 0))
    numbered = [line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.split()[0].isdigit()]
    assert len(numbered) <= 12
    assert numbered[-1] == "40"


# --- on a run ---


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_to_investigate(tmp_path_factory.mktemp("settling") / "run")


def longer(source: Path, folder: Path, **changes: Any) -> Experiment:
    return experiment_on(source, folder, search=replace(SEARCH, hypernets=2, epochs=5), **changes)


def test_it_leaves_table_figures_and_picture(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment, noting = longer(source, tmp_path), Noting()
    gain = settling(experiment, noting, every=2)
    rows, figures = left(tmp_path, "settling")
    assert len(rows) == noting.tables["settling"] == 2 * 3 * TRAINED
    assert [moment["epoch"] for moment in figures["moments"]] == [2, 4, 5]
    assert (figures["architectures"], figures["hypernets"], figures["half"]) == (TRAINED, 2, 2)
    assert gain == figures["second_half"]["value"] == noting.figures["settling/second_half"]
    assert noting.images == {"settling_png": tmp_path / "settling.png"}
    assert "noise ceiling" in capsys.readouterr().out

    trainings = read_records(source / "retrained.csv", Retrained)
    architectures, folder = RunFolder(source).read_architectures(), RunFolder(tmp_path)
    names = {row.fingerprint for row in trainings}
    assert {row["fingerprint"] for row in rows} == names
    for index in range(2):
        path = folder.hypernet(index, "settling")
        assert not names & set(torch.load(path, weights_only=True)["smash"]["drawn"]), "they are held out"
        hypernet = load_hypernet(path, experiment.space, experiment.data.specification())
        scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, "cpu", [hypernet])
        for row in rows:
            if (row["hypernet"], row["epoch"]) == (str(index), "5"):
                score = scorer(architectures[row["fingerprint"]])
                assert float(row["val_loss"]) == pytest.approx(score.val_loss, rel=1e-6)
                mine = [r.true_loss for r in trainings if r.fingerprint == row["fingerprint"]]
                assert float(row["true_loss"]) == pytest.approx(np.mean(mine))
    assert not folder.hypernets(), "they are not mistaken for a run's own"


def test_another_number_of_hypernets(source: Path, tmp_path: Path) -> None:
    settling(longer(source, tmp_path), NOBODY, every=2, hypernets=1)
    _, figures = left(tmp_path, "settling")
    assert figures["hypernets"] == 1
    assert {moment["agreement"] for moment in figures["moments"]} == {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, r"^task.every must lie between 1 and half of search.epochs=5, got 0$"),
        ({"every": 3}, r"^task.every must lie between 1 and half of search.epochs=5, got 3$"),
        ({"hypernets": 0}, r"^task.hypernets must be at least 1, or null, got 0$"),
    ],
)
def test_options_that_make_no_sense(source: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settling(longer(source, tmp_path), NOBODY, **{"every": 2} | options)


def test_without_trainings_there_is_no_truth(source: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for name in ("ranking.csv", "architectures.jsonl"):
        (earlier / name).write_bytes((source / name).read_bytes())
    with pytest.raises(ValueError, match=rf"^nothing was retrained in {earlier}: "):
        settling(longer(earlier, tmp_path / "new"), NOBODY, every=2)
