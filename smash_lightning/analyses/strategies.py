"""Which way of proposing candidates finds the lowest score at equal cost? (The paper's search, and better ones.)"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.stats import t

from smash_lightning.engine import Pool
from smash_lightning.evaluation.bootstrap import CONFIDENCE, Estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.tables import write_records
from smash_lightning.evaluation.verdict import figure
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.report.intervals import interval_lines
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Scorer
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import hypernets_of, make_ranking
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Random, Strategy, rank
from smash_lightning.training.messages import Send

RANDOM = "random"
POINTS = 8  # numbers of scored candidates at which the picture shows the best so far


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the table: one scored candidate.

    Args:
        strategy: what proposed it; the first `start` of each repeat are the same random ones for all.
        repeat: which of the repeats.
        scored: how many had been scored, this one included.
        smash_score: what ranks, lower is better.
        best: the lowest key so far.
        params: parameters of the ordinary network.
    """

    strategy: str
    repeat: int
    scored: int
    smash_score: float
    best: float
    params: int


@dataclass(frozen=True)
class Race:
    """What each process needs: the experiment, its HyperNets, the strategies and the random start."""

    experiment: Experiment
    hypernets: Sequence[TrainedHyperNet]
    strategies: Mapping[str, Strategy]
    start: int


def strategies(
    experiment: Experiment,
    tracker: Tracker,
    *,
    strategies: Mapping[str, Strategy],
    start: int,
    repeats: int,
) -> float | None:
    """Lets each strategy go on from the same random candidates, and compares the best that it finds with random draws.

    Args:
        experiment: its source folder holds the HyperNets.
        tracker: gets the picture and the figures.
        strategies: by name, all of the same count.
        start: random candidates that are scored first.
        repeats: searches of each strategy, with other random candidates.

    Returns:
        The largest mean advantage over random draws, in units of the key.

    Raises:
        ValueError: counts differ, there are fewer than two repeats, or no HyperNet.
    """
    counts = {proposal.count for proposal in strategies.values()}
    if len(counts) != 1 or min(counts) < 1 or start < 1 or repeats < 2:
        raise ValueError(
            "task.strategies need one count for all, task.start at least 1 and task.repeats at least 2: "
            f"got counts {sorted(counts)}, start {start}, repeats {repeats}"
        )
    everyone = {RANDOM: Random(counts.pop()), **strategies}
    race = Race(experiment, hypernets_of(experiment), everyone, start)
    jobs = [(name, repeat) for repeat in range(repeats) for name in everyone]
    rows: list[Found] = []
    path = experiment.folder.path / "strategies.csv"
    with ProgressBars(["searching"], [len(jobs)]) as bars, Pool(search_once, race, experiment.workers) as pool:
        for done, (_, outcome) in enumerate(pool.results(jobs, lambda i: f"strategy {jobs[i][0]}"), start=1):
            rows += outcome
            bars.show(0, done)
    order = {job: place for place, job in enumerate(jobs)}
    rows.sort(key=lambda row: (order[row.strategy, row.repeat], row.scored))
    write_records(path, rows, Found)
    return _report(experiment, tracker, rows, list(everyone), repeats)


def search_once(race: Race, job: tuple[str, int], send: Send) -> list[Found]:
    """One search of one strategy, in a process of its own."""
    del send
    name, repeat = job
    experiment = race.experiment
    proposals = {"random": Random(race.start), "then": race.strategies[name]}
    options = replace(experiment.ranking, strategies=proposals)
    once = replace(experiment, ranking=options, seed=experiment.seed_of(repeat))
    scorer: Scorer = make_scorer(experiment.data, options, experiment.seed, experiment.device, race.hypernets)
    drawn = frozenset().union(*(hypernet.drawn for hypernet in race.hypernets))
    ranking = make_ranking(once, scorer, drawn)
    state = rank(ranking, ranking.init(), lambda some: [scorer(one) for one in some], lambda state, new: None, 1)
    keys = ranking.smash_scores(state.rows)
    best = np.minimum.accumulate(keys)
    params = [ranking.params(row) for row in state.rows]
    return [
        Found(name, repeat, place + 1, float(keys[place]), float(best[place]), params[place])
        for place in range(len(keys))
    ]


def advantage(found: Mapping[str, Floats]) -> dict[str, Estimate]:
    """How much lower the best key of each strategy is than that of random draws: positive where it helps.

    The mean over repeats with Student's interval, paired as all strategies of a repeat begin with the same candidates.

    Args:
        found: the best key of each repeat, by strategy.
    """
    results = {}
    for name, best in found.items():
        if name == RANDOM:
            continue
        gain = found[RANDOM] - best
        reach = float(t.ppf((1 + CONFIDENCE) / 2, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)))
        mean = float(gain.mean())
        results[name] = Estimate(mean, mean - reach, mean + reach, len(gain))
    return results


def _report(
    experiment: Experiment, tracker: Tracker, rows: Sequence[Found], names: Sequence[str], repeats: int
) -> float | None:
    table = {name: _curves(rows, name, repeats) for name in names}
    last = {name: curves[:, -1] for name, curves in table.items()}
    lowest = min(curve.min() for curve in last.values())
    gains = advantage(last)
    plain = {
        "repeats": repeats,
        "lowest": lowest,
        "regret": {name: float(best.mean() - lowest) for name, best in last.items()},
        "advantage_over_random": {name: asdict(gain) for name, gain in gains.items()},
    }
    folder = experiment.folder.path
    (folder / "strategies.json").write_text(json.dumps(plain, indent=2) + "\n")
    picture = interval_lines(
        {name: _points(curves) for name, curves in table.items()},
        x_label="candidates scored",
        y_label="lowest score so far",
        title="Strategies at equal cost",
        note=f"mean of {repeats} searches with Student's 95 % interval, which is not paired",
    )
    picture.savefig(folder / "strategies.png")
    tracker.image("strategies", folder / "strategies.png")
    tracker.summary({f"strategies/{name}": gain.value for name, gain in gains.items()})
    print(f"Lowest score after {table[RANDOM].shape[1]} candidates, mean of {repeats} searches [95 % interval]:")
    for name in names:
        ahead = "" if name == RANDOM else f"lower than random by {figure(gains[name], 4)}"
        print(f"  {name:<20}{last[name].mean():<10.4f}regret {last[name].mean() - lowest:<10.4f}{ahead}")
    return max((gain.value for gain in gains.values()), default=None)


def _curves(rows: Sequence[Found], name: str, repeats: int) -> Floats:
    """The lowest key so far, (repeats, scored)."""
    return np.array([[row.best for row in rows if row.strategy == name and row.repeat == r] for r in range(repeats)])


def _points(curves: Floats) -> list[tuple[float, float, float, float]]:
    reach = t.ppf((1 + CONFIDENCE) / 2, len(curves) - 1) / np.sqrt(len(curves))
    places = np.unique(np.linspace(0, curves.shape[1] - 1, POINTS + 1).astype(int)[1:])
    middle, spread = curves.mean(0), curves.std(0, ddof=1) * reach
    return [(p + 1.0, middle[p], middle[p] - spread[p], middle[p] + spread[p]) for p in places]
