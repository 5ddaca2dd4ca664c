"""Command lines for tests: in this process, or as processes of their own."""

import hashlib
import io
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from smash_lightning import cli
from smash_lightning.engine import local

ROOT = Path(__file__).parent.parent
TINY = [
    "workers=1",
    "logger=none",
    "search_space.max_ops=4",
    "search.epochs=2",
    "search.hypernets=2",
    "search.checkpoint_every=2",
    "ranking.fixed=2",
    "ranking.fixed_every=1",
    "ranking.strategies.random.count=14",
    "ranking.strategies.perturb.count=3",
    "ranking.strategies.markov.count=3",
    "retrain.epochs=1",
    "retrain.seeds=2",
    "retrain.stratified=5",
    "retrain.random=1",
    "retrain.shortlist=2",
    "evaluation.bootstrap=200",
]


def changed(options: list[str], by: list[str]) -> list[str]:
    """Options, of which some are replaced."""
    names = {option.split("=")[0] for option in by}
    return [option for option in options if option.split("=")[0] not in names] + by


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its error (None where it ended well), and what it printed."""

    error: Any
    out: str

    @property
    def well(self) -> bool:
        assert self.error is None, self.error
        return True

    @property
    def folder(self) -> Path:
        return Path(self.out.splitlines()[-1])


def smash(folder: Path, *arguments: str) -> Ended:
    """The command `smash arguments`, in this process and in `folder`."""
    out, error = io.StringIO(), None
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(io.StringIO()):
        patch.setattr(logging.root, "handlers", [])  # Hydra's would go on writing into `out`
        patch.setattr(logging.root, "level", logging.root.level)
        patch.setattr(sys, "argv", ["smash"])
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.chdir(folder)
        try:
            cli.main(arguments)
        except SystemExit as end:
            error = end.code
    return Ended(error, out.getvalue())


def process(folder: Path, *arguments: str, by: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    """The command in `folder` as a process, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    call = [sys.executable, *by, str(ROOT / "run.py"), *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "HYDRA_"))}
    options = {"cwd": folder, "env": kept | {"OMP_NUM_THREADS": "1"} | environment, "text": True}
    return subprocess.Popen(call, stdout=-1, stderr=-1, start_new_session=True, **options)  # type: ignore[call-overload, no-any-return]


class Copy:
    """A copy of this process, in a process group of its own, that calls a function: nothing is imported again.

    It has one thread, as copied threads do not run: libraries that have used threads here, such as vl-convert where it
    has drawn something, must not be used. Where CUDA may be in use it is a new process.

    Args:
        function: at the top level of a module.
        arguments: of the function.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        if "wandb" in sys.modules:
            sys.modules["wandb"].teardown()  # else the copy would end the service of this process
        processes = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
        self._result, end = processes.Pipe(duplex=False)
        self._process: Any = processes.Process(target=_call, args=(end, function, *arguments))  # type: ignore[attr-defined]
        self._process.start()
        self.pid = int(self._process.pid)
        end.close()

    def poll(self) -> int | None:
        return self._process.exitcode  # type: ignore[no-any-return]

    def result(self, seconds: float = 120) -> Any:
        """What the function returned; an error where it raised one."""
        if not self._result.poll(seconds):
            os.killpg(self.pid, signal.SIGKILL)
            pytest.fail("it hangs")
        value = self._result.recv()
        self._process.join()
        return value


def _call(end: Any, function: Callable[..., Any], *arguments: Any) -> None:
    os.setsid()
    mine, local.kept = local.kept, []  # `mine` remain those of the other process
    end.send(function(*arguments))
    del mine


def copy_of_command(folder: Path, *arguments: str, **environment: str) -> Copy:
    """The command in `folder` by a copy of this process; its result is how it ended."""
    folder.mkdir(exist_ok=True)
    return Copy(_smash, folder, arguments, environment)


def _smash(folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> "Ended":
    os.environ |= environment
    return smash(folder, *arguments)


Running = subprocess.Popen[str] | Copy


def wait_for(moment: Callable[[], object], *processes: Running) -> None:
    """Waits until `moment` is true, while the processes go on."""
    deadline = time.monotonic() + 600
    while not moment():
        assert time.monotonic() < deadline, "the moment never came"
        assert all(one.poll() is None for one in processes), "a process ended before"
        time.sleep(0.02)


def kill_when(moment: Callable[[], object], one: Running) -> None:
    """Kills a process and those that it made."""
    wait_for(moment, one)
    os.killpg(one.pid, signal.SIGKILL)
    while one.poll() is None:
        time.sleep(0.02)


def end(one: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a process, which must end."""
    try:
        out, error = one.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(one.pid, signal.SIGKILL)
        pytest.fail(f"it hangs: {one.communicate()}")
    return one.returncode, out, error


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a hash of its content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def configuration(folder: Path) -> Any:
    return OmegaConf.load(folder / "config.yaml")


def value(folder: Path) -> float | None:
    """What a run returned."""
    return json.loads((folder / "result.json").read_text())["value"]  # type: ignore[no-any-return]
