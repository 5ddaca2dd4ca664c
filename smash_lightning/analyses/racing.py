"""Does a race find the best, and what does it save? Replayed over the whole table of losses of real HyperNets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.stats import t
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.engine import Pool
from smash_lightning.evaluation.bootstrap import CONFIDENCE, Estimate
from smash_lightning.evaluation.tables import write_records
from smash_lightning.evaluation.verdict import figure
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.intervals import interval_lines
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import hypernets_of
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Racing
from smash_lightning.strategies.racing import Race, score_images


@dataclass(frozen=True, slots=True)
class Replay:
    """A row of the table: one race over the table of losses.

    Args:
        candidates: drawn from those that were scored in full.
        repeat: which of the repeats, with other candidates and another order of the images.
        spread: standard deviation of the candidates' true mean losses, nats.
        noise: median standard deviation of a difference of two candidates on one image, nats.
        recall: share of the best `keep` that the race kept.
        images: share of all images that it took.
        halving_recall: the same of halving from the same first round, which drops the worse half whatever the noise.
        halving_images: its share of images.
    """

    candidates: int
    repeat: int
    spread: float
    noise: float
    recall: float
    images: float
    halving_recall: float
    halving_images: float


def racing(
    experiment: Experiment,
    tracker: Tracker,
    *,
    racing: Racing,
    architectures: int,
    candidates: tuple[int, ...],
    repeats: int,
) -> float | None:
    """Scores many candidates on all validation images, then races samples of them, and counts what is found and spent.

    Args:
        experiment: its source folder holds the HyperNets.
        tracker: gets the picture and the figures.
        racing: the options of the race.
        architectures: how many are scored in full.
        candidates: sizes of the samples that race.
        repeats: races of each size.

    Returns:
        Mean recall at the largest size.

    Raises:
        ValueError: a sample is larger than what is scored, there are fewer than two repeats, or no HyperNet.
    """
    if repeats < 2 or not candidates or max(candidates) > architectures or min(candidates) < 2:
        raise ValueError(
            f"task.candidates={list(candidates)} must lie between 2 and task.architectures={architectures}, and "
            f"task.repeats={repeats} be at least 2"
        )
    losses = _losses(experiment, architectures)
    labels = experiment.data.validation.labels
    rows = [_replay(racing, losses, labels, size, repeat) for size in candidates for repeat in range(repeats)]
    folder = experiment.folder.path
    write_records(folder / "racing.csv", rows, Replay)
    return _report(experiment, tracker, rows, racing)


def _losses(experiment: Experiment, count: int) -> Tensor:
    """Mean loss over HyperNets of each candidate on each validation image (candidates, images)."""
    hypernets = hypernets_of(experiment)
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, hypernets)
    everything = torch.arange(len(experiment.data.validation))
    drawn = [experiment.candidates.sample(rng(Stream.RACING, experiment.seed, index)) for index in range(count)]
    jobs: list[tuple[Architecture, Tensor]] = [(architecture, everything) for architecture in drawn]
    losses = torch.zeros(count, len(everything), dtype=torch.float64)
    with ProgressBars(["scoring candidates"], [count]) as bars, Pool(score_images, scorer, experiment.workers) as pool:
        for done, (position, outcome) in enumerate(pool.results(jobs, lambda i: f"scoring candidate {i}"), start=1):
            losses[position] = outcome[:-1].mean(0)
            bars.show(0, done)
    return losses


def _replay(racing: Racing, losses: Tensor, labels: Tensor, size: int, repeat: int) -> Replay:
    chosen = rng(Stream.REPLAY, size, repeat).sample(range(len(losses)), size)
    table = losses[chosen]
    race = Race(racing, size, labels, repeat)
    state = race.init()
    while len(positions := race.positions(state)):
        state = race.update(state, table[list(state.active)][:, positions])
    kept = list(state.active)
    found, spent = halving(table[:, race.order], race.keep, racing.sizes(table.shape[1]))
    pairs = (table[::2][: size // 2] - table[1::2][: size // 2]).std(1)
    return Replay(
        candidates=size,
        repeat=repeat,
        spread=float(table.mean(1).std()),
        noise=float(pairs.median()),
        recall=recall(table, kept, race.keep),
        images=race.image_share(state),
        halving_recall=recall(table, found, race.keep),
        halving_images=spent,
    )


def recall(table: Tensor, kept: Sequence[int], count: int) -> float:
    """Share of the `count` lowest mean losses of `table` (candidates, images) that `kept` holds."""
    best = set(table.mean(1).argsort(stable=True)[:count].tolist())
    return len(best & set(kept)) / count


def halving(table: Tensor, keep: int, sizes: Sequence[int]) -> tuple[list[int], float]:
    """Successive halving (Karnin et al. 2013): after each round but the last the better half goes on.

    Args:
        table: losses (candidates, images), images in the order of the race.
        keep: fewest candidates that go on.
        sizes: images seen by the end of each round.

    Returns:
        The candidates of the last round, and the share of images spent.
    """
    active, spent, seen = list(range(len(table))), 0, 0
    for size in sizes:
        spent += len(active) * (size - seen)
        seen = size
        if size != sizes[-1]:
            means = table[active, :size].mean(1).tolist()
            order = sorted(range(len(active)), key=means.__getitem__)
            active = [active[place] for place in order[: max(keep, len(active) // 2)]]
    return active, spent / table.numel()


def _report(experiment: Experiment, tracker: Tracker, rows: Sequence[Replay], racing: Racing) -> float:
    sizes = sorted({row.candidates for row in rows})
    figures = {
        size: {name: _mean(rows, size, name) for name in ("recall", "images", "halving_recall", "halving_images")}
        for size in sizes
    }
    folder = experiment.folder.path
    spread, noise = (float(np.mean([getattr(row, name) for row in rows])) for name in ("spread", "noise"))
    plain = {"spread": spread, "noise": noise, "keep": racing.keep, "min_keep": racing.min_keep}
    results = {str(size): {name: asdict(value) for name, value in part.items()} for size, part in figures.items()}
    (folder / "racing.json").write_text(json.dumps(plain | {"by_candidates": results}, indent=2) + "\n")
    names = {
        "recall": "race: recall",
        "images": "race: images",
        "halving_recall": "halving: recall",
        "halving_images": "halving: images",
    }
    picture = interval_lines(
        {label: [(size, *_plain(figures[size][name])) for size in sizes] for name, label in names.items()},
        x_label="candidates",
        y_label="share",
        title="What a race finds of the best, and what it takes",
        note=f"spread of true losses {spread:.3f} nats, of a difference on one image {noise:.2f} nats",
        log_x=True,
    )
    picture.savefig(folder / "racing.png")
    tracker.image("racing", folder / "racing.png")
    tracker.summary({f"racing/{name}": value.value for name, value in figures[sizes[-1]].items()})
    print(f"Losses spread by {spread:.4f} nats; a difference of two candidates by {noise:.3f} from image to image.")
    print("candidates  race: recall           images               halving: recall        images")
    for size, part in figures.items():
        print(f"{size:<12}" + "".join(f"{figure(value):<23}" for value in part.values()))
    return figures[sizes[-1]]["recall"].value


def _mean(rows: Sequence[Replay], size: int, name: str) -> Estimate:
    values = np.array([getattr(row, name) for row in rows if row.candidates == size])
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return Estimate(mean, mean - reach, mean + reach, len(values))


def _plain(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high
