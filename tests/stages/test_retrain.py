"""Which architectures are trained, and what is recorded of a training that fails."""

import math
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import pytest
import torch

from smash_lightning.architecture import ImageSpec
from smash_lightning.engine import Local
from smash_lightning.evaluation.tables import HISTORY, RANKING, read_retrained, read_table, write_table
from smash_lightning.files import storage_message
from smash_lightning.hypernet import load_hypernet
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages import Experiment, retrain, search
from smash_lightning.stages.retrain import Job, Trained, train_networks
from smash_lightning.stages.selection import choose
from smash_lightning.training import GracefulStop, RetrainOptions, networks_side_by_side
from tests.stages.small_run import RETRAIN, SPACE, rank_at_random, small_data, small_experiment

ROOM = import_module("smash_lightning.stages.retrain")  # in the package the function has this name
SILENT = Tracker([])


def row(name: str, loss: float, strategy: str = "random", parent: str = "") -> dict[str, Any]:
    sizes = {"params": 1000, "macs": 10_000, "ops": 5}
    scores = {"smash_score": loss, "val_error": 10 * loss, "val_loss": loss}
    return {"fingerprint": name, "strategy": strategy, "parent": parent, **scores, **sizes}


def chosen(rows: list[dict[str, Any]], options: RetrainOptions, seed: int = 0) -> dict[str, set[str]]:
    table = pd.DataFrame(rows, columns=[*RANKING.columns]).sort_values("smash_score", kind="stable")
    return choose(table, options, seed)


def options(shortlist: int = 0, stratified: int = 0, random: int = 0, rank: int | None = None) -> RetrainOptions:
    return replace(RETRAIN, shortlist=shortlist, stratified=stratified, random=random, rank=rank)


POOL = [row(f"r{place:02}", place / 10) for place in range(20)]
OTHERS = [row(f"p{place:02}", place / 100, "perturb", "r00") for place in range(30)]


def test_the_shortlist_has_one_of_each_family() -> None:
    family = [
        row("child", 0.04, "perturb", "r01"),
        row("grandchild", 0.03, "markov", "child"),
        row("great-grandchild", 0.02, "markov", "grandchild"),
        row("of another", 0.25, "perturb", "r04"),
        row("worse", 0.5, "perturb", "r00"),
    ]
    # Families of r00 (0.0), r01 (0.02 by its descendant), r02 (0.2), r04 (0.25 by its child), r03 (0.3).
    expected = ["r00", "great-grandchild", "r02", "of another", "r03"]
    found = chosen(POOL + family, options(shortlist=5))
    assert found == {name: {"shortlist"} for name in expected}
    assert list(found) == expected


def test_parents_in_a_circle_are_refused() -> None:
    circle = [row("one", 0.01, "markov", "two"), row("two", 0.02, "markov", "one")]
    with pytest.raises(ValueError, match="architecture one of the ranking descends from itself"):
        chosen([*circle, *POOL], options(shortlist=1))


def test_the_stratified_group_is_even_over_the_ranking_of_random_candidates() -> None:
    assert list(chosen(POOL + OTHERS, options(stratified=4))) == ["r02", "r07", "r12", "r17"]
    assert list(chosen(POOL, options(stratified=20))) == [record["fingerprint"] for record in POOL]
    both = chosen(POOL, options(shortlist=3, stratified=4))
    assert both["r02"] == {"shortlist", "stratified"}
    assert list(both) == ["r00", "r01", "r02", "r07", "r12", "r17"]


def test_the_random_group_is_drawn_from_the_rest() -> None:
    drawn = {seed: chosen(POOL, options(stratified=4, random=6), seed) for seed in range(5)}
    for groups in drawn.values():
        assert [name for name, of in groups.items() if of == {"stratified"}] == ["r02", "r07", "r12", "r17"]
        assert [of for of in groups.values()].count({"random"}) == 6
        assert len(groups) == 10
    assert len({tuple(groups) for groups in drawn.values()}) == 5


@pytest.mark.parametrize(("stratified", "others"), [(21, 0), (0, 21), (12, 9)])
def test_more_than_there_are_is_refused(stratified: int, others: int) -> None:
    message = rf"retrain.stratified={stratified} and retrain.random={others} .* 20 random .*ranking"
    with pytest.raises(ValueError, match=message):
        chosen([*POOL, *OTHERS], options(stratified=stratified, random=others))


@pytest.mark.parametrize("place", [0, 7, 19])
def test_a_rank_is_a_position_among_the_random_candidates(place: int) -> None:
    assert chosen(OTHERS + POOL, options(3, 4, 2, rank=place)) == {f"r{place:02}": {"stratified"}}


def test_a_rank_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"retrain.rank=20 is beyond the 20 random .* ranks are 0 to 19"):
        chosen(POOL + OTHERS, options(rank=20))


def ranked(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> Experiment:
    """An experiment with three ranked architectures, one of which is trained with one seed by default."""
    retraining = replace(RETRAIN, **{"stratified": 1} | options)
    experiment = small_experiment(folder, **{"retrain": retraining} | (changes or {}))
    rank_at_random(experiment.folder, 3)
    return experiment


def call_first(monkeypatch: pytest.MonkeyPatch, before: Callable[[Job], None]) -> None:
    """Lets `before` see each job, or fail, before it is trained."""

    def train(experiment: Experiment, job: Job, send: Any) -> Any:
        before(job)
        return train_networks(experiment, job, send)

    monkeypatch.setattr(ROOM, "train_networks", train)


class Broken(L.Callback):
    """Without it a test would have a finite loss."""

    def on_test_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        next(module.parameters()).data.fill_(math.nan)


@pytest.mark.parametrize(
    ("learning_rate", "callbacks", "reason"),
    [(1e9, [], "the loss became nan in epoch 0"), (RETRAIN.learning_rate, [Broken], "the test loss is nan")],
)
def test_a_training_that_diverges_is_recorded_and_the_others_continue(
    tmp_path: Path, learning_rate: float, callbacks: list[Any], reason: str
) -> None:
    experiment = ranked(tmp_path, {"callbacks": callbacks}, stratified=3, learning_rate=learning_rate)
    table = retrain(experiment, SILENT)
    assert table["failure"].tolist() == [f"DivergedError: {reason}"] * 3
    assert table[["true_loss", "true_error", "true_error_top5"]].isna().all(axis=None)
    assert (table["epochs"] == 0).all()
    assert (table[["shortlist", "stratified", "random", "preset"]].to_numpy() == [0, 1, 0, 0]).all()
    assert not any(experiment.folder.network(name, 0).exists() for name in table["fingerprint"])


def one_dies(experiment: Experiment, job: Job, send: Any) -> Trained:
    """As `train_networks`, but the process of the second training is killed, as for lack of memory."""
    if 1 in job.seeds:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_networks(experiment, job, send)


def test_a_training_whose_process_dies_is_tried_again_by_a_resumed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = ranked(tmp_path, {"engine": Local(2, retries=0)}, seeds=3)
    monkeypatch.setattr(ROOM, "train_networks", one_dies)
    table = retrain(experiment, SILENT)
    assert table["seed"].tolist() == [0, 1, 2]
    assert "died 1 times" in table["failure"][1]
    assert (table["failure"] == "").tolist() == table["true_loss"].notna().tolist() == [True, False, True]
    monkeypatch.setattr(ROOM, "train_networks", train_networks)
    again = retrain(experiment, SILENT)
    assert again["failure"].tolist() == ["", "", ""]
    assert again.loc[[0, 2]].equals(table.loc[[0, 2]]), "what was finished was repeated"


class Raises(L.Callback):
    """Raises an error at the first step."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_train_batch_start(self, *rest: Any) -> None:
        raise self.error


def test_only_errors_of_the_computation_are_rows(tmp_path: Path) -> None:
    experiment = ranked(tmp_path)

    def failing(error: Exception) -> str:
        return str(retrain(replace(experiment, callbacks=[partial(Raises, error)]), SILENT)["failure"][0])

    assert failing(RuntimeError("CUDA error: unspecified launch failure")).startswith("by its machine: RuntimeError:")
    assert failing(MemoryError()) == "for lack of memory: MemoryError:"
    assert failing(RuntimeError("shapes\ndiffer")) == "RuntimeError: shapes differ"
    experiment.folder.retrained.unlink()
    with pytest.raises(RuntimeError, match=r"training .*: KeyError: 'no such callback'"):
        retrain(replace(experiment, callbacks=[lambda: {}["no such callback"]]), SILENT)
    assert read_retrained(experiment.folder).empty


def test_a_seed_that_diverges_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(step: int) -> Any:
        class Broken(L.Callback):
            def on_train_batch_end(self, trainer: L.Trainer, module: Any, *args: Any) -> None:
                if trainer.global_step == step:
                    with torch.no_grad():
                        module.network.weights.get_parameter("stem.weight").chunk(3)[1].fill_(math.nan)

        return Broken

    whole, other = (ranked(tmp_path / name, seeds=3, epochs=3) for name in ("whole", "broken"))
    expected, found = retrain(whole, SILENT), retrain(replace(other, callbacks=[broken(9)]), SILENT)
    assert found["failure"].tolist() == ["", "DivergedError: the loss became nan in epoch 1", ""]
    drop = ["seconds", "failure"]
    assert found.drop(columns=drop).loc[[0, 2]].equals(expected.drop(columns=drop).loc[[0, 2]])
    assert math.isnan(found["true_loss"][1])
    assert len(list(other.folder.checkpoints.glob("*.ckpt"))) == 2
    history = read_table(other.folder.training_history, HISTORY)
    assert history["seed"].value_counts().to_dict() == {0: 3, 1: 1, 2: 3}


@pytest.mark.parametrize(
    ("size", "device", "expected"),
    [
        ((8, 8), "cpu", None),
        ((16, 16), "cpu", None),
        ((32, 32), "cpu", 1),
        ((8, 8, 8), "cpu", 1),
        ((32, 32), "cuda", None),
        ((96, 96), "cuda", 1),
    ],
)
def test_small_images_are_trained_side_by_side(size: tuple[int, ...], device: str, expected: int | None) -> None:
    assert networks_side_by_side(ImageSpec(3, size, 10), device) == expected


def test_seeds_that_are_not_trained_together_are_trained_for_all_architectures_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[tuple[str, tuple[int, ...]]] = []
    experiment = ranked(tmp_path, seeds=3, stratified=2)
    call_first(monkeypatch, lambda job: jobs.append((job.architecture.fingerprint, job.seeds)))
    monkeypatch.setattr(ROOM, "networks_side_by_side", lambda *_: 2)
    table = retrain(experiment, SILENT)
    first, second = table["fingerprint"][:2]
    assert jobs == [(first, (0, 1)), (second, (0, 1)), (first, (2,)), (second, (2,))]
    assert table["seed"].tolist() == [0, 0, 1, 1, 2, 2]


def test_seeds_that_lack_memory_together_are_trained_one_after_another_and_those_that_lack_it_alone_on_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def before(job: Job) -> None:
        tried.append(job.seeds)
        if len(job.seeds) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if job.seeds == (1,):
            raise MemoryError

    experiment = ranked(tmp_path, seeds=3)
    call_first(monkeypatch, before)
    assert retrain(experiment, SILENT)["failure"].tolist() == ["", "for lack of memory: MemoryError:", ""]
    assert [seeds for seeds, _ in groupby(tried)] == [(0, 1, 2), (0,), (1,), (2,), (1,)]
    monkeypatch.setattr(ROOM, "train_networks", train_networks)
    assert retrain(experiment, SILENT)["failure"].tolist() == ["", "", ""]


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # checkpoints exceed the size limit of a file, and rows do not
    whole, full = (ranked(tmp_path / name, seeds=2) for name in ("whole", "full"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            retrain(full, SILENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    full.folder.config.touch()
    remedy = f"make room, then continue with resume={full.folder.path}"
    message = rf"{full.folder.checkpoints}/\w+-0.ckpt: File too large: {remedy}"
    assert re.fullmatch(message, storage_message(raised.value, full.folder.path))
    assert read_retrained(full.folder).empty, "a failure was recorded"
    resumed, undisturbed = (retrain(experiment, SILENT).drop(columns="seconds") for experiment in (full, whole))
    assert resumed.equals(undisturbed)


class DiskFull(L.Callback):
    """Saves the training at a step, as after a request to stop, and then fails as a disk without room does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            stop = next(callback for callback in trainer.callbacks if isinstance(callback, GracefulStop))
            trainer.save_checkpoint(stop.path)
            raise OSError("no room")


@pytest.mark.parametrize("step", [3, 7, 10, 14])  # of 14, seven of which are an epoch
def test_seeds_that_were_stopped_continue_to_the_same_bits(tmp_path: Path, step: int) -> None:
    stopped, whole = (ranked(tmp_path / name, seeds=3, epochs=2) for name in ("stopped", "whole"))
    with pytest.raises(OSError, match="no room"):
        retrain(replace(stopped, callbacks=[partial(DiskFull, step)]), SILENT)
    resumed, undisturbed = (retrain(experiment, SILENT).drop(columns="seconds") for experiment in (stopped, whole))
    assert resumed.equals(undisturbed)
    histories = [read_table(experiment.folder.training_history, HISTORY) for experiment in (stopped, whole)]
    assert histories[0].equals(histories[1])
    assert histories[0][["seed", "step"]].to_numpy().tolist() == [[seed, at] for seed in range(3) for at in (7, 14)]
    for seed, name in enumerate(undisturbed["fingerprint"]):
        networks = [torch.load(each.folder.network(name, seed))["state_dict"] for each in (stopped, whole)]
        assert all(torch.equal(networks[0][key], tensor) for key, tensor in networks[1].items())
    assert not list(stopped.folder.checkpoints.glob("*.unfinished.ckpt"))


def test_a_training_continues_on_the_same_data_only(tmp_path: Path) -> None:
    experiment = ranked(tmp_path)
    with pytest.raises(OSError, match="no room"):
        retrain(replace(experiment, callbacks=[partial(DiskFull, 3)]), SILENT)
    experiment.folder.data.unlink()
    other = replace(experiment, data=small_data(test=1498))
    reason = r"the checkpoint to resume from belongs to another data set or split: train was .*; validation.*; test"
    assert re.search(reason, retrain(other, SILENT)["failure"][0])


def test_finished_trainings_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = ranked(tmp_path, stratified=2)
    first = retrain(experiment, SILENT)
    assert set(first["true_error_top5"] <= first["true_error"]) == {True}
    # An unknown column is kept.
    write_table(experiment.folder.retrained, ROOM.RETRAINED, first.assign(mine=[3, 4]))
    trained: list[tuple[int, ...]] = []
    call_first(monkeypatch, lambda job: trained.append(job.seeds))
    again = retrain(replace(experiment, retrain=replace(RETRAIN, stratified=2, seeds=2)), SILENT)
    pd.testing.assert_frame_equal(again[:2][[*first]], first)
    assert again["mine"].tolist()[:2] == [3, 4]
    assert trained == [(1,), (1,)]
    assert not list(experiment.folder.checkpoints.glob("*.unfinished.ckpt"))


def test_a_training_may_start_from_generated_weights(tmp_path: Path) -> None:
    # Without a learning rate a training ends with the weights from which it started.
    started = replace(RETRAIN, stratified=1, seeds=2, start="generated", learning_rate=0.0)
    experiment = small_experiment(tmp_path, retrain=started)
    search(experiment, SILENT)
    scored = {architecture.fingerprint: architecture for architecture in rank_at_random(experiment.folder, 3)}
    table = retrain(experiment, SILENT)
    architecture = scored[table["fingerprint"][0]]
    assert table["failure"].tolist() == ["", ""]

    weights = load_hypernet(experiment.folder.hypernet(0), SPACE, experiment.data.specification()).weights
    with torch.no_grad():
        generated = weights(architecture, weights.noise(architecture, generator(Stream.SCORE_NOISE, 0)))
    paths = [experiment.folder.network(architecture.fingerprint, seed) for seed in (0, 1)]
    states = [torch.load(path, weights_only=True)["state_dict"] for path in paths]
    for name, tensor in generated.items():
        for state in states:
            assert torch.equal(state[f"network.weights.{name}"], tensor), name
    assert sum("pointwise" in name for name in generated) == len(list(architecture.ops()))


def test_generated_weights_need_a_hypernet(tmp_path: Path) -> None:
    experiment = ranked(tmp_path, start="generated")
    with pytest.raises(ValueError, match=r"retrain.start=generated needs a HyperNet, and .*checkpoints holds none"):
        retrain(experiment, SILENT)
    assert not experiment.folder.retrained.exists()


def test_unfinished_rankings_are_refused(tmp_path: Path) -> None:
    experiment = small_experiment(tmp_path, retrain=replace(RETRAIN, stratified=1))
    rank_at_random(experiment.folder, 2)
    with pytest.raises(ValueError, match=r"has 2 of 3 architectures: complete it first"):
        retrain(experiment, SILENT)
