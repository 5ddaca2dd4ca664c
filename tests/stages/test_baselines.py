"""What baselines are asked, and what becomes of their answers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.baselines import BaselineOptions, Depth, EarlyStopping, RandomScore, SynFlow
from smash_lightning.evaluation.tables import Predicted, Retrained, read_records, write_records
from smash_lightning.hypernet import SharedWeights, UnconditionalHyperNet, load_hypernet
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics, WarmStart
from smash_lightning.stages import Experiment, baselines, correlate, search
from smash_lightning.stages.baselines import baseline_context, images_per_candidate
from smash_lightning.stages.search import make_scorer, training_seconds
from smash_lightning.strategies import Random, RankingOptions
from tests.plugins import Broken, Dilation, NotANumber, Undefined
from tests.stages.small_run import SEARCH, SPACE, rank_at_random, small_experiment

NOBODY = Tracker([])
COUNT = 6
CHEAP = {"depth": Depth(), "synflow": SynFlow(), "mine": Dilation(0.5)}


def trained(folder: Path, baselines: BaselineOptions, **changes: Any) -> Experiment:
    """A run whose architectures have made-up true losses; the last one of the ranking was not trained."""
    experiment = small_experiment(folder, baselines=baselines, **changes)
    names = [architecture.fingerprint for architecture in rank_at_random(experiment.folder, COUNT + 1)][:COUNT]
    rows = [
        Retrained(name, seed, "stratified", 3.0, 0.1 * place + 0.01 * seed, 1, 1.0, "")
        for seed in range(2)
        for place, name in enumerate(names)
    ]
    write_records(experiment.folder.retrained, rows, Retrained)
    return experiment


def names(experiment: Experiment) -> list[str]:
    return list(experiment.folder.read_architectures())[:COUNT]


def answers(rows: list[Predicted]) -> dict[tuple[str, str], float]:
    return {(row.baseline, row.fingerprint): row.value for row in rows}


def test_every_rival_answers_for_every_architecture_that_was_trained(tmp_path: Path) -> None:
    experiment = trained(tmp_path, BaselineOptions(CHEAP | {"left_out": None}, ("untrained",), 8))
    rows = baselines(experiment, NOBODY)
    assert rows == read_records(experiment.folder.baselines, Predicted)
    wanted = [(baseline, name) for baseline in (*CHEAP, "untrained") for name in names(experiment)]
    assert [(row.baseline, row.fingerprint) for row in rows] == wanted
    architectures = experiment.folder.read_architectures()
    for row in rows:
        assert row.seconds > 0
        assert row.training_seconds == 0
        if row.baseline in CHEAP:
            expected = CHEAP[row.baseline].predict(architectures[row.fingerprint], baseline_context(experiment))
            assert row.value == pytest.approx(expected, rel=1e-6)


def test_other_sources_of_weights_are_trained_and_scored_as_the_hypernets_are(tmp_path: Path) -> None:
    kinds = ("weight_sharing", "unconditional")
    options = RankingOptions({"random": Random(3)}, RecalibratedStatistics(), 0, 1, noises=2)
    experiment = trained(tmp_path, BaselineOptions({}, kinds, 8), ranking=options, search=replace(SEARCH, hypernets=2))
    search(experiment, NOBODY)
    rows = baselines(experiment, NOBODY)
    specification, drawn = experiment.data.specification(), {}
    for kind, name in zip((SharedWeights, UnconditionalHyperNet), kinds, strict=True):
        paths = [experiment.folder.hypernet(index, name) for index in range(2)]
        hypernets = [load_hypernet(path, SPACE, specification) for path in paths]
        drawn[name] = [hypernet.drawn for hypernet in hypernets]
        saved = [torch.load(path, weights_only=True)["smash"] for path in paths]
        assert all(type(hypernet.weights) is kind for hypernet in hypernets)
        assert [one["seed"] for one in saved] == [0, 1]
        scorer = make_scorer(experiment.data, options, 0, "cpu", hypernets)
        architectures = experiment.folder.read_architectures()
        mine = [row for row in rows if row.baseline == name]
        assert len(mine) == COUNT
        for row in mine:
            assert row.value == pytest.approx(scorer(architectures[row.fingerprint]).val_loss, rel=1e-6)
            assert row.training_seconds == sum(training_seconds(path) for path in paths) > 0
    ours = [load_hypernet(path, SPACE, specification).drawn for path in experiment.folder.hypernets()]
    assert len(ours) == 2
    assert drawn == {"weight_sharing": ours, "unconditional": ours}


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    some = trained(tmp_path / "broken", BaselineOptions({"depth": Depth()}, (), 8))
    first = baselines(some, NOBODY)
    everything = BaselineOptions(CHEAP | {"chance": RandomScore()}, ("untrained",), 8)
    # Interrupted while the last answer was written.
    table = some.folder.baselines
    table.write_text(table.read_text()[:-5])
    finished = baselines(replace(some, baselines=everything), NOBODY)
    assert finished[: COUNT - 1] == first[: COUNT - 1], "seconds included"
    whole = baselines(trained(tmp_path / "whole", everything), NOBODY)
    assert [(row.baseline, row.fingerprint) for row in finished] == [(row.baseline, row.fingerprint) for row in whole]
    assert len(answers(finished)) == len(finished)
    assert answers(finished) == answers(whole)
    before = table.read_text()
    assert baselines(replace(some, baselines=everything), NOBODY) == finished
    assert table.read_text() == before


def test_an_earlier_run_is_asked_about_in_a_folder_of_its_own(tmp_path: Path) -> None:
    earlier = trained(tmp_path / "earlier", BaselineOptions(CHEAP, (), 8))
    expected = answers(baselines(earlier, NOBODY))
    before = {path: path.read_bytes() for path in earlier.folder.path.rglob("*") if path.is_file()}
    later = small_experiment(tmp_path / "later", source=earlier.folder.path, baselines=BaselineOptions(CHEAP, (), 8))
    assert answers(baselines(later, NOBODY)) == expected
    assert {path: path.read_bytes() for path in earlier.folder.path.rglob("*") if path.is_file()} == before
    for name in ("ranking.csv", "retrained.csv"):
        assert (later.folder.path / name).read_text() == (earlier.folder.path / name).read_text()


def test_an_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    experiment = trained(tmp_path, BaselineOptions({"depth": Depth(), "speechless": NotANumber()}, (), 8))
    message = r"^baseline speechless, architecture [0-9a-f]{16}: ValueError: it answered NaN, .* let it answer inf"
    with pytest.raises(RuntimeError, match=message):
        baselines(experiment, NOBODY)
    kept = read_records(experiment.folder.baselines, Predicted)
    assert [row.baseline for row in kept] == ["depth"] * COUNT, "what was answered before stays"
    # Without it the run is continued.
    baselines(replace(experiment, baselines=BaselineOptions({"depth": Depth()}, (), 8)), NOBODY)


def test_a_rival_that_fails_is_named(tmp_path: Path) -> None:
    experiment = trained(tmp_path, BaselineOptions({"mine": Broken()}, (), 8))
    with pytest.raises(RuntimeError, match=r"^baseline mine, architecture [0-9a-f]{16}: KeyError: 'no such layer'"):
        baselines(experiment, NOBODY)


def test_nothing_known_of_some_is_an_answer(tmp_path: Path) -> None:
    experiment = trained(tmp_path, BaselineOptions({"mine": Undefined()}, (), 8))
    values = [row.value for row in baselines(experiment, NOBODY)]
    assert set(values) == {0.0, math.inf}


def test_nothing_is_asked_before_anything_was_trained(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path)
    rank_at_random(experiment.folder, 3)
    with pytest.raises(ValueError, match=rf"^nothing was retrained in {tmp_path}: name a run with trainings"):
        baselines(experiment, NOBODY)


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


def test_a_setting_has_training_images_and_a_seed_that_no_training_has(tmp_path: Path) -> None:
    experiment = trained(
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
    experiment = trained(tmp_path, BaselineOptions({"early_stopping": EarlyStopping(None)}, (), 8))
    given = baseline_context(experiment)
    steps = math.ceil(given.images_per_candidate / 32)
    architectures = experiment.folder.read_architectures()
    for row in baselines(experiment, NOBODY)[:2]:
        expected = EarlyStopping(steps).predict(architectures[row.fingerprint], given)
        assert row.value == pytest.approx(expected, rel=1e-5)
        assert row.value != pytest.approx(
            EarlyStopping(steps + 1).predict(architectures[row.fingerprint], given), rel=1e-4
        )


# --- what becomes of the answers ---


def test_every_rival_is_in_the_correlation(tmp_path: Path) -> None:
    experiment = trained(tmp_path, BaselineOptions(CHEAP, ("untrained",), 8))
    baselines(experiment, NOBODY)
    correlate(experiment, NOBODY)
    contest = json.loads((tmp_path / "correlation.json").read_text())["contest"]
    assert {*CHEAP, "untrained", "params", "macs", "ops", "smash_score"} <= set(contest["predictors"])
    assert contest["predictors"]["mine"]["seconds"] > 0
    assert contest["predictors"]["mine"]["training_seconds"] == 0
    assert contest["predictors"]["smash_score"]["training_seconds"] is None, "no HyperNet is at hand"


# --- options ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"one_shot": ("weight_shring",)}, r"baselines\.one_shot must be of weight_sharing, .*, got 'weight_shring'"),
        ({"images": 1}, r"baselines\.images must be at least 2, got 1"),
    ],
)
def test_options_that_make_no_sense_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(BaselineOptions({}, (), 8), **change)


@pytest.mark.parametrize("name", ["untrained", "params", "val_loss", "smash_score"])
def test_a_name_that_is_taken_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"baselines\.baselines\.{name}: .* another name"):
        small_experiment(tmp_path, baselines=BaselineOptions({name: Depth()}, ("untrained",), 8))
