"""Means over HyperNets: subsets of them, estimates, and the tables of a run."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from smash_lightning.analyses import averaging
from smash_lightning.analyses.averaging import at_most, average
from smash_lightning.random_streams import rng
from tests.analyses.small_analysis import NO_LOGGERS, TRAINED, experiment_on, made_up_sample, read_results


def test_of_many_subsets_different_random_ones_are_taken() -> None:
    every = list(combinations(range(10), 5))
    assert at_most(every[:64], rng("")) == every[:64]
    found = at_most(every, rng("subsets"))
    assert len(set(found)) == len(found) == 64
    assert set(found) < set(every)
    assert found != at_most(every, rng("others"))


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


def test_of_many_hypernets_some_subsets_and_disjoint_pairs_are_used() -> None:
    found = average(made_up_sample(10, 8), 100, 0)["averages"]
    assert [one["subsets"] for one in found] == [8, 28, 56, 64, 56, 28, 8, 1]
    assert [one["pairs"] for one in found[:3]] == [28, 64, 64]
    assert [one["pairs"] for one in found[4:]] == [0] * 4


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
