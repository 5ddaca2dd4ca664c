"""A race over real scores: those of survivors and of others, and that an interrupted race resumes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.random_streams import rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Score, Scorer
from smash_lightning.stages import rank, search
from smash_lightning.stages.rank import hypernets_of
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Random
from smash_lightning.strategies.racing import Racing, run_race
from tests.stages.small_run import SPACE, small_experiment

RACING = Racing(first=20, growth=1.5, keep=0.1, min_keep=2, risk=0.5)
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


def race(
    experiment: Any, scorer: Scorer, path: Path | None = None, racing: Racing = RACING, **options: Any
) -> tuple[list[Score], float]:
    return run_race(racing, POOL, len(experiment.data.validation), 0, experiment.engine, scorer, path, **options)


def test_survivors_have_the_score_of_all_images_and_rank_before_the_others(experiment: Any, scorer: Scorer) -> None:
    scores, share = race(experiment, scorer)
    survivors = [i for i, score in enumerate(scores) if score.images == len(experiment.data.validation)]
    others = [i for i in range(len(POOL)) if i not in survivors]
    assert others, "a race that drops none shows nothing"
    assert share < 1
    for index in survivors:
        whole = scorer(POOL[index])
        assert scores[index].val_loss == pytest.approx(whole.val_loss, rel=1e-6)
        assert scores[index].val_error == pytest.approx(whole.val_error, rel=1e-6)
        assert scores[index].val_losses == pytest.approx(whole.val_losses, rel=1e-6)
    best = sorted(scores[index].val_loss for index in survivors)[1]  # keep = 2 are better than each that was dropped
    assert all(scores[index].val_loss >= best for index in others)


def test_an_interrupted_race_resumes(experiment: Any, scorer: Scorer, tmp_path: Path) -> None:
    scores, share = race(experiment, scorer)
    path, rounds = tmp_path / "race.pt", []

    def stop(share: float) -> None:
        rounds.append(share)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race(experiment, scorer, path, progress=stop)
    resumed: list[float] = []
    again, share_again = race(experiment, scorer, path, progress=resumed.append)
    assert [(s.val_loss, s.val_error, s.images) for s in again] == [(s.val_loss, s.val_error, s.images) for s in scores]
    assert share_again == share
    assert resumed[0] > rounds[-1]


def test_a_race_without_risk_is_plain_scoring_also_after_one_with_risk(
    experiment: Any, scorer: Scorer, tmp_path: Path
) -> None:
    path = tmp_path / "race.pt"
    race(experiment, scorer, path)
    scores, share = race(experiment, scorer, path, replace(RACING, risk=0))
    assert share == 1
    assert [score.val_loss for score in scores] == pytest.approx([scorer(a).val_loss for a in POOL], rel=1e-6)


def test_the_table_has_the_number_of_images(experiment: Any, tmp_path: Path) -> None:
    options = replace(experiment.ranking, strategies={"random": Random(24)}, racing=RACING)
    folder = replace(experiment.folder, path=tmp_path)
    table = rank(replace(experiment, ranking=options, folder=folder, source=experiment.folder.path), Tracker([]))
    images = table["images"].tolist()
    assert len(table) == 24
    assert min(images) < max(images) == len(experiment.data.validation)
    assert images[0] == images[1] == max(images), "the best were scored on all images"
    assert torch.load(tmp_path / "checkpoints" / "race.pt", weights_only=True)["owner"][0] == repr(RACING)
