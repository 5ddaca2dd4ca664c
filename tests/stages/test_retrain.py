"""Which architectures are trained, and what becomes of a training that fails."""

from __future__ import annotations

import math
import os
import random
import signal
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from smash_lightning.evaluation.tables import Retrained, Scored
from smash_lightning.hypernet import load_hypernet
from smash_lightning.random_streams import generator
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages import Experiment, rank, retrain, search
from smash_lightning.stages.retrain import Job, choose, train_network
from smash_lightning.training import RetrainOptions
from tests.stages.small_run import RETRAIN, SPACE, rank_at_random, small_experiment

ROOM = import_module("smash_lightning.stages.retrain")  # its name in the package is that of the task
NOBODY = Tracker([])


def row(name: str, loss: float, strategy: str = "random", parent: str = "") -> Scored:
    return Scored(name, strategy, parent, loss, 10 * loss, loss, 9.0, 60, 1000, 10_000, 5, repr(loss), 0.1)


def options(top: int = 0, spread: int = 0, random: int = 0) -> RetrainOptions:
    return replace(RETRAIN, top=top, stratified=spread, random=random)


POOL = [row(f"r{place:02}", place / 10) for place in range(20)]


def test_the_top_has_one_of_each_family() -> None:
    family = [
        row("child", 0.04, "perturb", "r01"),
        row("grandchild", 0.03, "markov", "child"),
        row("great-grandchild", 0.02, "markov", "grandchild"),
        row("of another", 0.25, "perturb", "r04"),
        row("worse", 0.5, "perturb", "r00"),
    ]
    # Families of r00 (0.0), r01 (0.02 by its descendant), r02 (0.2), r04 (0.25 by its child), r03 (0.3).
    expected = ["r00", "great-grandchild", "r02", "of another", "r03"]
    assert choose(POOL + family, options(shortlist=5), 0) == dict.fromkeys(expected, "shortlist")


def test_the_spread_is_even_over_the_ranking_of_random_candidates() -> None:
    others = [row(f"p{place:02}", place / 100, "perturb", "r00") for place in range(30)]
    assert list(choose(POOL + others, options(stratified=4), 0)) == ["r02", "r07", "r12", "r17"]
    assert list(choose(POOL, options(stratified=20), 0)) == [record.fingerprint for record in POOL]
    assert list(choose(POOL, options(stratified=1), 0)) == ["r10"]


def test_the_random_arm_is_drawn_beside_the_spread() -> None:
    drawn = {seed: choose(POOL, options(stratified=4, random=6), seed) for seed in range(5)}
    for arms in drawn.values():
        assert sorted(arms.values()) == ["random"] * 6 + ["stratified"] * 4
        assert [name for name, arm in arms.items() if arm == "stratified"] == ["r02", "r07", "r12", "r17"]
    assert len({tuple(arms) for arms in drawn.values()}) == 5
    everything = choose(POOL, options(stratified=4, random=16), 0)
    assert sorted(everything) == [record.fingerprint for record in POOL]


def test_one_architecture_may_be_in_several_arms() -> None:
    arms = choose(POOL, options(shortlist=3, stratified=4), 0)
    assert arms == {
        "r00": "shortlist",
        "r01": "shortlist",
        "r02": "shortlist+stratified",
        "r07": "stratified",
        "r12": "stratified",
        "r17": "stratified",
    }


def test_the_order_of_the_table_does_not_matter() -> None:
    shuffled = random.Random(0).sample(POOL, len(POOL))
    assert choose(shuffled, options(3, 4, 5), 1) == choose(POOL, options(3, 4, 5), 1)


@pytest.mark.parametrize(("spread", "others"), [(21, 0), (0, 21), (12, 9)])
def test_more_than_there_are_is_refused(spread: int, others: int) -> None:
    with pytest.raises(
        ValueError, match=rf"retrain.stratified={spread} and retrain.random={others} .* 20 random .*ranking"
    ):
        choose([*POOL, row("p", 0.1, "perturb", "r00")], options(stratified=spread, random=others), 0)


@pytest.mark.parametrize("place", [0, 7, 19])
def test_a_rank_is_a_place_among_the_random_candidates(place: int) -> None:
    others = [row(f"p{number:02}", number / 100, "perturb", "r00") for number in range(30)]
    chosen = replace(options(shortlist=3, stratified=4, random=2), rank=place)
    assert choose(others + POOL, chosen, 0) == {f"r{place:02}": "stratified"}


def test_a_rank_that_is_not_there_is_refused() -> None:
    others = [row("p", 0.1, "perturb", "r00")]
    with pytest.raises(ValueError, match=r"retrain.rank=20 is beyond the 20 random .* places are 0 to 19"):
        choose(POOL + others, replace(options(), rank=20), 0)
    with pytest.raises(ValueError, match=r"retrain.rank must not be negative, as 0 is the best, got -1"):
        replace(options(), rank=-1)


def test_a_training_that_diverges_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, learning_rate=1e9))
    rank_at_random(experiment.folder, 3)
    records = retrain(experiment, NOBODY)
    assert len(records) == 3
    for record in records:
        assert record.failure == "DivergedError: the loss became nan in epoch 0"
        assert math.isnan(record.true_loss)
        assert record.epochs == 0
        assert not experiment.folder.network(record.fingerprint, 0).exists()


def one_dies(experiment: Experiment, job: Job, send: Any) -> Retrained:
    """As `train_network`, but the process of the second training is killed, as for lack of memory."""
    if job.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_network(experiment, job, send)


@pytest.mark.slow
def test_a_training_whose_process_dies_is_recorded_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = small_experiment(tmp_path, workers=2, retrain=replace(RETRAIN, seeds=3, stratified=1))
    rank_at_random(experiment.folder, 3)
    monkeypatch.setattr(ROOM, "train_network", one_dies)
    records = retrain(experiment, NOBODY)
    assert [record.seed for record in records] == [0, 1, 2]
    assert "died with exit code -9" in records[1].failure
    for record in (records[0], records[2]):
        assert record.failure == ""
        assert math.isfinite(record.true_loss)


def test_finished_trainings_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, stratified=2))
    rank_at_random(experiment.folder, 3)
    first = retrain(experiment, NOBODY)
    trained = []

    def train(experiment: Experiment, job: Job, send: Any) -> Retrained:
        trained.append(job.seed)
        return train_network(experiment, job, send)

    monkeypatch.setattr(ROOM, "train_network", train)
    more = replace(experiment, retrain=replace(RETRAIN, stratified=2, seeds=2))
    assert retrain(more, NOBODY)[:2] == first
    assert trained == [1, 1]
    assert not list(experiment.folder.checkpoints.glob("*.unfinished.ckpt"))


def test_a_training_may_begin_with_generated_weights(tmp_path: Path) -> None:
    # Without a learning rate a training ends with the weights that it began with.
    chosen = replace(RETRAIN, stratified=1, seeds=2, start="generated", learning_rate=0.0)
    experiment = small_experiment(tmp_path, retrain=chosen)
    search(experiment, NOBODY)
    scored = {architecture.fingerprint: architecture for architecture in rank_at_random(experiment.folder, 3)}
    records = retrain(experiment, NOBODY)
    architecture = scored[records[0].fingerprint]
    assert [record.failure for record in records] == ["", ""]

    weights = load_hypernet(experiment.folder.hypernet(0), SPACE, experiment.data.specification()).weights
    with torch.no_grad():
        generated = weights(architecture, weights.noise(architecture, generator("score noise", 0)))
    states = [
        torch.load(experiment.folder.network(architecture.fingerprint, seed), weights_only=True)["state_dict"]
        for seed in (0, 1)
    ]
    for name, tensor in generated.items():
        for state in states:
            assert torch.equal(state[f"network.weights.{name}"], tensor), name
    assert sum("pointwise" in name for name in generated) == len(list(architecture.ops()))


def test_generated_weights_need_a_hypernet(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, start="generated"))
    rank_at_random(experiment.folder, 3)
    with pytest.raises(ValueError, match=r"retrain.start=generated needs a HyperNet, and .*checkpoints holds none"):
        retrain(experiment, NOBODY)
    assert not experiment.folder.retrained.exists()


def test_an_unfinished_ranking_is_refused(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, stratified=1))
    rank_at_random(experiment.folder, 2)
    with pytest.raises(ValueError, match=r"has 2 of 3 architectures: complete it first"):
        retrain(experiment, NOBODY)


def test_unfinished_hypernets_are_refused(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path)
    search(experiment, NOBODY)
    more = replace(experiment, search=replace(experiment.search, hypernets=2))
    with pytest.raises(ValueError, match=r"holds 1 of 2 finished HyperNets: complete it with resume="):
        rank(more, NOBODY)
