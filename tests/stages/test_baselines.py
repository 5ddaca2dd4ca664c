"""What the stage of the baselines computes, keeps and refuses."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from smash_lightning.baselines import BaselineOptions, Depth, EarlyStopping, RandomScore, SynFlow
from smash_lightning.evaluation.tables import BASELINES, RETRAINED, read_table, write_table
from smash_lightning.hypernet import (
    ConditionalHyperNet,
    HyperNetSpecification,
    SharedWeights,
    UnconditionalHyperNet,
    load_hypernet,
)
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics, WarmStart
from smash_lightning.stages import Experiment, baselines, search
from smash_lightning.stages.baselines import baseline_context, images_per_candidate
from smash_lightning.stages.search import make_scorer, training_seconds
from smash_lightning.strategies import Random, RankingOptions
from tests.plugins import Broken, NotANumber, Undefined
from tests.stages.small_run import SEARCH, SPACE, rank_at_random, small_experiment, trained

SILENT = Tracker([])
COUNT = 6
CHEAP = {"depth": Depth(), "synflow": SynFlow()}


def run_of(folder: Path, baselines: BaselineOptions, **changes: Any) -> Experiment:
    """A run with invented test losses; the last architecture of the ranking was not trained."""
    experiment = small_experiment(folder, baselines=baselines, **changes)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, COUNT + 1)][:COUNT]
    rows = [trained(name, seed, 0.1 * place) for seed in range(2) for place, name in enumerate(names)]
    write_table(experiment.folder.retrained, RETRAINED, rows)
    return experiment


def names(experiment: Experiment) -> list[str]:
    return list(experiment.folder.read_architectures())[:COUNT]


def keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["baseline"], table["fingerprint"], strict=True))


def predictions(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    return dict(zip(keys(table), table["prediction"], strict=True))


def test_every_baseline_is_computed_for_every_architecture_that_was_retrained(tmp_path: Path) -> None:
    experiment = run_of(tmp_path, BaselineOptions(CHEAP | {"left_out": None}, ("untrained",), 8))
    table = baselines(experiment, SILENT)
    pd.testing.assert_frame_equal(table, read_table(experiment.folder.baselines, BASELINES))
    assert keys(table) == [(baseline, name) for baseline in (*CHEAP, "untrained") for name in names(experiment)]
    assert (table["seconds"] > 0).all()
    assert (table["training_seconds"] == 0).all()
    architectures = experiment.folder.read_architectures()
    for (baseline, name), prediction in predictions(table).items():
        if baseline in CHEAP:
            expected = CHEAP[baseline].predict(architectures[name], baseline_context(experiment))
            assert prediction == pytest.approx(expected, rel=1e-6)


def test_other_sources_of_weights_are_trained_and_scored_as_the_hypernets_are(tmp_path: Path) -> None:
    kinds = {"weight_sharing": SharedWeights, "unconditional": UnconditionalHyperNet}
    options = RankingOptions({"random": Random(3)}, RecalibratedStatistics(), 0, 1, noises=2)
    given = BaselineOptions({}, tuple(kinds), 8)  # type: ignore[arg-type]
    experiment = run_of(tmp_path, given, ranking=options, search=replace(SEARCH, hypernets=2))
    search(experiment, SILENT)
    table = baselines(experiment, SILENT)
    specification, architectures = experiment.data.specification(), experiment.folder.read_architectures()
    ours = [load_hypernet(path, SPACE, specification).drawn for path in experiment.folder.hypernets()]
    assert len(ours) == 2
    for name, kind in kinds.items():
        paths = [experiment.folder.hypernet(index, name) for index in range(2)]
        hypernets = [load_hypernet(path, SPACE, specification) for path in paths]
        assert all(type(hypernet.weights) is kind for hypernet in hypernets)
        assert [torch.load(path, weights_only=True)["smash"]["seed"] for path in paths] == [0, 1]
        assert [hypernet.drawn for hypernet in hypernets] == ours
        scorer = make_scorer(experiment.data, options, 0, "cpu", hypernets)
        rows = table[table["baseline"] == name]
        assert len(rows) == COUNT
        expected = [scorer(architectures[fingerprint]).val_loss for fingerprint in rows["fingerprint"]]
        assert rows["prediction"].tolist() == pytest.approx(expected, rel=1e-6)
        assert set(rows["training_seconds"]) == {sum(training_seconds(path) for path in paths)} != {0.0}


def test_hypernets_among_the_baselines_have_the_size_of_the_run_or_one_of_their_own(tmp_path: Path) -> None:
    sizes = {}
    for name, kind, options in (
        ("own", ConditionalHyperNet, {}),
        ("given", SharedWeights, {"depths": [2, 1], "growth": 4}),
        ("default", SharedWeights, {}),
    ):
        hypernet = HyperNetSpecification.of(kind, **({"depths": [2, 1], "growth": 4} if name == "own" else {}))
        given = BaselineOptions({}, ("unconditional", "untrained"), 8, hypernet=options)
        experiment = run_of(tmp_path / name, given, hypernet=hypernet)
        baselines(experiment, SILENT)
        saved = torch.load(experiment.folder.hypernet(0, "unconditional"), weights_only=True)["smash"]["hypernet"]
        sizes[name] = saved["options"]
    assert sizes["own"] == sizes["given"] == {"depths": [2, 1], "growth": 4}
    assert sizes["default"] == {}
    wrong = BaselineOptions({}, ("untrained",), 8, hypernet={"grwth": 4})
    with pytest.raises(ValueError, match=r"baselines\.hypernet\.grwth: there is no such value"):
        baselines(run_of(tmp_path / "wrong", wrong), SILENT)


def test_existing_predictions_are_kept(tmp_path: Path) -> None:
    some = run_of(tmp_path / "broken", BaselineOptions({"depth": Depth()}, (), 8))
    first = baselines(some, SILENT)
    everything = BaselineOptions(CHEAP | {"random_score": RandomScore()}, ("untrained",), 8)
    path = some.folder.baselines
    path.write_text(path.read_text()[:-5])  # interrupted while the last row was written
    finished = baselines(replace(some, baselines=everything), SILENT)
    pd.testing.assert_frame_equal(finished[: COUNT - 1], first[: COUNT - 1])  # seconds included
    whole = baselines(run_of(tmp_path / "whole", everything), SILENT)
    assert keys(finished) == keys(whole)
    assert predictions(finished) == predictions(whole)
    before = path.read_text()
    pd.testing.assert_frame_equal(baselines(replace(some, baselines=everything), SILENT), finished)
    assert path.read_text() == before


def test_a_baseline_that_fails_is_named_and_earlier_predictions_are_kept(tmp_path: Path) -> None:
    experiment = run_of(tmp_path, BaselineOptions({"infinite": Undefined(), "nothing": NotANumber()}, (), 8))
    message = r"^baseline nothing, architecture [0-9a-f]{16}: ValueError: the prediction is NaN, .* return inf"
    with pytest.raises(RuntimeError, match=message):
        baselines(experiment, SILENT)
    kept = read_table(experiment.folder.baselines, BASELINES)
    assert kept["baseline"].tolist() == ["infinite"] * COUNT
    assert set(kept["prediction"]) == {0.0, math.inf}
    broken = replace(experiment, baselines=BaselineOptions({"infinite": Undefined(), "mine": Broken()}, (), 8))
    with pytest.raises(RuntimeError, match=r"^baseline mine, architecture [0-9a-f]{16}: KeyError: 'no such layer'"):
        baselines(broken, SILENT)


# --- what baselines may use ---


def test_images_per_candidate_by_hand(tmp_path: Path) -> None:
    """240 training images in batches of 32, 60 for validation, 64 to recalibrate with."""
    experiment = small_experiment(tmp_path)
    # Seven steps of 32 images, shared by ten candidates; and 124 images looked at, a third each.
    assert images_per_candidate(experiment, 10) == pytest.approx(7 * 32 / 10 + 124 / 3)
    longer = replace(experiment, search=replace(SEARCH, epochs=5, hypernets=3, architectures_per_step=2))
    assert images_per_candidate(longer, 10) == pytest.approx(3 * (5 * 7 * 2 * 32 / 10 + 124 / 3))
    warm = RankingOptions({"random": Random(3)}, WarmStart(4), 0, 1, noises=2)
    found = images_per_candidate(replace(experiment, ranking=warm), 10)
    assert found == pytest.approx(7 * 32 / 10 + 2 * 4 * 32 + 2 * 124 / 3)


def test_the_context_has_training_images_and_a_seed_that_no_training_has(tmp_path: Path) -> None:
    experiment = run_of(
        tmp_path, BaselineOptions({}, (), 8), retrain=replace(small_experiment(tmp_path).retrain, seeds=9)
    )
    given = baseline_context(
        replace(experiment, retrain=replace(experiment.retrain, use_validation=True, start="generated"))
    )
    assert given.images.shape == (8, 1, 8, 8)
    whole = experiment.data.normalised(experiment.data.train)
    places = [(whole.images == image).flatten(1).all(1).nonzero()[0].item() for image in given.images]
    assert whole.labels[torch.tensor(places)].tolist() == given.labels.tolist()
    assert len(set(places)) == 8
    assert given.seed not in {experiment.seed_of(index) for index in range(9)}
    assert (given.retrain.use_validation, given.retrain.start) == (False, "random")
    assert given.images_per_candidate == images_per_candidate(experiment, COUNT + 1)
    other = baseline_context(replace(experiment, seed=1))
    assert not torch.equal(other.images, given.images)
    assert other.seed != given.seed


def test_early_stopping_spends_what_a_score_costs(tmp_path: Path) -> None:
    experiment = run_of(tmp_path, BaselineOptions({"early_stopping": EarlyStopping(None)}, (), 8))
    given = baseline_context(experiment)
    steps = math.ceil(given.images_per_candidate / 32)
    architectures = experiment.folder.read_architectures()
    for row in baselines(experiment, SILENT)[:2].itertuples():
        architecture = architectures[row.fingerprint]
        assert row.prediction == pytest.approx(EarlyStopping(steps).predict(architecture, given), rel=1e-5)
        assert row.prediction != pytest.approx(EarlyStopping(steps + 1).predict(architecture, given), rel=1e-4)


# --- options ---


@pytest.mark.parametrize("name", ["untrained", "params", "val_loss", "smash_score"])
def test_a_name_that_is_taken_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"baselines\.baselines\.{name}: .* another name"):
        small_experiment(tmp_path, baselines=BaselineOptions({name: Depth()}, ("untrained",), 8))
