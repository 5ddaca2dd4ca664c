"""Loggers as they are chosen on the command line, one or several by one word each."""

import json
from pathlib import Path

import pytest

from tests.command_line import smash
from tests.report.offline import merged, offline_runs, start

DRAW = ("task=draw", "task.preset=densenet")


def test_the_jobs_of_a_sweep_are_grouped_and_built_upon(tmp_path: Path) -> None:
    sweep = tmp_path / "today" / "now"
    assert smash(
        tmp_path, "-m", "task=draw", "task.preset=densenet,resnet", "logger=wandb", f"hydra.sweep.dir={sweep}"
    ).well
    jobs = [start(run) for folder in sorted(sweep.glob("[01]")) for run in offline_runs(folder)]
    assert len({job.run_id for job in jobs}) == 2
    assert {job.run_group for job in jobs} == {"today-now"}
    assert {job.job_type for job in jobs} == {"draw"}
    assert list(jobs[0].tags) == ["digits", "SingleConvolution", "ResidualHyperNet"]

    later = tmp_path / "later"
    options = (f"checkpoint={sweep / '1'}", "logger=wandb", "logger.wandb.tags=[mine]", f"hydra.run.dir={later}")
    assert smash(tmp_path, *DRAW, *options).well
    (run,) = offline_runs(later)
    assert start(run).run_group == "today-now"
    assert list(start(run).tags)[-1] == "mine"
    config = {item.key: json.loads(item.value_json) for item in start(run).config.update} | merged(
        run, "config", "update"
    )
    assert config["hypernet"]["depths"] == [4, 4, 2], "the resolved configuration"


@pytest.mark.slow
def test_several_loggers_at_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    folder = tmp_path / "run"
    assert smash(tmp_path, *DRAW, "logger=[csv,tensorboard,mlflow,wandb]", f"hydra.run.dir={folder}").well
    assert "densenet" in (folder / "logs" / "version_0" / "hparams.yaml").read_text()
    assert list((folder / "tensorboard" / "version_0").glob("events.out.tfevents.*"))
    client = MlflowClient(f"sqlite:///{folder / 'mlflow' / 'runs.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("smash_lightning").experiment_id])
    assert (run.info.status, run.data.params["task/preset"]) == ("FINISHED", "densenet")
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["architecture.svg"]
    (own,) = offline_runs(folder)
    assert own[-1].exit.exit_code == 0


def test_a_name_that_wandb_refuses_ends_the_command_before_it_takes_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = smash(tmp_path, *DRAW, "logger=wandb", "logger.wandb.project=my/project", f"hydra.run.dir={folder}")
    assert "logger.wandb: Invalid project name 'my/project'" in str(ended.error)
    assert not list(folder.iterdir())
