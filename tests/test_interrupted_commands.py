"""Whole commands that a scheduler stops and starts again, and commands in an environment that lacks something."""

import os
import signal
from pathlib import Path

import pytest
import torch

from smash_lightning.checkpoint import load_checkpoint
from tests.command_line import copy_of_command, end, process, smash, wait_for

SEARCH = [
    "task=search",
    "logger=none",
    "search_space.max_ops=4",
    "search.hypernets=1",
    "search.epochs=8",
    "search.checkpoint_every=1",
    "ranking.fixed=2",
    "ranking.fixed_every=2",
]
pytestmark = pytest.mark.slow


def hypernet(folder: Path) -> Path:
    return folder / "checkpoints" / "hypernet0.ckpt"


def finished(path: Path) -> bool:
    return bool(load_checkpoint(path, "smash")["smash"]["finished"])


def test_slurm_stops_a_run_and_starts_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process, where Lightning handles signals too, and would end the training as if it were complete."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    options = [*SEARCH, "workers=1", "trainer=slurm", "trainer.accelerator=cpu", "trainer.devices=1"]
    variables = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "search", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
    variables["PATH"] = f"{scontrol.parent}:{os.environ['PATH']}"
    folder = tmp_path / "outputs" / "slurm-7"

    first = copy_of_command(tmp_path, *options, **variables)
    wait_for(hypernet(folder).exists, first)
    os.kill(first.pid, signal.SIGUSR1)  # as `sbatch --signal=USR1@120` has it
    assert first.result().error == f"stopped; continue with resume={folder}; SLURM starts the job again"
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert not finished(hypernet(folder))

    with monkeypatch.context() as patch:
        for name, value in (variables | {"SLURM_RESTART_COUNT": "1"}).items():
            patch.setenv(name, value)
        assert smash(tmp_path, *options).well
    assert finished(hypernet(folder))
    assert smash(tmp_path, *SEARCH, "workers=1", "hydra.run.dir=undisturbed").well
    mine, other = (
        load_checkpoint(hypernet(each), "smash")["state_dict"] for each in (folder, tmp_path / "undisturbed")
    )
    assert mine.keys() == other.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, other[name]), name


def test_a_user_without_a_home_folder_gets_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)  # who has no entry in /etc/passwd, as in some containers
    assert str(smash(tmp_path, "task=draw").error).endswith("set HOME=FOLDER")


def test_an_output_that_is_not_read_to_its_end_is_named(tmp_path: Path) -> None:
    one = process(tmp_path, "task=draw", "task.preset=resnet", "logger=none")
    assert one.stdout is not None
    one.stdout.close()
    one.stdout = None
    code, _, error = end(one)
    assert (code, error.count("\n")) == (1, 1)
    assert "what reads the output has ended: let it read all, or write into a file with > FILE, then " in error
