"""Sweeps: interrupted and continued, with failing jobs, with a search that chooses, with other launchers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from smash_lightning.evaluation.sweep import leaves
from smash_lightning.launched import require_one_sweeper
from tests import timeless
from tests.test_run import ROOT, TINY, command, configuration, digest, door

SMALLER = [
    "search.epochs=2",
    "search.hypernets=1",
    "search.checkpoint_every=1",
    "ranking.fixed=1",
    "ranking.strategies.random.count=8",
    "ranking.strategies.perturb.count=0",
    "ranking.strategies.markov.count=0",
    "retrain.epochs=1",
    "retrain.random=0",
    "retrain.shortlist=1",
    "baselines=cheap",
]
SMALL = [option for option in TINY if option.split("=")[0] not in {o.split("=")[0] for o in SMALLER}] + SMALLER
DRAWN = ["task=draw", "logger=none"]
OWN = ["-m", "task=draw", "logger=none"]
SEARCH = [*OWN, "task._target_=tests.sweep_tasks.parabola", "hparams_search=correlation"]
SRUN = {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_JOB_ID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_NODEID": "0",
    "SLURM_LOCALID": "0",
}


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def finished(sweep: Path) -> set[str]:
    return {path.parent.name for path in sweep.glob("*/result.json")}


def killed_in(sweep: Path, job: str, *arguments: str) -> None:
    """Begins a sweep as a process of its own, and kills that once a job has saved a HyperNet."""
    call = [sys.executable, str(ROOT / "run.py"), *arguments, f"hydra.sweep.dir={sweep}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        call, env=environment, cwd=sweep.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        while not list((sweep / job).glob("checkpoints/hypernet0*.ckpt")):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    sweep, grid = tmp_path / "sweep", ["-m", *SMALL, "hypernet.width=8,16", "seed=0,1"]
    killed_in(sweep, "2", *grid)
    assert finished(sweep) == {"0", "1"}
    before = {job: digest(sweep / job) for job in "01"}
    ended = door(tmp_path, *grid, f"hydra.sweep.dir={sweep}")
    assert ended.well
    assert {job: digest(sweep / job) for job in "01"} == before
    assert ended.out.count("was finished before") == 2
    assert list(ended.values) == [result(sweep / job)["value"] for job in "0123"]
    assert [(configuration(sweep / job).hypernet.width, configuration(sweep / job).seed) for job in "0123"] == [
        (8, 0),
        (8, 1),
        (16, 0),
        (16, 1),
    ]
    # As if it had never been interrupted.
    alone = door(tmp_path, *SMALL, "hypernet.width=16", "seed=0", f"hydra.run.dir={tmp_path / 'alone'}")
    assert alone.well
    assert alone.values == ended.values[2:3]
    for name in ("ranking.csv", "retrained.csv"):
        assert timeless.table(sweep / "2" / name) == timeless.table(tmp_path / "alone" / name), name


def test_a_run_leaves_its_figure(tmp_path: Path) -> None:
    assert door(tmp_path, *DRAWN, "task.preset=resnet", "hydra.run.dir=run").well
    assert result(tmp_path / "run") == {"task": "draw", "value": None}


def test_another_sweep_is_refused_before_any_job_begins(tmp_path: Path) -> None:
    more = [*OWN, "hydra.sweep.dir=sweep"]
    assert door(tmp_path, *more, "task.preset=resnet,densenet").well
    before = digest(tmp_path / "sweep")
    ended = door(tmp_path, *more, "task.preset=resnet,densenet,wrn")
    assert ended.error.startswith("error: sweep holds another sweep, with task.preset=resnet,densenet instead of task.")
    assert len(ended.error.splitlines()) == 1
    assert digest(tmp_path / "sweep") == before
    assert door(tmp_path, *more, "task.preset=resnet,densenet").well
    assert door(tmp_path, *DRAWN, "task.preset=resnet", "hydra.run.dir=run").well
    ended = door(tmp_path, *OWN, "hydra.sweep.dir=run", "task.preset=resnet,densenet")
    assert ended.error == "error: run holds a single run: use another folder for a sweep"


def test_jobs_with_other_values_are_told(tmp_path: Path) -> None:
    """As where a configuration file was changed between the two."""

    def sweep(*options: str) -> Any:
        (tmp_path / "sweep" / "sweep.yaml").unlink(missing_ok=True)
        return door(tmp_path, *OWN, "hydra.sweep.dir=sweep", *options)

    assert sweep("task.preset=resnet,densenet").well
    before = digest(tmp_path / "sweep")
    ended = sweep("task.preset=resnet,densenet", "retrain.shortlist=3")
    assert ended.error.count("retrain.shortlist was 12, now 3") == 2
    assert {**digest(tmp_path / "sweep"), **before}.keys() == {*before, "failed/0.txt", "failed/1.txt"}
    swapped = sweep("task.preset=resnet,wrn")
    assert "job 1 (" in swapped.error
    assert "task.preset was densenet, now wrn" in swapped.error
    assert len(swapped.error.splitlines()) == 1
    metric = sweep("task.preset=resnet,densenet", "evaluation.metric=best_true_loss")
    assert "evaluation.metric was correlation, now best_true_loss" in metric.error
    assert sweep("task.preset=resnet,densenet").well, "errors of before are forgotten"
    assert {name: digest(tmp_path / "sweep")[name] for name in before} == before


def test_a_failed_job_takes_nothing_with_it_and_is_tried_again(tmp_path: Path) -> None:
    mistake = [*OWN, "task._target_=tests.sweep_tasks.mistaken", "seed=1,0", "hydra.sweep.dir=sweep"]
    ended = door(tmp_path, *mistake)
    assert (
        ended.error
        == "error: job 0 (task=draw logger=none task._target_=tests.sweep_tasks.mistaken seed=1): KeyError: 1"
    )
    assert ended.values == (None, 0.5)
    assert finished(tmp_path / "sweep") == {"1"}
    again = door(tmp_path, *mistake)
    assert again.error == ended.error
    assert again.values == (None, 0.5)
    assert again.out.count("was finished before") == 1


def test_a_single_run_is_not_resumed_by_a_sweep(tmp_path: Path) -> None:
    assert door(tmp_path, *DRAWN, "task.preset=resnet", "hydra.run.dir=run").well
    ended = door(tmp_path, "-m", "resume=run", "hydra.sweep.dir=sweep")
    assert "resume=run continues a single run" in ended.error
    assert "hydra.sweep.dir=FOLDER" in ended.error


# --- searches ---


def chosen(sweep: Path, count: int) -> list[tuple[Any, ...]]:
    """What the jobs of a search were asked to do."""
    jobs = [leaves(yaml.safe_load((sweep / str(number) / "config.yaml").read_text())) for number in range(count)]
    names = ("hypernet.width", "hypernet._target_", "search.learning_rate", "search.architectures_per_step")
    return [tuple(job[name] for name in names) for job in jobs]


@pytest.mark.slow
def test_a_search_survives_its_failures_and_goes_on_as_if_never_interrupted(tmp_path: Path) -> None:
    whole = door(tmp_path, *SEARCH, "hydra.sweeper.n_trials=16", "hydra.sweep.dir=whole")
    widths = [width for width, *_ in chosen(tmp_path / "whole", 16)]
    assert set(widths) == {16, 32, 64, 128}, "a search in which nothing fails shows nothing"
    failed = [number for number, width in enumerate(widths) if width == 16]
    assert [line.split(" (")[0] for line in whole.error.splitlines()] == [f"error: job {number}" for number in failed]
    assert all(line.endswith("): out of memory") for line in whole.error.splitlines())
    assert [value is None for value in whole.values] == [width != 128 for width in widths]
    best = yaml.safe_load((tmp_path / "whole" / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(value for value in whole.values if value is not None)

    part = door(tmp_path, *SEARCH, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=part")
    assert part.values == whole.values[:12]
    before = {number: digest(tmp_path / "part" / str(number)) for number in range(12)}
    continued = door(tmp_path, *SEARCH, "hydra.sweeper.n_trials=16", "hydra.sweep.dir=part")
    assert continued.error == whole.error
    assert continued.values == whole.values
    assert chosen(tmp_path / "part", 16) == chosen(tmp_path / "whole", 16)
    assert {number: digest(tmp_path / "part" / str(number)) for number in range(12)} == before


def test_a_search_in_which_everything_fails_says_so(tmp_path: Path) -> None:
    ended = door(tmp_path, *SEARCH, "hypernet.width=16", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep")
    lines = ended.error.splitlines()
    assert [line.split(" (")[0] for line in lines[:2]] == ["error: job 0", "error: job 1"]
    assert "No trials are completed yet" in lines[2]
    assert len(lines) == 3


def test_a_search_without_m_is_an_error(tmp_path: Path) -> None:
    ended = door(tmp_path, "hparams_search=correlation", "task=draw", "logger=none")
    assert ended.error == "error: hparams_search=correlation is a sweep: add -m"


def test_a_job_of_a_search_is_a_run_like_any(tmp_path: Path) -> None:
    assert door(tmp_path, *SEARCH, "hypernet.width=128", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=sweep").well
    before = digest(tmp_path / "sweep" / "0")
    assert door(tmp_path, "resume=sweep/0").well
    assert digest(tmp_path / "sweep" / "0") == before
    assert door(tmp_path, "task=draw", "task.preset=resnet", "checkpoint=sweep/0", "hydra.run.dir=on").well
    assert configuration(tmp_path / "on").search == configuration(tmp_path / "sweep" / "0").search


def test_an_unknown_metric_is_told(tmp_path: Path) -> None:
    ended = door(tmp_path, *DRAWN, "evaluation.metric=speed")
    assert "evaluation.metric must be correlation or best_true_loss or best_true_error, got 'speed'" in ended.error


# --- who may sweep ---


@pytest.mark.parametrize("flag", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_each_of_several_processes_would_sweep(flag: str) -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "2", "MASTER_PORT": "1", "GROUP_RANK": "0", "LOCAL_RANK": "1"}
    for environment in (SRUN, torchrun):
        with pytest.raises(ValueError, match=r"one of 2 processes.*hydra/launcher=slurm"):
            require_one_sweeper(["seed=0,1", flag], environment)
        require_one_sweeper(["seed=0"], environment)
    require_one_sweeper(["seed=0,1", flag], {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"})  # a batch script's own process


def test_it_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    ended = command(tmp_path, "-m", "seed=0,1")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "each would begin the same sweep" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_list_without_m_is_told(tmp_path: Path) -> None:
    ended = door(tmp_path, "hypernet.width=32,64")
    assert ended.error.startswith("error: Ambiguous value for argument 'hypernet.width=32,64'")
    assert "--multirun" in ended.error
    assert len(ended.error.splitlines()) == 1


# --- launchers ---


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_give_all_results_and_name_what_failed(tmp_path: Path, launcher: str) -> None:
    options = [*OWN, "task.preset=resnet,vgg,densenet", f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep"]
    ended = command(tmp_path, *options)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "sweep"
    line = "error: job 1 (task=draw logger=none task.preset=vgg): task.preset=vgg is unknown"
    assert ended.stderr.splitlines()[-1].startswith(line)
    assert "Traceback" not in ended.stderr
    sweep = tmp_path / "sweep"
    assert finished(sweep) == {"0", "2"}
    assert all((sweep / job / "architecture.svg").exists() for job in "02")
    assert [configuration(sweep / job).task.preset for job in "02"] == ["resnet", "densenet"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_job_that_is_killed_leaves_the_others_and_one_line(tmp_path: Path, launcher: str) -> None:
    options = [*OWN, "task._target_=tests.sweep_tasks.killed", "seed=0,1", f"hydra/launcher={launcher}"]
    ended = command(tmp_path, *options, "hydra.sweep.dir=sweep")
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].endswith("Not ended: job 1; continue with hydra.sweep.dir=sweep")
    assert finished(tmp_path / "sweep") == {"0"}
