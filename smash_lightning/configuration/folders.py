"""The folder of a run: its name, and one process at a time that works in it."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from smash_lightning.files import quoted, write_text
from smash_lightning.run_folder import RunFolder


def run_folder(resume: Any, trainer: str) -> str:
    """The folder to continue, or a new one named after date and time; under SLURM after the job, for its restarts."""
    if resume is not None and Path(str(resume)).is_dir():  # Hydra creates the folder: not one that is misspelt
        return str(resume)
    if trainer == "slurm" and (job := os.environ.get("SLURM_JOB_ID")):
        step = os.environ.get("SLURM_STEP_ID", "0")
        return f"outputs/slurm-{job}" if step == "0" else f"outputs/slurm-{job}-{step}"
    return new_folder("outputs")


def new_folder(parent: str) -> str:
    """A folder PARENT/DATE/TIME that does not exist."""
    now = datetime.now().strftime(f"{parent}/%Y-%m-%d/%H-%M-%S")
    names = (now if number == 1 else f"{now}-{number}" for number in itertools.count(1))
    return next(name for name in names if not Path(name).exists())


def is_slurm_restart(folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether SLURM started this job again, for a run that had begun."""
    restarted = int(environment.get("SLURM_RESTART_COUNT", "0")) > 0
    return restarted and folder.name.startswith("slurm-") and RunFolder(folder).config.exists()


def require_single_process(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Checks that srun or torchrun did not start the command several times, but for a cluster of `engine=ray`.

    Raises:
        ValueError: one of them did.
    """
    count = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if "TORCHELASTIC_RUN_ID" in environment:
        count = max(count, int(environment.get("WORLD_SIZE", "1")))
    if count > 1 and not any(argument.startswith("engine.address=") for argument in arguments):
        raise ValueError(
            f"srun or torchrun started this command {count} times, but one command starts all processes that it needs: "
            f"python run.py {' '.join(arguments)}"
        )


def claim(folder: Path, config: DictConfig) -> None:
    """Writes the configuration of a new run, whole or not at all; of one that is continued, the earlier run that moved.

    Called by the process that has `locked` the folder.

    Raises ValueError where the folder holds another run.
    """
    run = RunFolder(folder)
    new = config.resume is None  # so that the folder may hold files of the user
    for leftover in folder.glob(f"{run.config.name}.*.partial") if new else folder.rglob("*.partial"):
        leftover.unlink(missing_ok=True)  # of a process that was killed, or of a full disk
    if new:
        if run.config.exists():
            raise ValueError(
                f"{folder} already holds a run: continue it with {quoted('resume', folder)}, or use another folder"
            )
        text = OmegaConf.to_yaml(config, resolve=True)
    else:
        recorded = run.read_config()
        moved = recorded | {name: config[name] for name in ("checkpoint", "source_run")}
        if moved == recorded:
            return
        text = yaml.safe_dump(moved, sort_keys=False)
    write_text(run.config, text)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from working on the same run; raises ValueError where one does."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"{folder}: another process is at work on this run, let it end first") from None
    except (NotImplementedError, OSError):
        pass  # a file system without locks
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()
            (folder / ".lock").unlink(missing_ok=True)
