"""A race over real scores: what survivors and others are given, and that an interrupted one goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.random_streams import rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Scorer
from smash_lightning.stages import race as race_module
from smash_lightning.stages import rank, search
from smash_lightning.stages.race import RaceOutcome, run_race
from smash_lightning.stages.rank import hypernets_of
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Random
from smash_lightning.strategies.racing import Racing
from tests.stages.small_run import SPACE, small_experiment

RACING = Racing(first=20, growth=1.5, keep=0.1, least=2, risk=0.5)
POOL = [SPACE.sample(rng("race", index)) for index in range(24)]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = small_experiment(tmp_path_factory.mktemp("race"))
    made = replace(made, search=replace(made.search, hypernets=2, epochs=6, learning_rate=1e-2))
    search(made, Tracker([]))
    return made


@pytest.fixture(scope="module")
def scorer(experiment: Any) -> Scorer:
    return make_scorer(experiment.data, experiment.ranking, 0, "cpu", hypernets_of(experiment))


def outcome(experiment: Any, scorer: Scorer, path: Path | None = None, racing: Racing = RACING) -> RaceOutcome:
    return run_race(racing, POOL, experiment.data.validation.labels, 0, 1, scorer, path)


def test_survivors_have_the_score_of_all_images_and_rank_before_the_others(experiment: Any, scorer: Scorer) -> None:
    found = outcome(experiment, scorer)
    survivors = [i for i, score in enumerate(found.scores) if score.images == len(experiment.data.validation)]
    others = [i for i in range(len(POOL)) if i not in survivors]
    assert others, "a race that drops nobody shows nothing"
    assert found.spent < 1
    for index in survivors:
        whole = scorer(POOL[index])
        assert found.scores[index].loss == pytest.approx(whole.loss, rel=1e-6)
        assert found.scores[index].error == pytest.approx(whole.error, rel=1e-6)
        assert found.scores[index].loss_by_hypernet == pytest.approx(whole.loss_by_hypernet, rel=1e-6)
    best = sorted(found.scores[index].loss for index in survivors)[1]  # keep = 2 beat whoever left
    assert all(found.scores[index].loss >= best for index in others)


def test_a_race_without_risk_is_plain_scoring(experiment: Any, scorer: Scorer) -> None:
    found = outcome(experiment, scorer, racing=replace(RACING, risk=0))
    assert found.spent == 1
    assert [score.loss for score in found.scores] == pytest.approx([scorer(a).loss for a in POOL], rel=1e-6)


def test_an_interrupted_race_goes_on(
    experiment: Any, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, path, save, saved = outcome(experiment, scorer), tmp_path / "race.pt", race_module._save, []

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(race_module, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        outcome(experiment, scorer, path)
    monkeypatch.undo()
    looked = []
    monkeypatch.setattr(Scorer, "look", lambda self, a, p, look=Scorer.look: looked.append(a) or look(self, a, p))
    again = outcome(experiment, scorer, path)
    assert [(s.loss, s.error, s.images) for s in again.scores] == [(s.loss, s.error, s.images) for s in whole.scores]
    assert again.spent == whole.spent
    whole_looks = len(looked)
    looked.clear()
    outcome(experiment, scorer)
    assert 0 < whole_looks < len(looked)


def test_a_kept_race_of_other_rules_is_not_taken_up(experiment: Any, scorer: Scorer, tmp_path: Path) -> None:
    path = tmp_path / "race.pt"
    outcome(experiment, scorer, path)
    careful = outcome(experiment, scorer, path, replace(RACING, risk=0))
    assert careful.spent == 1


def test_the_table_says_who_was_seen_on_how_many_images(experiment: Any, tmp_path: Path) -> None:
    options = replace(experiment.ranking, strategies={"random": Random(24)}, racing=RACING)
    folder = replace(experiment.folder, path=tmp_path)
    table = rank(replace(experiment, ranking=options, folder=folder, source=experiment.folder.path), Tracker([]))
    images = [row.images for row in table]
    assert len(table) == 24
    assert min(images) < max(images) == len(experiment.data.validation)
    assert images[0] == images[1] == max(images), "those that matter were seen on everything"
    assert torch.load(tmp_path / "checkpoints" / "race.pt", weights_only=True)["belongs"][0] == repr(RACING)
