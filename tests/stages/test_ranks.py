"""Search, ranking and retraining by two processes, against one process that does the same work alone."""

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import pandas as pd
import pytest
import torch

from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.configuration.build import instantiate
from smash_lightning.engine import Engine, Local
from smash_lightning.engine.local import own_gpu
from smash_lightning.engine.ray_engine import Ray
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.stages import Experiment, rank, retrain, search
from smash_lightning.stages.search import settling
from smash_lightning.stages.trainers import FINDS_UNUSED, engine_for
from smash_lightning.strategies import Perturb, Random, RankingOptions
from tests.command_line import ROOT
from tests.engine.test_engines import NO_RAY
from tests.stages.small_run import RETRAIN, SEARCH, small_data, small_experiment

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
TWO = partial(L.Trainer, **QUIET, devices=2, strategy=FINDS_UNUSED, use_distributed_sampler=False)
ONE = partial(L.Trainer, **QUIET, devices=1, accumulate_grad_batches=2)
RANKING = RankingOptions({"random": Random(8), "perturb": Perturb(3, 0.2)}, RecalibratedStatistics(), 3, 1)
RETRAINED = replace(RETRAIN, seeds=2, stratified=3, shortlist=1)


# 240 training images, which batches of 40 and of 20 divide.
def by_two(folder: Path, **changes: Any) -> Experiment:
    options = {"trainer": TWO, "engine": Local(2), "together": True, "data": small_data(40), "ranking": RANKING}
    return small_experiment(folder, **options | {"retrain": RETRAINED} | changes)


def by_one(folder: Path, **changes: Any) -> Experiment:
    options = {"trainer": ONE, "data": small_data(20), "ranking": RANKING, "retrain": RETRAINED}
    return small_experiment(folder, **options | changes)


class Logged(Tracker):
    """Keeps what is logged of the HyperNets."""

    def __init__(self) -> None:
        super().__init__([])
        self.rows: list[tuple[str, int]] = []

    def log(self, prefix: str, metrics: Any, step: int) -> None:
        self.rows += [(f"{prefix}/{name}", step) for name in metrics]


class Dies(L.Callback):
    """Kills the second rank after the first checkpoint; the file `path` has the epochs from which trainings start."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_rank == 1:
            with self.path.open("a") as file:
                file.write(str(trainer.current_epoch))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_rank == 1 and trainer.current_epoch == 1 and self.path.read_text() == "0":
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architectures", "engine"),
    [("per_rank", Local(2)), ("shared", Local(2)), pytest.param("per_rank", Ray(2), marks=NO_RAY)],
    ids=["per_rank", "shared", "per_rank by Ray"],
)
def test_two_processes_do_the_work_of_one_that_accumulates(architectures: Any, engine: Engine, tmp_path: Path) -> None:
    options = replace(SEARCH, epochs=2, hypernets=2, architectures=architectures)
    two, one = by_two(tmp_path / "two", search=options, engine=engine), by_one(tmp_path / "one", search=options)
    if architectures == "shared":
        two = replace(two, callbacks=[partial(Dies, tmp_path / "starts")])
    logged = Logged()
    for experiment, tracker in ((two, logged), (one, Tracker([]))):
        search(experiment, tracker)
    for index in range(2):
        mine, its = (load_checkpoint(each.folder.hypernet(index), "smash") for each in (two, one))
        assert mine["smash"]["drawn"] == its["smash"]["drawn"], "the same architectures"
        assert len(mine["smash"]["drawn"]) == 2 * 6 * (2 if architectures == "per_rank" else 1)
        assert mine["global_step"] == its["global_step"] == 12
        assert mine["smash"]["finished"]
        for name, tensor in mine["state_dict"].items():
            if name.startswith("weights."):
                torch.testing.assert_close(tensor, its["state_dict"][name], rtol=1e-3, atol=1e-5, msg=name)
        mine, its = (settling(each.folder.hypernet(index)) for each in (two, one))
        assert [epoch for epoch, _ in mine] == [epoch for epoch, _ in its] == [1, 2]
        torch.testing.assert_close([row for _, row in mine], [row for _, row in its], rtol=1e-3, atol=1e-5)
    assert len(logged.rows) == len(set(logged.rows)), "only one of the two logs"

    if architectures == "shared":
        assert sorted((tmp_path / "starts").read_text()) == ["0", "0", "1"], "it was repeated from its checkpoint"
        return
    # From here on one process and two work with the same HyperNets.
    again = by_one(tmp_path / "again", search=options, source=two.folder.path, data=small_data(40), trainer=two.trainer)
    tables = [(rank(each, Tracker([])), retrain(each, Tracker([]))) for each in (two, again)]
    (ranked, trained), (ranked_again, trained_again) = tables
    same(ranked, ranked_again)
    same(trained, trained_again)
    assert two.folder.architectures.read_text() == again.folder.architectures.read_text()


def same(mine: pd.DataFrame, its: pd.DataFrame) -> None:
    """The same rows in the same order, but for time."""
    assert len(mine) > 3
    pd.testing.assert_frame_equal(mine.drop(columns="seconds"), its.drop(columns="seconds"), check_exact=True)


VALID: dict[str, tuple[dict[str, Any], tuple[int, bool]]] = {
    "one process": ({"workers": 1, "devices": 1}, (1, False)),
    "several HyperNets side by side": ({"workers": 3, "devices": 1}, (3, False)),
    "two together": ({"workers": None, "devices": 2, "strategy": FINDS_UNUSED}, (2, True)),
    "two together, given twice": ({"workers": 2, "devices": 2, "strategy": FINDS_UNUSED}, (2, True)),
    "whatever there is": ({"workers": 1, "devices": "auto"}, (1, False)),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "other workers": ({"workers": 3, "devices": 2, "strategy": FINDS_UNUSED}, "workers=3 .* trainer.devices=2"),
    "waits without end": ({"workers": None, "devices": 2, "strategy": "ddp"}, f"trainer.strategy=ddp.*{FINDS_UNUSED}"),
    "left to Lightning": ({"workers": None, "devices": 2}, f"trainer.strategy=auto.*{FINDS_UNUSED}"),
    "several machines": ({"workers": None, "devices": 1, "num_nodes": 2, "strategy": FINDS_UNUSED}, "num_nodes=2"),
    "single ones": ({"workers": None, "devices": [0, 2]}, "trainer.devices=.*CUDA_VISIBLE_DEVICES"),
    "none": ({"workers": None, "devices": 0}, "trainer.devices=0"),
}


def shape(workers: int | None, **options: Any) -> tuple[Engine, bool]:
    return engine_for(Local(workers), "cpu", **options)


@pytest.mark.parametrize("name", VALID)
def test_the_number_of_processes(name: str) -> None:
    options, expected = VALID[name]
    engine, together = shape(**options)
    assert (engine.workers, together) == expected


@pytest.mark.parametrize("gpus", [2, 8])
@pytest.mark.parametrize(
    ("options", "per_gpu"),
    [
        (["trainer=ddp"], 1),
        (["trainer=ddp", "engine=ray"], 1),
        (["trainer=slurm", "engine=ray", "trainer.num_nodes=2"], 2),
    ],
)
def test_all_gpus_train_together(options: list[str], per_gpu: int, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base=None):
        config = hydra.compose("config", options)
    chosen = {name: config.trainer[name] for name in ("devices", "num_nodes", "strategy") if name in config.trainer}
    engine, together = engine_for(instantiate(config.engine, "engine"), "cuda", **chosen)
    assert (engine.workers, together) == (per_gpu * gpus, True)
    assert [own_gpu("cuda", slot)["CUDA_VISIBLE_DEVICES"] for slot in range(gpus)] == [*map(str, range(gpus))]


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_do_not_fit(name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        shape(**options)
