"""Lets operations on files and jobs fail, one by one: python docs/results/faults.py trials.jsonl > faults.json.

A small pipeline, stage by stage, each trial in a fork of this process. The k-th operation that writes (open, write,
fsync, rename, link, remove, mkdir and others, as Python's audit events name them) below a folder that holds run, cache
and temporary files fails with ENOSPC, EIO or EACCES, once or from then on, or the process ends there; or the j-th job,
such as a training or a score, lacks memory. A run that fails must end in one sentence with the file and the remedy;
continued, it must have the files of an undisturbed run. The trials that the file has are not repeated. To make a trial
cheap, a configuration is composed once, charts are not checked or drawn, clocks count calls, and a run is continued
once from folders of equal content. Not covered: reading, and what libraries write by C alone.
"""

import argparse
import copy
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import altair.utils.schemapi
import numpy as np
import torch
import vl_convert
from collect import markdown, this_commit, this_machine
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from kills import differences
from operations import END, ERRORS, NO_MEMORY, Operations
from PIL import Image
from sklearn.datasets import load_digits

from smash_lightning import cli
from smash_lightning.configuration import earlier_run

OPTIONS = [
    *("workers=1", "logger=none", "dataset=folder", "dataset.validation=60", "dataset.recalibration=32"),
    *("dataset.batch_size=32", "dataset.stem_stride=1", "hypernet.depths=[1]", "hypernet.growth=4", "search.epochs=2"),
    *("search_space.max_ops=2", "search.hypernets=1", "search.checkpoint_every=1", "ranking.size_tolerance=null"),
    *("ranking.fixed=2", "ranking.fixed_every=1", "ranking.strategies.random.count=5"),
    *("ranking.strategies.perturb.count=1", "ranking.strategies.markov.count=0", "retrain.epochs=1", "retrain.seeds=1"),
    *("retrain.shortlist=0", "retrain.stratified=2", "retrain.random=1", "evaluation.bootstrap=200"),
    "baselines.baselines={early_stopping: null, synflow: null, snip: null, gradient_norm: null, naswot: null}",
    "baselines.one_shot=[untrained]",
]
IMAGES = {"train": 160, "test": 60}
STAGES = ("search", "rank", "retrain", "baselines", "correlate", "calibrate")
REMEDIES = ("make room", "permit access", "mend this", "choose another folder", "provide more memory")
SPREAD = 16
Trial = dict[str, Any]


class Runs:
    """Runs of the pipeline in one folder, which is made as it was before a stage as often as needed."""

    def __init__(self, folder: Path, stages: Sequence[str]) -> None:
        self.folder, self.root, self.run = folder, folder / "trial", folder / "trial" / "run"
        self.stages, self.resumed = stages, dict[str, tuple[str, list[str]]]()
        torch.set_num_threads(1)
        save_images(folder / "images")
        without_drawing()
        remember(Hydra, "compose_config", self.state)
        remember(earlier_run, "with_earlier_options", self.state)

    def state(self) -> tuple[Any, ...]:
        """What the configuration depends on."""
        config = self.run / "config.yaml"
        return *sys.argv, config.read_text() if config.exists() else ""

    def undisturbed(self) -> Iterator[tuple[str, Operations]]:
        """Each stage with its operations; makes the folders before and after it."""
        (self.root / "tmp").mkdir(parents=True)
        tempfile.tempdir = str(self.root / "tmp")
        os.chdir(self.root)
        shutil.copytree(self.root, self.folder / "before-search")
        for stage, following in zip(self.stages, (*self.stages[1:], ""), strict=True):
            for _ in range(1 + (stage == "search")):  # in this process, which imports and composes
                self.main(stage)
            self.prepare(stage)
            code, message, operations = self.command(stage, Operations(self.root))
            assert code == 0, message
            shutil.copytree(self.root, self.folder / f"after-{stage}")
            shutil.copytree(self.root, self.folder / f"before-{following}")
            yield stage, operations
            self.prepare(following)

    def prepare(self, stage: str) -> None:
        """Makes the folder as it was before a stage."""
        os.chdir(self.folder)
        shutil.rmtree(self.root)
        shutil.copytree(self.folder / f"before-{stage}", self.root)
        os.chdir(self.root)

    def main(self, stage: str) -> None:
        """Runs a stage in this process."""
        begun = (self.run / "config.yaml").exists()
        new = [f"hydra.run.dir={self.run}", f"dataset.root={self.folder / 'images'}", *OPTIONS]
        new += [f"cache_folder={self.root / 'cache'}"]
        GlobalHydra.instance().clear()
        sys.argv = ["smash"]
        clock = patch.object(time, "perf_counter", map(float, count()).__next__)  # so that runs record equal times
        with clock, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            cli.main([f"task={stage}", *([f"resume={self.run}"] if begun else new)])

    def command(self, stage: str, operations: Operations) -> tuple[int, str, Operations]:
        """Runs a stage in a child of this process: exit code, message, and operations as they were at the end."""
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            message: Any = ""
            try:
                operations.install()
                self.main(stage)
            except SystemExit as end:
                message = end.code
            except BaseException:
                message = traceback.format_exc()
            with os.fdopen(writing, "w") as pipe:
                json.dump([str(message or ""), operations.names, operations.jobs], pipe)
            os._exit(1 if message else 0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        message, operations.names, operations.jobs = json.loads(text) if text else ("", [], [])
        return code, message, operations

    def trial(self, stage: str, at: int, kind: str) -> Trial:
        """A stage of which an operation or job fails, continued: what was wrong, and in which files it differs."""
        self.prepare(stage)
        code, message, _ = self.command(stage, Operations(self.root, at, kind))
        wrong = "" if code in (0, 137) else fault_of(code, message, self.root)
        different = self.differences(stage) if code == 0 else ["not finished"]
        lost = [name for name in different if not name.startswith("cache/")]  # which is filled again
        if lost and code == 0 and kind not in NO_MEMORY:
            wrong = f"exit code 0 with other files: {lost}"
        if different:
            before = stage + digest(self.root)
            if before not in self.resumed:
                again, reason, _ = self.command(stage, Operations(self.root))
                left = self.differences(stage) if again == 0 else [f"{again}: {reason[-600:]}"]
                self.resumed[before] = (reason, left)
            _, different = self.resumed[before]
        return {"code": code, "message": wrong, "different": different}

    def differences(self, stage: str) -> list[str]:
        """Figures and weights in which the run differs from an undisturbed one, and files that only one of them has."""
        one, other = self.folder / f"after-{stage}", self.root
        _, found = differences(one / "run", other / "run")
        names = [{str(path.relative_to(root)) for path in root.rglob("*")} for root in (one, other)]
        found += sorted(names[0] ^ names[1])
        for path in sorted((one / "run" / "checkpoints").glob("*.ckpt")):
            if (twin := other / "run" / "checkpoints" / path.name).exists() and twin.read_bytes() != path.read_bytes():
                states = [torch.load(each, weights_only=True)["state_dict"] for each in (path, twin)]
                if any(not torch.equal(states[0][key], states[1][key]) for key in states[0]):
                    found.append(path.name)
        return found


def save_images(folder: Path) -> None:
    """The first digits as a data set in folders of classes."""
    digits, first = load_digits(), 0
    for split, number in IMAGES.items():
        for index in range(first, first + number):
            path = folder / split / str(digits.target[index]) / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(path)
        first += number


def without_drawing() -> None:
    """Replaces what takes most of the time of a report and writes no file."""
    vl_convert.vegalite_to_png = lambda *_, **__: b"picture"
    vl_convert.vegalite_to_svg = lambda *_, **__: "picture"
    vl_convert.javascript_bundle = lambda *_, **__: ""
    altair.utils.schemapi.SchemaBase.validate = lambda *_, **__: None


def remember(owner: Any, name: str, state: Callable[[], tuple[Any, ...]]) -> None:
    """Replaces a function by one that keeps a copy of what it returned, which a child of this process may change."""
    function, kept = getattr(owner, name), {}

    def call(*arguments: Any, **more: Any) -> Any:
        now = (*state(), *map(str, more.get("overrides", ())))
        if now in kept:
            return kept[now]
        value = function(*arguments, **more)
        kept[now] = copy.deepcopy(value)
        return value

    setattr(owner, name, call)


def digest(folder: Path) -> str:
    """Of all names and contents."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(repr((str(path), path.read_bytes() if path.is_file() else b"")).encode())
    return found.hexdigest()


def fault_of(code: int, message: str, root: Path) -> str:
    """What is wrong with how a failed run ended; empty where nothing is."""
    if code == 1 and "\n" not in message and str(root) in message and any(each in message for each in REMEDIES):
        return ""
    return f"exit code {code}: {message[:400]}"


def trials(runs: Runs, arguments: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[Trial]:
    """Every `every`-th trial of the stages, from the `first` on, but those that are done."""
    operations = dict(runs.undisturbed())
    cases = [
        (stage, at, kind, counted)
        for stage, whole in operations.items()
        for kinds, counted in (((*ERRORS, END), whole.names), (NO_MEMORY, whole.jobs))
        for at in range(1, len(counted) + 1)
        for kind in kinds
        if stage in arguments.stages
    ]
    cases = [case for first in range(SPREAD) for case in cases[first::SPREAD]]  # so that few are of all stages
    for stage, at, kind, counted in cases[arguments.first :: arguments.every]:
        if (stage, at, kind) not in done:
            found = {"stage": stage, "operation": counted[at - 1], "at": at, "of": len(counted), "kind": kind}
            yield found | runs.trial(stage, at, kind)


def record(found: list[Trial]) -> dict[str, Any]:
    """Counts for each stage, and the trials that ended otherwise than they should."""
    rows: dict[str, Any] = {}
    for stage in STAGES:
        mine = [one for one in found if one["stage"] == stage]
        on_files = [one for one in mine if one["kind"] not in NO_MEMORY]
        rows[stage] = {
            "operations": max((one["of"] for one in on_files), default=0),
            "jobs": max((one["of"] for one in mine if one["kind"] in NO_MEMORY), default=0),
            "tried": len(mine),
            "memory": len(mine) - len(on_files),
            "killed": sum(one["code"] == 137 for one in mine),
            "ended_in_a_sentence": sum(one["code"] == 1 and not one["message"] for one in mine),
            "went_on": sum(one["code"] == 0 for one in mine),
            "equal": sum(not one["different"] for one in mine),
            "faults": [one for one in mine if one["message"] or one["different"]],
        }
    return rows


def table(figures: dict[str, Any]) -> str:
    """A record in Markdown."""
    names = {
        "operations": "operations that write",
        "tried": "injected failures",
        "memory": "of them of memory",
        "killed": "the process ended there",
        "ended_in_a_sentence": "ended in a sentence with the remedy",
        "went_on": "went on",
        "equal": "at last the files of an undisturbed run",
    }
    rows = {**figures, "all": {name: sum(row[name] for row in figures.values()) for name in names}}
    cells = [[stage, *(f"{row[name]:,}" for name in names)] for stage, row in rows.items()]
    return markdown(["stage", *names.values()], cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=Path, help="a line of JSON for each trial; those that it has are not repeated")
    parser.add_argument("--every", type=int, default=1, help="of the trials (%(default)s: all)")
    parser.add_argument("--first", type=int, default=0, help="trial (%(default)s)")
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES, help="none: only the record")
    arguments = parser.parse_args()
    text = arguments.trials.read_text() if arguments.trials.exists() else ""
    found = [json.loads(line) for line in text.splitlines()]
    known = {(one["stage"], one["at"], one["kind"]) for one in found}
    file, commit = arguments.trials.absolute(), this_commit()
    with tempfile.TemporaryDirectory(prefix="faults-") as name, file.open("a") as lines:
        stages = STAGES[: 1 + max(map(STAGES.index, arguments.stages), default=-1)]
        for one in trials(Runs(Path(name), stages), arguments, known) if stages else ():
            found.append({"commit": commit, **one})
            print(json.dumps(found[-1]), file=lines, flush=True)
            if one["message"] or one["different"]:
                print(one, file=sys.stderr, flush=True)
    figures = record(found)
    made = {"command": [f"python docs/results/faults.py trials.jsonl  # {stage}" for stage in figures]}
    commits = Counter(one["commit"] for one in found)
    made |= {"commit": ", ".join(f"{name} ({number} trials)" for name, number in commits.items())}
    made |= {"machine": this_machine(), "date": datetime.now(UTC).date().isoformat(), "figures": figures}
    print(json.dumps(made, indent=1))
