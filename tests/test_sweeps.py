"""Sweeps: interrupted and continued, with failing jobs, with a search that chooses, with other launchers."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.configuration.earlier_run import require_same
from smash_lightning.configuration.folders import require_single_process
from smash_lightning.configuration.sweep import finished_value, write_result
from smash_lightning.evaluation.sweep import leaves
from smash_lightning.run_folder import RunFolder
from tests.command_line import TINY, changed, configuration, copy_of_command, digest, kill_when, smash, value

DRAW = ["task=draw", "logger=none"]
DRAWS = ["-m", *DRAW, "hydra.sweep.dir=sweep"]
SEARCH = ["-m", *DRAW, "task._target_=tests.sweep_tasks.parabola", "hparams_search=correlation"]


def finished(sweep: Path) -> set[str]:
    return {path.parent.name for path in sweep.glob("*/result.json")}


@pytest.mark.slow
def test_a_sweep_that_is_killed_continues_where_it_was(tmp_path: Path) -> None:
    search = ["task=search", *changed(TINY, ["search.hypernets=1", "search.epochs=8", "search.checkpoint_every=1"])]
    sweep, grid = tmp_path / "sweep", ["-m", *search, "seed=0,1", "hydra.sweep.dir=sweep"]
    kill_when(lambda: list((sweep / "1").glob("checkpoints/hypernet0*.ckpt")), copy_of_command(tmp_path, *grid))
    assert finished(sweep) == {"0"}
    before = digest(sweep / "0")
    ended = smash(tmp_path, *grid)
    assert ended.well
    assert digest(sweep / "0") == before
    assert ended.out.count("was finished before") == 1
    assert [configuration(sweep / job).seed for job in "01"] == [0, 1]
    assert load_checkpoint(RunFolder(sweep / "1").hypernet(0), "smash")["smash"]["finished"]


# --- jobs and their results ---


def test_a_value_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("out of memory")
    assert finished_value(tmp_path, False) == (False, None)
    assert finished_value(tmp_path, True) == (True, None), "the jobs after it were chosen without its value"
    for figure in (None, 0.1, 1 / 3, -math.pi * 1e-300):
        write_result(tmp_path, "rank", figure)
        assert finished_value(tmp_path, False) == (True, figure)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path, "rank", math.nan)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    for text in ("", "{", "[]", '{"task": "rank"}', "3"):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(ValueError, match="does not hold a result"):
            finished_value(tmp_path, False)


def test_what_may_differ_between_two_attempts_and_nothing_else(tmp_path: Path) -> None:
    config = {"seed": 0, "task": {"preset": "wrn"}, "dataset": {"source": {"root": "here"}, "validation": 5}}
    moved = {**config, "task": {}, "dataset": {"source": {"root": "there"}, "validation": 5}}
    require_same(config, moved, tmp_path, ["task"])
    section = {"_target_": "smash_lightning.training.RetrainOptions", "epochs": 3}
    added = {**section, "cutout": 0, "clip": None, "presets": []}
    require_same(config | {"retrain": section}, config | {"retrain": added}, tmp_path, [])
    with pytest.raises(ValueError, match=r"values: retrain.cutout was 0, now 2\."):
        require_same(config | {"retrain": section}, config | {"retrain": {**added, "cutout": 2}}, tmp_path, [])
    for now, message in (
        ({"seed": 1}, "seed was 0, now 1"),
        ({"dataset": {"source": {"root": "here"}, "validation": 6}}, "dataset.validation was 5, now 6"),
        ({"tasks": 1}, "tasks was absent, now 1"),
        ({f"option{number}": 1 for number in range(5)}, ".* and 2 more"),
    ):
        with pytest.raises(ValueError, match=f"{tmp_path} was run with other values: {message}"):
            require_same(config, {**config, **now}, tmp_path, ["task"])


def test_a_sweep_is_extended_and_a_job_with_other_values_is_refused(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    assert smash(tmp_path, *DRAWS, "task.preset=resnet,densenet").well
    before = digest(sweep / "1")
    assert json.loads((sweep / "0" / "result.json").read_text()) == {"task": "draw", "value": None}
    assert smash(tmp_path, *DRAWS, "task.preset=resnet,densenet,wrn").well
    assert digest(sweep / "1") == before
    ended = smash(tmp_path, *DRAWS, "task.preset=resnet,wrn")
    assert len(ended.error.splitlines()) == 1
    assert "job 1 (" in ended.error
    assert "task.preset was densenet, now wrn" in ended.error
    ended = smash(tmp_path, *DRAWS, "task.preset=resnet,densenet", "evaluation.metric=best_true_loss")
    assert ended.error.count("evaluation.metric was correlation, now best_true_loss") == 2
    assert smash(tmp_path, *DRAWS, "task.preset=resnet,densenet").well, "errors of before are forgotten"
    assert digest(sweep / "1") == before
    ended = smash(tmp_path, *DRAWS[:-1], "resume=sweep/0", "hydra.sweep.dir=other")
    assert "resume=sweep/0 continues a single run; a sweep is continued by hydra.sweep.dir=FOLDER" in ended.error
    folders = {smash(tmp_path, *DRAWS[:-1], "task.preset=resnet").folder for _ in range(2)}
    assert len(folders) == 2, "each sweep has a folder of its own"
    assert all(folder.is_relative_to("multirun") and finished(tmp_path / folder) == {"0"} for folder in folders)


def test_a_failed_job_is_listed_and_run_again(tmp_path: Path) -> None:
    mistake = [*DRAWS, "task._target_=tests.sweep_tasks.mistaken", "seed=1,0"]
    for attempt in range(2):
        ended = smash(tmp_path, *mistake)
        job = "job 0 (task=draw logger=none task._target_=tests.sweep_tasks.mistaken seed=1)"
        assert ended.error == f"error: {job}: KeyError: 1"
        assert ended.out.count("was finished before") == attempt
        assert finished(tmp_path / "sweep") == {"1"}
        assert value(tmp_path / "sweep" / "1") == 0.5


# --- searches ---


def chosen(sweep: Path, count: int) -> list[tuple[Any, ...]]:
    """The options that a search chose for its jobs."""
    jobs = [leaves(yaml.safe_load((sweep / str(number) / "config.yaml").read_text())) for number in range(count)]
    names = ("hypernet.width", "hypernet._target_", "search.learning_rate", "search.architectures_per_step")
    return [tuple(job[name] for name in names) for job in jobs]


@pytest.mark.slow
def test_a_search_survives_failures_and_continues_as_if_never_interrupted(tmp_path: Path) -> None:
    whole = smash(tmp_path, *SEARCH, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=whole")
    widths = [width for width, *_ in chosen(tmp_path / "whole", 12)]
    assert set(widths) == {16, 32, 64, 128}, "a search in which nothing fails shows nothing"
    failed = [number for number, width in enumerate(widths) if width == 16]
    assert [line.split(" (")[0] for line in whole.error.splitlines()] == [f"error: job {number}" for number in failed]
    assert all(line.endswith("): out of memory and more of it") for line in whole.error.splitlines())
    values = {number: value(tmp_path / "whole" / str(number)) for number in range(12) if number not in failed}
    assert {number for number, each in values.items() if each is not None} == {
        number for number, width in enumerate(widths) if width == 128
    }
    best = yaml.safe_load((tmp_path / "whole" / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(each for each in values.values() if each is not None)

    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    for number in range(9, 12):
        shutil.rmtree(tmp_path / "part" / str(number))
    before = {number: digest(tmp_path / "part" / str(number)) for number in range(9)}
    continued = smash(tmp_path, *SEARCH, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=part")
    assert continued.error == whole.error
    assert chosen(tmp_path / "part", 12) == chosen(tmp_path / "whole", 12)
    assert {number: digest(tmp_path / "part" / str(number)) for number in range(9)} == before


def test_what_may_go_wrong_in_a_search(tmp_path: Path) -> None:
    ended = smash(tmp_path, *SEARCH, "hypernet.width=16", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep")
    lines = ended.error.splitlines()
    assert [line.split(" (")[0] for line in lines[:2]] == ["error: job 0", "error: job 1"]
    assert "No trials are completed yet" in lines[2]
    assert len(lines) == 3


def test_a_job_of_a_search_is_a_run_like_any(tmp_path: Path) -> None:
    assert smash(tmp_path, *SEARCH, "hypernet.width=128", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=sweep").well
    before = digest(tmp_path / "sweep" / "0")
    assert smash(tmp_path, "resume=sweep/0", "trust=true").well
    assert digest(tmp_path / "sweep" / "0") == before
    assert smash(tmp_path, "task=draw", "task.preset=resnet", "checkpoint=sweep/0", "hydra.run.dir=on").well
    assert configuration(tmp_path / "on").search == configuration(tmp_path / "sweep" / "0").search
    assert configuration(tmp_path / "on").source_run == str(tmp_path / "sweep" / "0")


# --- several processes ---


def test_a_command_is_started_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    for arguments in (["-m", "seed=0,1"], ["trainer=ddp"]):
        error = smash(tmp_path, *arguments).error
        assert "started this command 2 times" in error
        assert error.endswith(f": python run.py {' '.join(arguments)}")
    assert not list(tmp_path.iterdir())
    require_single_process(["engine=ray", "engine.address=HOST:6379"], {"SLURM_STEP_NUM_TASKS": "2"})
    require_single_process([], {"SLURM_STEP_NUM_TASKS": "1", "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "1"})
    with pytest.raises(ValueError, match="started this command 8 times"):
        require_single_process([], {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "8"})


@pytest.mark.slow
def test_a_launcher_ends_well_but_for_what_failed_or_was_killed(tmp_path: Path) -> None:
    options = [*DRAWS, "task._target_=tests.sweep_tasks.killed", "seed=1,2", "hydra/launcher=submitit_local"]
    ended = smash(tmp_path, *options)
    assert ended.folder == Path("sweep")
    job = "job 1 (task=draw logger=none task._target_=tests.sweep_tasks.killed seed=2)"
    first, second, third = ended.error.splitlines()
    assert first == f"error: {job}: out of memory"
    assert second == "error: job 0 did not end; continue with the same command and hydra.sweep.dir=sweep"
    assert third.startswith("error: Job ")
    assert "has not produced any output" in third
    assert not finished(tmp_path / "sweep")
