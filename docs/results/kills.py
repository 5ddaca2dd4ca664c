"""Kills processes of runs, and compares their files: python docs/results/kills.py kills.json.

Each run is a small pipeline by two workers. `worker`: the one that has run for longer is killed (SIGKILL) at random
moments while the command goes on; `driver`: the process of the command is killed, and the run continued with
resume=FOLDER. A run that ends with an error, as one job was hit too often, is continued in the same way.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from collect import markdown, this_commit, this_machine

ROOT = Path(__file__).parents[2]
Record = dict[str, Any]
OPTIONS = [
    *("search.hypernets=2", "search.epochs=6", "search.checkpoint_every=1", "ranking.strategies.random.count=24"),
    *("ranking.strategies.perturb.count=6", "ranking.strategies.markov.count=4", "ranking.fixed=4"),
    *("ranking.fixed_every=3", "retrain.epochs=2", "retrain.seeds=2", "retrain.shortlist=3", "retrain.stratified=8"),
    *("retrain.random=4", "evaluation.bootstrap=500", "logger=csv", "workers=2", "baselines=cheap"),
]
WORKERS = {"local": b"spawn_main", "ray": b"ray::Actor"}  # in the command lines of workers
SECONDS = (4, 10)  # from a moment with workers to a kill
KILLS_PER_RUN = {"worker": 4, "driver": 10}  # two of each worker, as many as `engine.retries`


def children() -> dict[int, list[int]]:
    """All processes by the process that started them."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    return found


def workers(driver: int, engine: str) -> list[int]:
    """The workers of a command."""
    tree, found, below = children(), [], [driver]
    while below:
        for process in tree.get(below.pop(), []):
            below.append(process)
            with suppress(OSError):
                if WORKERS[engine] in Path(f"/proc/{process}/cmdline").read_bytes():
                    found.append(process)
    return sorted(found)


def alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(process: int) -> int:
    """When a process was started, in ticks of the system's clock; a large number where it has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    return sys.maxsize


def start(options: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a command, which writes to a log."""
    with log.open("ab") as output:
        command = [sys.executable, str(ROOT / "run.py"), *options]
        return subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent, start_new_session=True)


def disturbed(folder: Path, engine: str, target: str, kills: int, rng: random.Random) -> dict[str, Any]:
    """A run with at most so many kills: what was killed and when, and how long workers stayed after their driver."""
    options, log = [*OPTIONS, f"engine={engine}", f"hydra.run.dir={folder}"], folder.with_suffix(".log")
    began, done, stayed, code = time.monotonic(), 0, [], None
    command = start(options, log)
    while code is None:
        while (code := command.poll()) is None and not workers(command.pid, engine):
            time.sleep(0.5)
        with suppress(subprocess.TimeoutExpired):
            code = command.wait(rng.uniform(*SECONDS) if done < kills else 1800)
        found = [] if code is not None else workers(command.pid, engine)
        if not found:
            continue
        if target == "worker":
            os.kill(min(found, key=started), signal.SIGKILL)  # not the same job again and again
            done += 1
        else:
            command.kill()
            command.wait()
            done, killed = done + 1, time.monotonic()
            while any(map(alive, found)) and time.monotonic() < killed + 30:
                time.sleep(0.05)
            stayed.append(round(time.monotonic() - killed, 2))
            continues = (folder / "config.yaml").exists()
            command = start([f"resume={folder}"] if continues else options, log)
    record = {"kills": done, "exit_code": code, "workers_stayed": stayed}
    if code != 0:
        record["exit_code_resumed"] = start([f"resume={folder}"], log).wait()
    return record | {"seconds": round(time.monotonic() - began)}


def columns(path: Path) -> dict[str, list[Any]]:
    """The columns of a table; the history of trainings has them in the order in which they end."""
    frame = pd.read_csv(path)
    if path.name == "training_history.csv":
        frame = frame.sort_values(["fingerprint", "seed", "step"])
    return frame.to_dict("list")


def differences(one: Path, other: Path) -> tuple[int, list[str]]:
    """Number of figures of two runs that were compared, and the names of those that differ; times do not count."""
    count, found = 0, []

    def compare(name: str, a: Any, b: Any) -> None:
        nonlocal count
        if any(word in name.lower() for word in ("second", "time", "latency")):
            return
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            for key in a:
                compare(f"{name}.{key}", a[key], b[key])
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for index, pair in enumerate(zip(a, b, strict=True)):
                compare(f"{name}.{index}", *pair)
        else:
            count += 1
            if a != b and not (a != a and b != b):
                found.append(name)

    names = {path.name for folder in (one, other) for path in folder.glob("*.[cj]s*")}
    for name in sorted(names):
        texts = [path.read_text() if path.exists() else "" for path in (one / name, other / name)]
        if name.endswith(".csv") and all(texts):
            compare(name, *(columns(folder / name) for folder in (one, other)))
        elif name.endswith(".json") and all(texts):
            compare(name, *map(json.loads, texts))
        else:
            compare(name, *texts)
    compare(
        "checkpoints", *(sorted(each.name for each in (folder / "checkpoints").iterdir()) for folder in (one, other))
    )
    return count, found


def series(record: Record, engine: str, target: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Runs until so many processes were killed, those of the record included."""
    runs = record["figures"].setdefault(f"{engine}, {target}", [])
    while (left := arguments.kills - sum(run["kills"] for run in runs)) > 0:
        path, rng = arguments.folder / f"{engine}-{target}-{len(runs)}", random.Random(len(runs))
        run = disturbed(path, engine, target, min(left, KILLS_PER_RUN[target]), rng)
        ended = run.get("exit_code_resumed", run["exit_code"]) == 0
        run["figures"], run["different"] = differences(arguments.undisturbed, path) if ended else (0, [])
        runs.append(run)
        yield run


def table(figures: dict[str, list[dict[str, Any]]]) -> str:
    """A record in Markdown."""
    names = "kills", "runs", "that ended with an error", "figures compared", "different", "s until workers end, at most"
    rows = []
    for name, runs in figures.items():
        sums = [sum(run["kills"] for run in runs), len(runs), sum(run["exit_code"] != 0 for run in runs)]
        sums += [sum(run["figures"] for run in runs), sum(len(run["different"]) for run in runs)]
        stayed = max((each for run in runs for each in run["workers_stayed"]), default="-")
        rows.append([name, *(f"{each:,}" for each in sums), stayed])
    return markdown(["engine, killed", *names], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, help="written after each run; where it exists, its series are continued")
    parser.add_argument("--kills", type=int, default=20, help="for each engine and target (%(default)s)")
    parser.add_argument("--engines", nargs="+", default=["local", "ray"], choices=WORKERS)
    parser.add_argument("--targets", nargs="+", default=["worker", "driver"], choices=["worker", "driver"])
    parser.add_argument(
        "--undisturbed", type=Path, help="folder of a finished run of the same options, else it is made"
    )
    arguments = parser.parse_args()
    arguments.folder = Path(tempfile.mkdtemp(prefix="kills-"))
    made = {"commit": this_commit(), "machine": this_machine(), "date": datetime.now(UTC).date().isoformat()}
    record: Record = {"command": [], **made, "figures": {}}
    if arguments.record.exists() and (record := json.loads(arguments.record.read_text()))["commit"] != made["commit"]:
        sys.exit(f"{arguments.record} is of commit {record['commit']}, this is {made['commit']}")
    if arguments.undisturbed is None:
        arguments.undisturbed = arguments.folder / "undisturbed"
        first = start([*OPTIONS, "workers=1", f"hydra.run.dir={arguments.undisturbed}"], arguments.folder / "first.log")
        if first.wait():
            sys.exit(f"the undisturbed run failed, see {arguments.folder}")
    for engine in arguments.engines:
        for target in arguments.targets:
            for run in series(record, engine, target, arguments):
                print(engine, target, run, flush=True)
                record["command"] = ["python docs/results/kills.py kills.json"] * len(record["figures"])
                arguments.record.write_text(json.dumps(record, indent=1))
