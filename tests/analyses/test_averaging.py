"""Means over HyperNets: subsets of them, estimates, and the tables of a run."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from smash_lightning.analyses import averaging
from smash_lightning.analyses.averaging import average, disjoint_pairs, subsets
from smash_lightning.random_streams import rng
from tests.analyses.small_analysis import NO_LOGGERS, TRAINED, copied, experiment_on, made_up_sample, read_results


@pytest.mark.parametrize("total", [2, 3, 5, 6])
def test_few_subsets_are_all_of_them(total: int) -> None:
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


def test_of_many_subsets_different_random_ones_are_taken() -> None:
    for size in (2, 5, 8):
        found = subsets(10, size, 20, rng("subsets"))
        assert len(set(found)) == len(found) == min(20, comb(10, size))
        assert all(len(set(subset)) == size and list(subset) == sorted(subset) for subset in found)
    assert subsets(10, 5, 20, rng("a")) != subsets(10, 5, 20, rng("b"))
    pairs = disjoint_pairs(10, 3, 20, rng("pairs"))
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 20
    assert all(len(set(one) | set(other)) == 6 for one, other in pairs)
    assert disjoint_pairs(10, 6, 20, rng("none")) == []


@pytest.mark.parametrize("hypernets", [2, 5])
def test_estimates_equal_the_slow_ones(hypernets: int) -> None:
    trained = made_up_sample(30, hypernets)
    found = average(trained, 200, 0)
    assert [one["hypernets"] for one in found["averages"]] == list(range(1, hypernets + 1))
    slow = {}
    for one in found["averages"]:
        every = list(combinations(range(hypernets), one["hypernets"]))
        means = {subset: trained.by_hypernet[:, subset].mean(1) for subset in every}
        slow[one["hypernets"]] = np.mean([spearmanr(mean, trained.test_loss).statistic for mean in means.values()])
        assert one["spearman"].value == pytest.approx(slow[one["hypernets"]])
        assert one["spearman"].low < one["spearman"].value < one["spearman"].high
        assert one["subsets"] == len(every)
        apart = [(a, b) for a, b in combinations(every, 2) if not set(a) & set(b)]
        assert one["pairs"] == len(apart)
        if not apart:
            assert one["agreement"] is None
            continue
        agreements = [spearmanr(means[a], means[b]).statistic for a, b in apart]
        assert one["agreement"].value == pytest.approx(np.mean(agreements))
    assert found["gain"].value == pytest.approx(slow[hypernets] - slow[1])
    assert found["ceiling"].value > 0.9


def test_averaging_independent_errors_helps_and_averaging_equal_ones_does_not() -> None:
    assert average(made_up_sample(60, 4), 300, 0)["gain"].low > 0
    trained = made_up_sample(30, 1)
    found = average(replace(trained, by_hypernet=np.repeat(trained.by_hypernet, 3, axis=1)), 200, 0)
    gain = found["gain"]
    assert (gain.value, gain.low, gain.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert found["averages"][0]["agreement"].value == pytest.approx(1)


def test_it_writes_table_estimates_and_picture(source: Path, tmp_path: Path) -> None:
    gain = averaging(experiment_on(source, tmp_path), NO_LOGGERS)
    table, found = read_results(tmp_path, "averaging")
    assert len(table) == TRAINED * 2
    assert found["architectures"] == TRAINED
    trained = pd.read_csv(source / "retrained.csv").groupby("fingerprint")["true_loss"].mean()
    scored = pd.read_csv(source / "ranking.csv").set_index("fingerprint").loc[trained.index, "val_loss"]
    both = spearmanr(scored, trained).statistic
    assert found["averages"][1]["spearman"]["value"] == pytest.approx(both)
    losses = table.pivot(index="fingerprint", columns="hypernet", values="val_loss").loc[trained.index]
    single = np.mean([spearmanr(losses[hypernet], trained).statistic for hypernet in losses])
    assert found["averages"][0]["spearman"]["value"] == pytest.approx(single)
    assert gain == found["gain"]["value"] == pytest.approx(both - single)


def test_unsuitable_runs_are_refused(source: Path, tmp_path: Path) -> None:
    names = ("architectures.jsonl", "ranking.csv", "retrained.csv")
    one, few, untrained = (tmp_path / name for name in ("one", "few", "untrained"))
    ranking = pd.read_csv(copied(source, one, *names) / "ranking.csv")
    ranking.drop(columns="val_loss_1").to_csv(one / "ranking.csv", index=False)
    with pytest.raises(ValueError, match=r"was scored by one HyperNet, .*search.hypernets=2 or more"):
        averaging(experiment_on(one, tmp_path / "new"), NO_LOGGERS)
    trainings = pd.read_csv(copied(source, few, *names) / "retrained.csv")
    kept = trainings["fingerprint"].isin(trainings["fingerprint"].unique()[:4])
    trainings[kept].to_csv(few / "retrained.csv", index=False)
    with pytest.raises(ValueError, match=r"has test losses of 4 representative .* fewer than 5, .*retrain.stratified"):
        averaging(experiment_on(few, tmp_path / "new"), NO_LOGGERS)
    with pytest.raises(ValueError, match=r"^nothing was retrained in .*/untrained: "):
        averaging(experiment_on(copied(source, untrained, *names[:2]), tmp_path / "new"), NO_LOGGERS)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"^there is no ranking in .*/none: "):
        averaging(experiment_on(tmp_path / "none", tmp_path / "new"), NO_LOGGERS)
