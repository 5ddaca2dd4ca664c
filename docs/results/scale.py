"""Simulates the driver of a large run: python docs/results/scale.py > docs/results/scale.json, in seconds.

docs/scale.md describes what is simulated, and which costs are measured or assumed.
"""

import heapq
from argparse import ArgumentParser, Namespace

import numpy as np
from collect import markdown, record

POLL, SPREAD = 0.2, 0.2  # seconds; standard deviation of a job's length, as a share of it
COSTS = {
    "gpus": (256, "workers, each with one GPU"),
    "job_ms": (1.9, "of the driver: starting a chunk of jobs and receiving its results"),
    "row_ms": (0.7, "of the driver: a row of a table"),
    "message_ms": (0.02, "of the driver: receiving a message"),
    "mailbox_ms": (0.9, "of the mailbox: accepting a message"),
    "round_ms": (0.021, "of the driver for each row of a ranking after each batch: its state is written"),
    "candidates": (10_000, "that are scored"),
    "score_seconds": (2.0, "of a score"),
    "trainings": (1_000, "standalone trainings"),
    "steps": (27_000, "of a training: 30 epochs of 45,000 images in batches of 50"),
    "network_mb": (20, "of the weights of a network"),
}


def simulate(
    costs: Namespace, jobs: int, seconds: float, messages: float = 0, batch: int | None = None, chunk: float = 0.1
) -> dict[str, float]:
    """Hours, results per second, and the shares of time in which GPUs, driver and mailbox work.

    Jobs take `seconds` and send `messages`; `batch` are known at a time, `chunk` seconds of them travel together.
    """
    rng = np.random.default_rng(0)
    now = last = work = driver = mailbox = backlog = 0.0
    done, started, known = 0, 0, min(batch or jobs, jobs)
    busy: list[tuple[float, int]] = []  # end and number of jobs of each chunk

    def spend(milliseconds: float) -> None:
        nonlocal now, driver
        now, driver = now + milliseconds / 1e3, driver + milliseconds / 1e3

    while done < jobs:
        while started < known and len(busy) < costs.gpus:
            size = max(1, min(-(-(known - started) // costs.gpus), int(chunk / seconds)))
            length = float(np.maximum(0.1, rng.normal(1, SPREAD, size)).sum()) * seconds
            spend(costs.job_ms)
            heapq.heappush(busy, (now + length, size))
            started, work = started + size, work + length
        delay = backlog * costs.mailbox_ms / 1e3  # a job ends when its last message has been accepted
        now = max(now, min(busy[0][0] + delay, now + POLL))
        running = sum(end > now for end, _ in busy) if messages else 0
        backlog += running * messages / seconds * (now - last)
        accepted = min(backlog, (now - last) / costs.mailbox_ms * 1e3)
        backlog, mailbox, last = backlog - accepted, mailbox + accepted * costs.mailbox_ms / 1e3, now
        spend(accepted * costs.message_ms)
        while busy and busy[0][0] + delay <= now:
            size = heapq.heappop(busy)[1]
            done += size
            spend(size * costs.row_ms)
        if batch and done == known < jobs:
            known = min(known + batch, jobs)
            spend(done * costs.round_ms)
    found = (now / 3600, jobs / now, work / (now * costs.gpus), driver / now, mailbox / now)
    return dict(zip(("hours", "per_second", "gpus", "driver", "mailbox"), found, strict=True))


def plan(costs: Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """The simulations of docs/scale.md: a row for each value that is varied."""
    few, many, count, seconds = 40 * costs.gpus, 200 * costs.gpus, costs.candidates, costs.score_seconds
    rows = {
        "scores, known at a time": {f"{b:,}": simulate(costs, count, seconds, batch=b) for b in (16, 256, 1024, count)},
        "jobs of so many seconds": {f"{s:g}": simulate(costs, few, s) for s in (0.02, 0.1, 0.5, 1, 2, 20)},
        "jobs of .1 s, seconds of a chunk": {f"{c:g}": simulate(costs, many, 0.1, chunk=c) for c in (0.1, 0.5, 1, 2)},
    }
    sent = {every: costs.steps / every + 130 for every in (1, 10, 100, 1000)}  # 100 of progress, 30 of epochs
    for length in (1800, 600):
        rows[f"trainings of {length:,} s, steps between metrics"] = {
            f"{every:,}": simulate(costs, costs.trainings, length, messages) for every, messages in sent.items()
        }
    slower = [Namespace(**vars(costs) | {"job_ms": ms}) for ms in (1.9, 5.2)]
    return rows | {"jobs of 1 s, ms of the driver for each": {f"{s.job_ms:g}": simulate(s, few, 1) for s in slower}}


def sizes(costs: Namespace, trainings: int) -> dict[str, float]:
    """Bytes that are stored and sent; those of a row are of a run of the digits, 1,130 of them an architecture."""
    return {
        "score_results_gb": costs.candidates * 5_000 * 100 * 4 / 1e9,  # probabilities of 5,000 images and 100 classes
        "score_context_mb": 5_000 * 3 * 32 * 32 * 4 / 1e6,
        "ranking_writes_gb": costs.candidates**2 / 16 / 2 * 1_450 / 1e9,  # the state after each batch of 16
        "tables_mb": (costs.candidates * (174 + 1_130) + trainings * (113 + 30 * 41)) / 1e6,
        "networks_gb": trainings * costs.network_mb / 1e3,
        "checkpoints_mb_per_second": costs.gpus * 2 * costs.network_mb / 600,  # with momentum, every 10 minutes
    }


def table(name: str, rows: dict[str, dict[str, float]]) -> str:
    """A simulation in Markdown."""
    cells = [
        [label, f"{row['hours']:.3g}", f"{row['per_second']:.3g}"]
        + [f"{100 * row[name]:.0f} %" for name in ("gpus", "driver", "mailbox")]
        for label, row in rows.items()
    ]
    return markdown([name, "hours", "results/s", "GPUs busy", "driver busy", "mailbox busy"], cells)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    for name, (value, text) in COSTS.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"{text} (%(default)s)")
    arguments = parser.parse_args()
    stored = {f"{count:,}": sizes(arguments, count) for count in (arguments.trainings, 10_000_000)}
    found = {"plan": {"costs": vars(arguments), "simulations": plan(arguments), "sizes": stored}}
    print(record(["python docs/results/scale.py"], found))
