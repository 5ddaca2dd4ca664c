"""Variants of one run on the same architectures and ground truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from smash_lightning.analyses import Variant, variants
from smash_lightning.analyses.variants import BASE, compare
from smash_lightning.scoring import LossPlusSizeRank, RunningStatistics
from tests.analyses.small_analysis import NO_LOGGERS, experiment_on, read_results


def test_variants_are_scored_on_the_same_architectures(source: Path, tmp_path: Path) -> None:
    chosen = {
        "running": Variant(ranking={"batch_norm": RunningStatistics()}),
        "with size": Variant(ranking={"smash_score": LossPlusSizeRank()}),
        "one": Variant(search={"hypernets": 1}),
        "shared": Variant(hypernet={"target": "smash_lightning.hypernet.SharedWeights"}),
    }
    best = variants(experiment_on(source, tmp_path), NO_LOGGERS, name="small", title="Small", variants=chosen)
    table, found = read_results(tmp_path, "small")
    parts = {name: part.set_index("fingerprint") for name, part in table.groupby("variant", sort=False)}
    assert list(parts) == [BASE, *chosen]
    base = parts[BASE]
    assert all(list(part.index) == list(base.index) for part in parts.values())
    ranked = pd.read_csv(source / "ranking.csv").set_index("fingerprint").loc[base.index]
    test_loss = pd.read_csv(source / "retrained.csv").groupby("fingerprint")["true_loss"].mean()[base.index]
    assert base["val_loss"].to_numpy() == pytest.approx(ranked["val_loss"].to_numpy())
    assert base["params"].tolist() == ranked["params"].tolist()
    assert base["true_loss"].to_numpy() == pytest.approx(test_loss.to_numpy())
    assert (parts["with size"]["val_loss"] == base["val_loss"]).all()
    assert (parts["with size"]["smash_score"] != base["smash_score"]).any()
    assert (parts["running"]["val_loss"] != base["val_loss"]).any()
    assert (parts["one"]["val_loss_0"] == base["val_loss_0"]).all()
    assert parts["one"]["val_loss_1"].isna().all()
    assert set(parts["shared"]["hypernet_params"]) == {0}
    assert len(list((tmp_path / "checkpoints").glob("*.ckpt"))) == 2, "only weight sharing is test_loss"
    for name, part in parts.items():
        expected = spearmanr(part["smash_score"], part["true_loss"]).statistic
        assert found["variants"][name]["spearman"]["value"] == pytest.approx(expected)
    assert best == max(one["spearman"]["value"] for one in found["variants"].values())


def test_differences_are_paired() -> None:
    test_loss = np.array([0.3, 0.1, 0.4, 0.15, 0.9, 0.2])
    columns = {"true_loss": test_loss, "params": 100 + np.arange(6), "seconds": 0.1, "training_seconds": 2.0}
    parts = [
        pd.DataFrame({"variant": name, "smash_score": score, "val_loss_0": score, "val_loss_1": -score, **columns})
        for name, score in (("first", test_loss), ("reversed", -test_loss))
    ]
    found = compare(pd.concat(parts).assign(hypernet_params=7), 200, 0)
    assert "delta_spearman" not in found["first"]
    paired = found["reversed"]["delta_spearman"]
    assert (paired.value, paired.low, paired.high) == pytest.approx((-2, -2, -2))
    assert found["first"]["single_spearman"].value == pytest.approx(0), "one HyperNet is right, the other wrong"
    assert found["first"]["agreement"].value == pytest.approx(-1)


def test_the_capacity_is_an_axis(source: Path, tmp_path: Path) -> None:
    base = experiment_on(source, tmp_path)
    base = replace(base, search=replace(base.search, hypernets=1))
    chosen = {"narrow": Variant(hypernet={"width": 2})}
    variants(base, NO_LOGGERS, name="capacity", title="Capacity", variants=chosen, axis="parameters")
    _, found = read_results(tmp_path, "capacity")
    assert 0 < found["variants"]["narrow"]["hypernet_params"] < found["variants"][BASE]["hypernet_params"]
