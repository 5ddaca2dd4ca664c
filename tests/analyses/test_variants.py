"""Variants of one run on the same architectures and truths, strategies at equal cost, races replayed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from smash_lightning.analyses import Variant, racing, strategies, variants
from smash_lightning.analyses.racing import halving, recall
from smash_lightning.analyses.strategies import advantage
from smash_lightning.analyses.variants import BASE, VariantScore, compare_variants
from smash_lightning.evaluation.tables import Retrained, write_records
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import LossPlusSizeRank, RunningStatistics, ValidationLoss
from smash_lightning.stages import rank, search
from smash_lightning.strategies import Evolution, Perturb, Random
from smash_lightning.strategies.racing import Racing
from tests.stages.small_run import small_experiment


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with two HyperNets, eight ranked architectures and made-up truths."""
    made = small_experiment(tmp_path_factory.mktemp("run"))
    options = replace(made.ranking, strategies={"random": Random(8)})
    made = replace(made, search=replace(made.search, hypernets=2), ranking=options)
    search(made, Tracker([]))
    table = rank(made, Tracker([]))
    rows = [
        Retrained(row.fingerprint, seed, "stratified", 10.0 + place, 0.1 * ((3 * place) % 8) + 0.001 * seed, 1, 1.0, "")
        for seed in (0, 1)
        for place, row in enumerate(table)
    ]
    write_records(made.folder.retrained, rows, Retrained)
    return made


def elsewhere(run: Any, path: Path) -> Any:
    return replace(run, folder=replace(run.folder, path=path), source=run.folder.path)


def test_variants_are_scored_on_the_same_architectures(run: Any, tmp_path: Path) -> None:
    chosen = {
        "running": Variant(ranking={"batch_norm": RunningStatistics()}),
        "with size": Variant(ranking={"smash_score": LossPlusSizeRank()}),
        "one": Variant(search={"hypernets": 1}),
        "shared": Variant(hypernet={"target": "smash_lightning.hypernet.SharedWeights"}),
    }
    best = variants(elsewhere(run, tmp_path), Tracker([]), name="small", title="Small", variants=chosen)
    with (tmp_path / "small.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_name = {name: [row for row in rows if row["variant"] == name] for name in (BASE, *chosen)}
    names = [row["fingerprint"] for row in by_name[BASE]]
    assert len(rows) == 5 * 8
    assert all([row["fingerprint"] for row in part] == names for part in by_name.values())
    scored = {row["fingerprint"]: row["val_loss"] for row in csv.DictReader(run.folder.ranking.open())}
    assert [float(row["val_loss"]) for row in by_name[BASE]] == pytest.approx([float(scored[n]) for n in names])
    assert [r["val_loss"] for r in by_name["with size"]] == [r["val_loss"] for r in by_name[BASE]]
    assert [r["smash_score"] for r in by_name["with size"]] != [r["smash_score"] for r in by_name[BASE]]
    assert [r["val_loss"] for r in by_name["running"]] != [r["val_loss"] for r in by_name[BASE]]
    firsts = [row["val_loss_by_hypernet"].split(";")[0] for row in by_name[BASE]]
    assert [row["val_loss_by_hypernet"] for row in by_name["one"]] == firsts
    sizes = [{row["hypernet_params"] for row in by_name[name]} for name in (BASE, "shared")]
    assert sizes[0] != sizes[1]
    assert len(list((tmp_path / "checkpoints").glob("*.ckpt"))) == 2, "only weight sharing is trained"
    found = json.loads((tmp_path / "small.json").read_text())["variants"]
    for name, part in by_name.items():
        expected = spearmanr([float(r["smash_score"]) for r in part], [float(r["true_loss"]) for r in part])[0]
        assert found[name]["spearman"]["value"] == pytest.approx(expected)
    assert best == max(part["spearman"]["value"] for part in found.values())
    assert (tmp_path / "small.png").exists()
    assert (tmp_path / "small_paired.png").exists()


def row(variant: str, place: int, key: float, truth: float) -> VariantScore:
    return VariantScore(variant, str(place), key, key, 1.0, f"{key};{-key}", truth, 100 + place, 0.1, 2.0, 7)


def test_differences_are_paired() -> None:
    truth = [0.3, 0.1, 0.4, 0.15, 0.9, 0.2]
    rows = {
        "first": [row("first", i, t, t) for i, t in enumerate(truth)],
        "reversed": [row("reversed", i, -t, t) for i, t in enumerate(truth)],
    }
    results = compare_variants(rows, 200, 0)
    assert results["first"].minus_base is None
    paired = results["reversed"].minus_base
    assert paired is not None
    assert (paired.value, paired.low, paired.high) == pytest.approx((-2, -2, -2))
    single = results["first"].single
    assert single is not None
    assert single.value == pytest.approx(0), "one HyperNet is right, the other wrong"


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (Variant(hypernet={"widht": 3}), r"task.variants.odd.hypernet.widht: there is no such value; known: width"),
        (Variant(search={"epochs": "many"}), r"task.variants.odd.search.epochs must be a whole number, got 'many'"),
    ],
)
def test_a_change_that_cannot_be_is_named(run: Any, tmp_path: Path, variant: Variant, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variants(elsewhere(run, tmp_path), Tracker([]), name="x", title="x", variants={"odd": variant})


def test_the_capacity_is_an_axis(run: Any, tmp_path: Path) -> None:
    chosen = {"narrow": Variant(hypernet={"width": 2})}
    options = {"name": "capacity", "title": "Capacity", "variants": chosen, "axis": "parameters"}
    variants(elsewhere(run, tmp_path), Tracker([]), **options)  # type: ignore[arg-type]
    found = json.loads((tmp_path / "capacity.json").read_text())["variants"]
    assert 0 < found["narrow"]["hypernet_params"] < found[BASE]["hypernet_params"]
    assert (tmp_path / "capacity.png").exists()


def test_strategies_go_on_from_the_same_candidates(run: Any, tmp_path: Path) -> None:
    chosen = {"perturb": Perturb(4, 0.2), "evolution": Evolution(4, 4, 2, 0.2)}
    there = elsewhere(run, tmp_path)
    there = replace(there, ranking=replace(there.ranking, smash_score=ValidationLoss()))
    gain = strategies(there, Tracker([]), strategies=chosen, start=3, repeats=2)
    with (tmp_path / "strategies.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 7
    table = {
        (name, repeat): [float(r["smash_score"]) for r in rows if (r["strategy"], r["repeat"]) == (name, repeat)]
        for name in ("random", "perturb", "evolution")
        for repeat in ("0", "1")
    }
    for repeat in ("0", "1"):
        starts = {tuple(table[name, repeat][:3]) for name in ("random", "perturb", "evolution")}
        assert len(starts) == 1
    assert table["random", "0"][:3] != table["random", "1"][:3]
    gains = [min(table["random", r]) - min(table["perturb", r]) for r in ("0", "1")]
    found = json.loads((tmp_path / "strategies.json").read_text())["advantage_over_random"]
    assert found["perturb"]["value"] == pytest.approx(np.mean(gains))
    assert gain == max(part["value"] for part in found.values())


def test_an_advantage_is_paired() -> None:
    gains = advantage({"random": np.array([1.0, 2.0, 3.0]), "better": np.array([0.9, 1.9, 2.9])})
    assert list(gains) == ["better"]
    assert gains["better"].value == pytest.approx(0.1)
    assert gains["better"].low == pytest.approx(0.1)


def test_strategies_of_unequal_cost_are_refused(run: Any, tmp_path: Path) -> None:
    chosen = {"perturb": Perturb(4, 0.2), "more": Perturb(5, 0.2)}
    with pytest.raises(ValueError, match=r"one count for all.*got counts \[4, 5\]"):
        strategies(elsewhere(run, tmp_path), Tracker([]), strategies=chosen, start=3, repeats=2)


def test_races_are_replayed(run: Any, tmp_path: Path) -> None:
    options = Racing(first=20, growth=2, keep=0.1, least=1, risk=0)
    found = racing(elsewhere(run, tmp_path), Tracker([]), racing=options, architectures=8, candidates=(4, 8), repeats=2)
    assert found == 1, "without risk nobody leaves"
    with (tmp_path / "racing.csv").open() as file:
        assert [float(r["images"]) for r in csv.DictReader(file)] == [1.0] * 4
    with pytest.raises(ValueError, match=r"task\.architectures=8"):
        racing(elsewhere(run, tmp_path), Tracker([]), racing=options, architectures=8, candidates=(9,), repeats=2)


def test_halving_drops_the_worse_half() -> None:
    means = torch.tensor([3.0, 1.0, 4.0, 0.0, 5.0, 9.0, 2.0, 6.0])
    table = means[:, None].expand(8, 10).double()
    kept, spent = halving(table, 2, (2, 5, 10))
    assert kept == [3, 1]
    assert spent == (8 * 2 + 4 * 3 + 2 * 5) / 80
    assert recall(table, kept, 2) == 1
    assert recall(table, [3, 5], 2) == 0.5
