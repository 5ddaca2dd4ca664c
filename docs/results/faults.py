"""Lets file operations of runs fail, one after the other: python docs/results/faults.py > docs/results/faults.json.

A small pipeline, stage by stage. In a process of its own, the k-th of the operations on files that write (open, write,
fsync, replace, rename, link, unlink, mkdir) below a folder that holds run, cache and temporary files fails with ENOSPC,
EIO or EACCES, once or from then on, or the process ends there. A run that fails must end in one sentence with the file
and the remedy; continued, it must have the files of an undisturbed run. Not covered: what libraries write by C alone
(NumPy's arrays in the cache), and reading.
"""

import argparse
import builtins
import errno
import io
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import vl_convert
from collect import this_commit, this_machine
from hydra.core.global_hydra import GlobalHydra
from kills import differences

from smash_lightning import cli

OPTIONS = [
    *("workers=1", "logger=none", "dataset.train=128", "dataset.validation=100", "search_space.max_ops=2"),
    *("hypernet.depths=[1]", "hypernet.growth=4", "search.epochs=2", "search.hypernets=1", "search.checkpoint_every=1"),
    *("ranking.size_tolerance=null", "ranking.fixed=2", "ranking.fixed_every=1", "ranking.strategies.random.count=5"),
    *("ranking.strategies.perturb.count=1", "ranking.strategies.markov.count=0", "retrain.epochs=1", "retrain.seeds=1"),
    *("retrain.shortlist=0", "retrain.stratified=2", "retrain.random=1", "evaluation.bootstrap=200"),
    "baselines.baselines={early_stopping: null, synflow: null, snip: null, gradient_norm: null, naswot: null}",
    "baselines.one_shot=[untrained]",
]
STAGES = ("search", "rank", "retrain", "baselines", "correlate", "calibrate")
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)
KINDS = [(code, forever) for code in CODES for forever in (False, True)] + [(0, False)]  # 0 ends the process
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
REMEDIES = ("make room", "permit writing", "mend this")


class Operations:
    """Counts the operations below a folder, of which the one of number `at` fails."""

    def __init__(self, root: Path, at: int = 0, code: int = 0, forever: bool = False) -> None:
        self.root, self.at, self.code, self.forever, self.names = str(root), at, code, forever, list[str]()

    def count(self, name: str, path: Any) -> None:
        """One operation on a path; raises OSError where it fails."""
        if not isinstance(path, str | os.PathLike) or not os.path.abspath(path).startswith(self.root):
            return
        self.names.append(name)
        if len(self.names) == self.at or (self.forever and len(self.names) > self.at > 0):
            if self.code == 0:
                os._exit(137)
            named = () if name in ("write", "fsync") else (os.fspath(path),)
            raise OSError(self.code, os.strerror(self.code), *named)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Within it, operations are counted."""
        operations, io_open, os_open, os_fsync = self, io.open, os.open, os.fsync

        class Raw(io.FileIO):
            def write(self, content: Any) -> Any:
                operations.count("write", self.name)
                return super().write(content)

        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return io_open(file, mode, buffering, *rest, **more)
            operations.count("open", file)
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **more)

        def os_opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if flags & WRITES:
                operations.count("open", path)
            return os_open(path, flags, *rest, **more)

        def fsync(file: int) -> None:
            operations.count("fsync", os.readlink(f"/proc/self/fd/{file}"))
            os_fsync(file)

        def counted(name: str, before: Callable[..., Any]) -> Callable[..., Any]:
            def call(path: Any, *rest: Any, **more: Any) -> Any:
                operations.count(name, path)
                return before(path, *rest, **more)

            return call

        names = ("replace", "rename", "link", "unlink", "mkdir")
        before = {name: getattr(os, name) for name in names}
        for name in names:
            setattr(os, name, counted(name, before[name]))
        builtins.open = io.open = opened
        os.open, os.fsync = os_opened, fsync
        try:
            yield
        finally:
            builtins.open = io.open = io_open
            os.open, os.fsync = os_open, os_fsync
            for name in names:
                setattr(os, name, before[name])


def command(root: Path, stage: str, operations: Operations) -> tuple[int, str, list[str]]:
    """Runs a stage in a child of this process: exit code, message, names of its operations."""
    run, (reading, writing) = root / "run", os.pipe()
    begun = (run / "config.yaml").exists()
    arguments = [f"task={stage}", f"resume={run}"] if begun else [f"task={stage}", f"hydra.run.dir={run}", *OPTIONS]
    if (child := os.fork()) == 0:
        message: Any = ""
        try:
            os.chdir(root)
            tempfile.tempdir = str(root / "tmp")
            GlobalHydra.instance().clear()
            sys.argv = ["smash"]
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), operations.patched():
                cli.main(arguments)
        except SystemExit as end:
            message = end.code
        except BaseException:
            message = traceback.format_exc()
        with os.fdopen(writing, "w") as pipe:
            json.dump([str(message or ""), operations.names], pipe)
        os._exit(1 if message else 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    message, names = json.loads(text) if text else ("", [])
    return code, message, names


def prepared(root: Path, before: Path | None) -> Path:
    """A folder for a trial, with the run as it was before the stage."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "tmp").mkdir(parents=True)
    if before is not None:
        shutil.copytree(before, root / "run")
    return root


def different_files(one: Path, other: Path) -> list[str]:
    """Figures and weights in which two runs differ, and files that only one of them has."""
    _, found = differences(one, other)
    names = [{str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} for run in (one, other)]
    found += sorted(names[0] ^ names[1])
    for path in sorted((one / "checkpoints").glob("*.ckpt")):
        if (twin := other / "checkpoints" / path.name).exists():
            states = [torch.load(each, weights_only=True)["state_dict"] for each in (path, twin)]
            if any(not torch.equal(states[0][key], states[1][key]) for key in states[0]):
                found.append(path.name)
    return found


def fault_of(code: int, message: str, root: Path) -> str:
    """What is wrong with how a failed run ended; empty where nothing is."""
    if code == 1 and "\n" not in message and str(root) in message and any(each in message for each in REMEDIES):
        return ""
    return f"exit code {code}: {message[:400]}"


def trials(folder: Path, every: int, first: int, stages: list[str]) -> Iterator[dict[str, Any]]:
    """Every `every`-th trial of each stage, from the `first` on."""
    before = None
    for stage in STAGES:
        root = prepared(folder / "undisturbed", before)
        code, message, names = command(root, stage, Operations(root))
        assert code == 0, message
        after = folder / f"after-{stage}"
        shutil.copytree(root / "run", after)
        cases = [(at, *kind) for at in range(1, len(names) + 1) for kind in KINDS]
        for at, number, forever in cases[first::every] if stage in stages else ():
            trial = prepared(folder / "trial", before)
            code, message, _ = command(trial, stage, Operations(trial, at, number, forever))
            fault = "" if code in (0, 137) else fault_of(code, message, trial)
            again, reason, _ = command(trial, stage, Operations(trial))
            different = different_files(after, trial / "run") if again == 0 else [f"resumed: {reason[-600:]}"]
            kind = "end of the process" if number == 0 else errno.errorcode[number] + (", ever after" * forever)
            found = {"stage": stage, "operation": names[at - 1], "at": at, "of": len(names), "kind": kind}
            yield found | {"code": code, "message": fault, "different": different}
        before = after


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts for each stage."""
    rows = {}
    for stage in STAGES:
        mine = [one for one in found if one["stage"] == stage]
        rows[stage] = {
            "operations": max((one["of"] for one in mine), default=0),
            "tried": len(mine),
            "went_on": sum(one["code"] == 0 for one in mine),
            "ended_in_a_sentence": sum(one["code"] == 1 and not one["message"] for one in mine),
            "killed": sum(one["code"] == 137 for one in mine),
            "equal": sum(not one["different"] for one in mine),
        }
    return rows


def faults(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials that ended otherwise than they should."""
    return [one for one in found if one["message"] or one["different"]]


def main(every: int, first: int, stages: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Runs trials in a temporary folder."""
    torch.set_num_threads(1)
    vl_convert.vegalite_to_png = vl_convert.vegalite_to_svg = lambda *_, **__: b"picture"  # takes most of the time
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        found = []
        for one in trials(Path(folder), every, first, stages):
            found.append(one)
            if one["message"] or one["different"]:
                print(one, file=sys.stderr, flush=True)
    print(Counter(one["operation"] for one in found), file=sys.stderr)
    return summary(found), faults(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="of the trials (%(default)s: all)")
    parser.add_argument("--first", type=int, default=0, help="trial of each stage")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    arguments = parser.parse_args()
    rows, wrong = main(**vars(arguments))
    made = {"command": f"python docs/results/faults.py {' '.join(sys.argv[1:])}".strip(), "commit": this_commit()}
    made |= {"machine": this_machine(), "date": datetime.now(UTC).date().isoformat()}
    print(json.dumps({**made, "figures": rows, "faults": wrong}, indent=1))
