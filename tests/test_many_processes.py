"""Several processes that train together: started by the command, by torchrun or by SLURM, killed and pre-empted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from smash_lightning.training import load_checkpoint
from tests.command_line import changed, end, process, smash, wait_for

SEARCH = [
    "task=search",
    "trainer=ddp_cpu",
    "logger=none",
    "search_space.max_ops=4",
    "search.hypernets=1",
    "search.epochs=4",
    "search.checkpoint_every=2",
    "ranking.fixed=2",
    "ranking.fixed_every=2",
]
LONG = changed(SEARCH, ["search.epochs=400", "search.checkpoint_every=1"])
pytestmark = pytest.mark.slow


def ranks(group: int) -> list[int]:
    """The processes that this one made to work, in the group of a command."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            command = (path / "cmdline").read_bytes()
            if path.name.isdigit() and os.getpgid(int(path.name)) == group and b"spawn_main" in command:
                found.append(int(path.name))
        except OSError:
            continue
    return sorted(found)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = load_checkpoint(folder / "checkpoints" / "hypernet0.ckpt", "smash")
    assert checkpoint["smash"]["finished"]
    return checkpoint["state_dict"]


def same_weights(mine: Path, its: Path) -> None:
    one, other = weights(mine), weights(its)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by two processes of torchrun that was not interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--rdzv-backend=c10d")
    by = (*torchrun, "--rdzv-endpoint=localhost:0")
    code, out, error = end(process(folder, *SEARCH, "hydra.run.dir=run", by=by))
    assert code == 0, error
    assert re.findall(r".*/run$", out, re.MULTILINE) == [str(folder / "run")], "one process prints"
    assert [path.name for path in folder.iterdir()] == ["run"], "the file by which they met is removed"
    drawn = load_checkpoint(folder / "run" / "checkpoints" / "hypernet0.ckpt", "smash")["smash"]["drawn"]
    assert len(drawn) == 2 * 4 * (600 // 64), "two processes, four epochs: an architecture each in every step"
    return folder / "run"


def test_a_worker_that_is_killed_ends_the_command(tmp_path: Path) -> None:
    command = process(tmp_path, *LONG, "hydra.run.dir=run")
    wait_for((tmp_path / "run" / "checkpoints" / "hypernet0.ckpt").exists, command)
    workers = ranks(command.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: not ranks(command.pid))
    code, _, error = end(command)
    assert time.monotonic() - killed < 30
    assert code == 1
    assert re.search(r"error: HyperNet 0: .*exit code -9", error), error
    assert not load_checkpoint(tmp_path / "run" / "checkpoints" / "hypernet0.ckpt", "smash")["smash"]["finished"]


def test_a_run_in_one_process_stops_in_the_middle_of_a_training(tmp_path: Path) -> None:
    """There Lightning handles signals as well, and would end the training as if it were complete."""
    options = [option for option in LONG if option != "trainer=ddp_cpu"]
    run = process(tmp_path, *options, "workers=1", "hydra.run.dir=run")
    checkpoint = tmp_path / "run" / "checkpoints" / "hypernet0.ckpt"
    wait_for(checkpoint.exists, run)
    ended = smash(tmp_path, "resume=run")
    assert ended.error == f"error: {tmp_path / 'run'}: another process is at work on this run, let it end first"
    run.terminate()
    code, _, error = end(run)
    assert code == 1
    assert error.splitlines()[-1] == f"stopped; continue with resume={tmp_path / 'run'}"
    assert not load_checkpoint(checkpoint, "smash")["smash"]["finished"]
    stopped = checkpoint.stat().st_mtime_ns
    again = process(tmp_path, *options, "workers=1", "resume=run")
    wait_for(lambda: checkpoint.stat().st_mtime_ns > stopped, again)
    again.send_signal(signal.SIGINT)
    code, _, error = end(again)
    assert code == 1
    assert error.splitlines()[-1] == f"interrupted; continue with resume={tmp_path / 'run'}"


def slurm(folder: Path, restart: int) -> list[subprocess.Popen[str]]:
    """Two tasks of a step of job 7, as srun starts them, with a `scontrol` that only notes its arguments."""
    scontrol = folder / "bin" / "scontrol"
    scontrol.parent.mkdir(parents=True, exist_ok=True)
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder}/requeued\n')
    scontrol.chmod(0o755)
    common = {
        "PATH": f"{scontrol.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "search",
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "SLURM_RESTART_COUNT": str(restart),
    }
    options = [*SEARCH, "trainer=slurm", "trainer.accelerator=cpu", "trainer.num_nodes=1"]
    options.remove("trainer=ddp_cpu")
    tasks = ({"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)} for task in range(2))
    return [process(folder, *options, **common, **task) for task in tasks]


def test_slurm_stops_a_job_and_starts_it_again(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "slurm-7"
    first = slurm(tmp_path, restart=0)
    wait_for((folder / "checkpoints" / "hypernet0.ckpt").exists, *first)
    for task in first:  # as `sbatch --signal=USR1@120` has it
        task.send_signal(signal.SIGUSR1)
    (lead, _, error), (other, *_) = map(end, first)
    assert (lead, other) == (1, 1)
    assert f"stopped; continue with resume={folder}; SLURM starts the job again" in error
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    saved = load_checkpoint(folder / "checkpoints" / "hypernet0.ckpt", "smash")
    assert 0 < saved["global_step"] < 4 * (600 // 64)

    ended = [end(task) for task in slurm(tmp_path, restart=1)]
    assert [code for code, *_ in ended] == [0, 0], ended
    same_weights(folder, undisturbed)
