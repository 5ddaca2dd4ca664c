"""Means over HyperNets: choices of them, figures, and what a run's tables say."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from smash_lightning.analyses import averaging
from smash_lightning.analyses.averaging import average, disjoint_pairs, subsets
from smash_lightning.analyses.load_run import Truths
from smash_lightning.evaluation.tables import Retrained, Scored, read_records, write_records
from smash_lightning.random_streams import rng
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import ranked
from tests.analyses.small_analysis import NOBODY, TRAINED, Noting, experiment_on, left, run_to_investigate
from tests.stages.small_run import rank_at_random


@pytest.mark.parametrize("total", [2, 3, 5, 6])
def test_few_choices_are_all_of_them(total: int) -> None:
    for size in range(1, total + 1):
        assert subsets(total, size, 64, rng("")) == list(combinations(range(total), size))
        every = {
            frozenset({one, other})
            for one in combinations(range(total), size)
            for other in combinations(range(total), size)
            if not set(one) & set(other)
        }
        found = disjoint_pairs(total, size, 64, rng(""))
        assert {frozenset(pair) for pair in found} == every
        assert len(found) == len(every)


def test_of_many_choices_different_random_ones_are_taken() -> None:
    for size in (2, 5, 8):
        found = subsets(10, size, 20, rng("subsets"))
        assert len(set(found)) == len(found) == min(20, comb(10, size))
        assert all(len(set(subset)) == size and list(subset) == sorted(subset) for subset in found)
    assert subsets(10, 5, 20, rng("a")) != subsets(10, 5, 20, rng("b"))
    pairs = disjoint_pairs(10, 3, 20, rng("pairs"))
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 20
    assert all(len(set(one) | set(other)) == 6 for one, other in pairs)
    assert disjoint_pairs(10, 6, 20, rng("none")) == []


def made_up(architectures: int, hypernets: int) -> Truths:
    chance = np.random.default_rng(0)
    truth = chance.normal(size=architectures)
    by_hypernet = truth[:, None] + chance.normal(size=(architectures, hypernets))
    return Truths((), truth, truth[:, None] + 0.1 * chance.normal(size=(architectures, 3)), by_hypernet)


@pytest.mark.parametrize("hypernets", [2, 5])
def test_figures_are_what_the_slow_way_gives(hypernets: int) -> None:
    truths = made_up(30, hypernets)
    found = average(truths, 200, 0)
    assert [one.hypernets for one in found.averages] == list(range(1, hypernets + 1))
    slow = {}
    for one in found.averages:
        every = list(combinations(range(hypernets), one.hypernets))
        means = {subset: truths.by_hypernet[:, subset].mean(1) for subset in every}
        slow[one.hypernets] = np.mean([spearmanr(mean, truths.losses).statistic for mean in means.values()])
        assert one.truth is not None
        assert one.truth.value == pytest.approx(slow[one.hypernets])
        assert one.truth.low < one.truth.value < one.truth.high
        assert one.subsets == len(every)
        apart = [(a, b) for a, b in combinations(every, 2) if not set(a) & set(b)]
        assert one.pairs == len(apart)
        if not apart:
            assert one.agreement is None
            continue
        assert one.agreement is not None
        agreements = [spearmanr(means[a], means[b]).statistic for a, b in apart]
        assert one.agreement.value == pytest.approx(np.mean(agreements))
    assert found.gain is not None
    assert found.gain.value == pytest.approx(slow[hypernets] - slow[1])
    assert found.ceiling is not None
    assert found.ceiling.value > 0.9


def test_averaging_independent_errors_is_seen_to_help() -> None:
    gain = average(made_up(60, 4), 300, 0).gain
    assert gain is not None
    assert gain.low > 0


def test_averaging_the_same_is_seen_to_bring_nothing() -> None:
    truths = made_up(30, 1)
    found = average(replace(truths, by_hypernet=np.repeat(truths.by_hypernet, 3, axis=1)), 200, 0)
    assert found.gain is not None
    assert (found.gain.value, found.gain.low, found.gain.high) == pytest.approx((0, 0, 0), abs=1e-12)
    agreement = found.averages[0].agreement
    assert agreement is not None
    assert agreement.value == pytest.approx(1)


# --- on a run ---


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_to_investigate(tmp_path_factory.mktemp("averaging") / "run")


def test_it_leaves_table_figures_and_picture(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noting = Noting()
    gain = averaging(experiment_on(source, tmp_path), noting)
    rows, figures = left(tmp_path, "averaging")
    assert len(rows) == noting.tables["averaging"] == TRAINED * 2
    assert figures["architectures"] == TRAINED
    scored = {row.fingerprint: row for row in read_records(source / "ranking.csv", Scored)}
    trainings = read_records(source / "retrained.csv", Retrained)
    names = sorted({row.fingerprint for row in trainings})
    truth = [np.mean([row.true_loss for row in trainings if row.fingerprint == name]) for name in names]
    both = spearmanr([scored[name].val_loss for name in names], truth).statistic
    assert figures["averages"][1]["truth"]["value"] == pytest.approx(both)
    losses = {(row["fingerprint"], row["hypernet"]): float(row["val_loss"]) for row in rows}
    single = [spearmanr([losses[name, hypernet] for name in names], truth).statistic for hypernet in "01"]
    assert figures["averages"][0]["truth"]["value"] == pytest.approx(np.mean(single))
    assert gain == figures["gain"]["value"] == noting.figures["averaging/gain"]
    assert gain == pytest.approx(both - np.mean(single))
    assert noting.images == {"averaging_png": tmp_path / "averaging.png"}
    assert "noise ceiling" in capsys.readouterr().out


def finished(folder: Path, retrained: int, hypernets: int) -> Experiment:
    """A made-up run of which so many architectures were trained."""
    experiment = experiment_on(None, folder)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, 8)]
    rows = [
        replace(row, val_loss_by_hypernet=";".join([repr(row.val_loss)] * hypernets))
        for row in ranked(experiment.folder)
    ]
    write_records(experiment.folder.ranking, rows, Scored)
    trainings = [Retrained(name, 0, "stratified", 3.0, 0.1 * i, 1, 1.0, "") for i, name in enumerate(names[:retrained])]
    write_records(experiment.folder.retrained, trainings, Retrained)
    return experiment


def test_runs_that_do_not_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"was scored by one HyperNet, .*search.hypernets=2 or more"):
        averaging(finished(tmp_path / "one", 8, 1), NOBODY)
    with pytest.raises(ValueError, match=r"has true losses of 4 representative .* fewer than 5 .*retrain.stratified"):
        averaging(finished(tmp_path / "few", 4, 2), NOBODY)
    untrained = finished(tmp_path / "untrained", 8, 2)
    untrained.folder.retrained.unlink()
    with pytest.raises(ValueError, match=r"^nothing was retrained in .*/untrained: "):
        averaging(untrained, NOBODY)
    with pytest.raises(ValueError, match=r"^there is no ranking in .*/none: "):
        averaging(experiment_on(None, tmp_path / "none"), NOBODY)
