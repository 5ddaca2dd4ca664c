"""Does a process stay as it is over many steps, scores and trainings? Memory, descriptors, threads, children, files.

soak.csv: a row per sample: `kind` and `count` of what was done before it, `memory_mb` (resident), `descriptors`,
`threads`, `children` (processes), `files` (in the temporary folder, which is one of this run, and unfinished ones).
soak.json: for each kind the slope of the memory in MB per 1,000, without the first `warm_up` of the samples, its growth
over all of them, the largest number of each of the others in the first and second half of those samples, and whether
memory and these are `flat`: growth below FLAT of the memory, no number larger in the second half.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
from pydantic import PositiveInt

from smash_lightning.files import write_text
from smash_lightning.option_types import Probability
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import scorer_of
from smash_lightning.stages.retrain import Job, train_networks
from smash_lightning.stages.search import train_hypernet

FLAT = 0.03  # share of the memory
NUMBERS = ["descriptors", "threads", "children", "files"]


def soak(
    experiment: Experiment,
    tracker: Tracker,
    steps: PositiveInt = 20_000,
    scores: PositiveInt = 5_000,
    trainings: PositiveInt = 500,
    samples: PositiveInt = 50,
    warm_up: Probability = 0.2,
) -> float:
    """Trains a HyperNet, scores with it and trains networks, each in this process; conf/task/soak.yaml has the options.

    Returns:
        The largest growth of the memory, MB.

    Raises ValueError where the system has no /proc.
    """
    if not Path("/proc/self/status").exists():
        raise ValueError("task=soak reads /proc, which this system does not have: use Linux")
    folder, rows = experiment.prepare_folder(), list[dict[str, Any]]()

    def sample(kind: str, done: int, of: int) -> None:
        if done % max(1, of // samples) == 0:
            rows.append({"kind": kind, "count": done, **state(folder.path)})

    class Sampling(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            sample("steps", trainer.global_step, steps)

    epochs = -(-steps // len(experiment.data.ordered(Stream.SEARCH, 0).train_dataloader()))
    one = replace(experiment, search=replace(experiment.search, hypernets=1, epochs=epochs))

    def architecture(kind: str, index: int) -> Any:
        return one.space.sample(rng(Stream.BENCHMARK, one.seed, kind, index))

    with own_temporary_folder(folder.path / "temporary"):
        train_hypernet(replace(one, callbacks=[Sampling]), ("hypernet", 0, []), lambda message: None)
        scorer, _ = scorer_of(one)
        for index in range(scores):
            scorer(architecture("scores", index))
            sample("scores", index + 1, scores)
        for index in range(trainings):
            job = Job(architecture("trainings", index), frozenset({"random"}), (index,))
            train_networks(one, job, lambda message: None)
            folder.network(job.architecture.fingerprint, index).unlink(missing_ok=True)
            sample("trainings", index + 1, trainings)
    table = pd.DataFrame(rows)
    table.to_csv(folder.path / "soak.csv", index=False)
    found = {
        str(kind): fitted(part.iloc[int(warm_up * len(part)) :]) for kind, part in table.groupby("kind", sort=False)
    }
    write_text(folder.path / "soak.json", json.dumps(found, indent=1) + "\n")
    print(pd.DataFrame(found).T.to_string())
    return max(row["growth_mb"] for row in found.values())


def state(folder: Path) -> dict[str, float]:
    """What this process holds now."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    children = (path.read_text().split() for path in Path("/proc/self/task").glob("*/children"))
    files = len([*Path(tempfile.gettempdir()).rglob("*"), *folder.rglob("*.partial"), *folder.rglob("*.unfinished*")])
    counts = (len(os.listdir("/proc/self/fd")) - 1, int(status["Threads"]), sum(map(len, children)), files)
    return {"memory_mb": int(status["VmRSS"].split()[0]) / 1024, **dict(zip(NUMBERS, counts, strict=True))}


def fitted(rows: pd.DataFrame) -> dict[str, Any]:
    """A line through the memory of samples, and the other numbers in their halves."""
    slope = float(np.polyfit(rows["count"], rows["memory_mb"], 1)[0]) if len(rows) > 1 else 0.0
    growth, half = slope * float(rows["count"].iloc[-1] - rows["count"].iloc[0]), len(rows) // 2
    early, late = rows[NUMBERS].iloc[:half].max(), rows[NUMBERS].iloc[half:].max()
    flat = bool(growth < FLAT * rows["memory_mb"].mean() and (late <= early).all())
    known = {"count": int(rows["count"].iloc[-1]), "memory_mb": float(rows["memory_mb"].mean()), "growth_mb": growth}
    numbers = {name: [int(early[name]), int(late[name])] for name in NUMBERS}
    return {**known, "mb_per_1000": 1000 * slope, **numbers, "flat": flat}


@contextmanager
def own_temporary_folder(path: Path) -> Iterator[None]:
    """Within it, the temporary folder of this process is `path`, so that other processes' files are not counted."""
    path.mkdir(exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(path)
    try:
        yield
    finally:
        tempfile.tempdir = before
