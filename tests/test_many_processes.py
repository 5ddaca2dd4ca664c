"""The command where several processes train together: begun by it, by torchrun, or by SLURM, killed and pre-empted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smash_lightning.training import load_checkpoint

ROOT = Path(__file__).parent.parent
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
LONG = [option for option in SEARCH if "epochs" not in option] + ["search.epochs=400"]
pytestmark = pytest.mark.slow


def begin(folder: Path, *arguments: str, by: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    """The command in `folder`, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    call = [sys.executable, *by, str(ROOT / "run.py"), *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "HYDRA_"))}
    options = {"cwd": folder, "env": kept | {"OMP_NUM_THREADS": "1"} | environment, "text": True}
    return subprocess.Popen(call, stdout=-1, stderr=-1, start_new_session=True, **options)  # type: ignore[call-overload, no-any-return]


def wait_for(moment: Callable[[], object], *processes: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not moment():
        assert time.monotonic() < deadline, "the moment never came"
        assert all(process.poll() is None for process in processes), "a process ended before"
        time.sleep(0.05)


def end(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each, all of which must end."""
    ended = []
    for process in processes:
        try:
            out, error = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"it hangs: {process.communicate()}")
        ended.append((process.returncode, out, error))
    return ended


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
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    ((code, _, error),) = end(begin(folder, *SEARCH, "hydra.run.dir=run"))
    assert code == 0, error
    return folder / "run"


def test_torchrun_gives_the_same(alone: Path, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--rdzv-backend=c10d")
    by = (*torchrun, "--rdzv-endpoint=localhost:0")
    ((code, out, error),) = end(begin(tmp_path, *SEARCH, "hydra.run.dir=run", by=by))
    assert code == 0, error
    assert re.findall(r".*/run$", out, re.MULTILINE) == [str(tmp_path / "run")], "one process speaks"
    same_weights(tmp_path / "run", alone)
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing is left of how they met"


@pytest.mark.parametrize("victim", ["second", "that which gives out work"])
def test_a_process_that_is_killed_ends_the_others(victim: str, tmp_path: Path) -> None:
    command = begin(tmp_path, *LONG, "hydra.run.dir=run")
    wait_for((tmp_path / "run" / "checkpoints" / "hypernet0.ckpt").exists, command)
    processes = ranks(command.pid)
    assert len(processes) == 2
    os.kill(processes[1] if victim == "second" else command.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: not ranks(command.pid))
    ((code, _, error),) = end(command)
    assert time.monotonic() - killed < 15
    if victim.startswith("that"):
        assert code == -9
        return
    assert code == 1
    assert re.search(r"error: HyperNet 0: .*exit code -9", error), error
    assert not load_checkpoint(tmp_path / "run" / "checkpoints" / "hypernet0.ckpt", "smash")["smash"]["finished"]


def test_a_run_in_one_process_stops_in_the_middle_of_a_training(tmp_path: Path) -> None:
    """There Lightning hears signals as well, and would end the training as if it were complete."""
    options = [option for option in LONG if option != "trainer=ddp_cpu"]
    run = begin(tmp_path, *options, "workers=1", "hydra.run.dir=run")
    checkpoint = tmp_path / "run" / "checkpoints" / "hypernet0.ckpt"
    wait_for(checkpoint.exists, run)
    other = begin(tmp_path, *options, "workers=1", "resume=run")
    ((code, _, error),) = end(other)
    assert code == 1
    assert error == f"error: {tmp_path / 'run'}: another process is at work on this run, let it end first\n"
    run.terminate()
    ((code, _, error),) = end(run)
    assert code == 1
    assert error.splitlines()[-1] == f"stopped; continue with resume={tmp_path / 'run'}"
    assert not load_checkpoint(checkpoint, "smash")["smash"]["finished"]
    stopped = checkpoint.stat().st_mtime_ns
    again = begin(tmp_path, *options, "workers=1", "resume=run")
    wait_for(lambda: checkpoint.stat().st_mtime_ns > stopped, again)
    again.send_signal(signal.SIGINT)
    ((code, _, error),) = end(again)
    assert code == 1
    assert error.splitlines()[-1] == f"interrupted; continue with resume={tmp_path / 'run'}"


def slurm(folder: Path, restart: int) -> list[subprocess.Popen[str]]:
    """Two tasks of a step of job 7, as srun begins them, with a `scontrol` that only notes what it is asked."""
    scontrol = folder / "bin" / "scontrol"
    scontrol.parent.mkdir(parents=True, exist_ok=True)
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n')
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
    return [begin(folder, *options, **common, **task) for task in tasks]


def test_slurm_stops_a_job_and_begins_it_again(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "slurm-7"
    first = slurm(tmp_path, restart=0)
    wait_for((folder / "checkpoints" / "hypernet0.ckpt").exists, *first)
    for process in first:  # as `sbatch --signal=USR1@120` has it
        process.send_signal(signal.SIGUSR1)
    (lead, _, error), (other, *_) = end(*first)
    assert lead == 1
    assert other == 1
    assert f"stopped; continue with resume={folder}; SLURM begins the job again" in error
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    saved = load_checkpoint(folder / "checkpoints" / "hypernet0.ckpt", "smash")
    assert 0 < saved["global_step"] < 4 * (600 // 64)

    ended = end(*slurm(tmp_path, restart=1))
    assert [code for code, *_ in ended] == [0, 0], ended
    same_weights(folder, alone)
