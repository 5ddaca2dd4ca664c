"""The first stage: what HyperNets are trained on, their names, and the data of a scorer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.evaluation.tables import SETTLING, read_table
from smash_lightning.hypernet import SharedWeights, load_hypernet
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import BatchStatistics, RecalibratedStatistics, WarmStart
from smash_lightning.search_space import SearchSpace, SizeBalanced, SizeMatched
from smash_lightning.stages import search
from smash_lightning.stages.search import finished, make_scorer, settling, train_hypernet, training_seconds
from smash_lightning.strategies import Random, RankingOptions
from tests.stages.small_run import SEARCH, SPACE, small_experiment

SILENT = Tracker([])
STEPS = 240 // 32
DRAWS: dict[str, SearchSpace] = {
    "space": SPACE,
    "candidates": SizeMatched(SPACE, 0.2),
    "balanced": SizeBalanced(SPACE),
}


@pytest.mark.parametrize("sampling", DRAWS)
def test_a_training_draws_from_the_configured_space(tmp_path: Path, sampling: Any) -> None:
    experiment = small_experiment(tmp_path, search=replace(SEARCH, sampling=sampling))
    experiment = replace(experiment, ranking=replace(experiment.ranking, size_tolerance=0.2))
    experiment.folder.checkpoints.mkdir()
    train_hypernet(experiment, ("hypernet", 0, ()), lambda message: None)
    drawn = load_hypernet(experiment.folder.hypernet(0), SPACE, experiment.data.specification()).drawn
    # This space does not open gradually.
    expected = {DRAWS[sampling].sample(rng(Stream.ARCHITECTURE, 0, step, 0, 0, 0)).fingerprint for step in range(STEPS)}
    assert drawn == expected


def test_a_training_with_another_name_is_no_hypernet_of_the_run(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path)
    other = replace(experiment, hypernet=experiment.hypernet.with_kind(SharedWeights))
    ours, theirs = search(experiment, SILENT), search(other, SILENT, "weight_sharing")
    assert theirs == [experiment.folder.checkpoints / "weight_sharing0.ckpt"]
    assert experiment.folder.hypernets() == ours == [experiment.folder.checkpoints / "hypernet0.ckpt"]
    assert all(finished(path) and training_seconds(path) > 0 for path in (*ours, *theirs))
    one, shared = (load_hypernet(path, SPACE, experiment.data.specification()) for path in (*ours, *theirs))
    assert one.drawn == shared.drawn, "the same architectures in the same order"
    before = theirs[0].read_bytes()
    search(other, SILENT, "weight_sharing")
    assert theirs[0].read_bytes() == before, "what is finished is not trained again"
    assert not experiment.folder.settling.exists(), "no architecture was scored during training"


def test_averages_are_followed_saved_and_scored(tmp_path: Path) -> None:
    ranking = RankingOptions({"random": Random(3)}, RecalibratedStatistics(), 2, 1)
    plain = small_experiment(tmp_path / "plain", ranking=ranking)
    averaged = small_experiment(tmp_path / "averaged", ranking=ranking, search=replace(SEARCH, average=0.9))
    paths = [search(experiment, SILENT)[0] for experiment in (plain, averaged)]
    hypernets = [load_hypernet(path, SPACE, plain.data.specification()) for path in paths]
    fixed = [plain.candidates.sample(rng(Stream.HELD_OUT, 0, index)) for index in range(2)]
    followed = []
    for path, hypernet in zip(paths, hypernets, strict=True):
        scorer = make_scorer(plain.data, ranking, 0, "cpu", [hypernet])
        ((_, losses),) = settling(path)
        assert losses == [scorer(architecture).val_loss for architecture in fixed]
        followed.append(losses)
        table = read_table(path.parent.parent / "settling.csv", SETTLING)
        assert table.to_numpy().tolist() == [[0, 1, a.fingerprint, x] for a, x in zip(fixed, losses, strict=True)]
    assert followed[0] != followed[1]
    assert hypernets[0].drawn == hypernets[1].drawn


def test_a_scorer_has_the_first_training_batches_of_an_order_of_its_own(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path)
    data = experiment.data

    def batches(policy: Any, seed: int) -> Any:
        options = RankingOptions({"random": Random(3)}, policy, 0, 1)
        return make_scorer(data, options, seed, "cpu", []).data.batches

    more = 2 * STEPS + 3  # more than two passes
    expected = []
    for epoch in range(3):
        loader = data.ordered(Stream.SCORE, 4).train_dataloader()
        loader.set_epoch(epoch)
        expected += list(loader)
    found = batches(WarmStart(more), 4)
    assert len(found) == more
    for (images, labels), (its, theirs) in zip(found, expected[:more], strict=True):
        assert torch.equal(images, its)
        assert torch.equal(labels, theirs)
    again = batches(WarmStart(2), 4)
    assert all(torch.equal(images, its) for (images, _), (its, _) in zip(again, found[:2], strict=True))
    assert not torch.equal(batches(WarmStart(1), 5)[0][0], found[0][0]), "another seed, another order"
    assert batches(RecalibratedStatistics(), 4) == batches(BatchStatistics(), 4) == ()
