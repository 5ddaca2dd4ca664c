"""Which search strategy finds the lowest score at equal cost? (The paper's search, and better ones.)

The SMASH score of a candidate is computed among the candidates of all searches together, as a score that ranks within
one table is not comparable between searches; each search itself ranks by its own candidates.

strategies.csv: a row per scored candidate: `strategy`, `repeat`, `scored` (candidates so far), `val_loss`, `val_error`,
`params`, `smash_score`, `best` (lowest so far). The first candidates of a repeat are the same random ones for every
strategy.
strategies.json: `lowest` score of all, `regret` of each strategy (mean best score less the lowest) and
`advantage_over_random`: by how much its best score is lower than that of random draws, paired by repeat, Student's
interval.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from smash_lightning.analyses import frame
from smash_lightning.evaluation.bootstrap import Estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import CandidateMetrics, SmashScore
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import hypernets_of, make_ranking
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Random, Strategy, rank

RANDOM = "random"
POINTS = 8  # numbers of scored candidates at which the picture shows the best so far


def strategies(
    experiment: Experiment,
    tracker: Tracker,
    *,
    strategies: Mapping[str, Strategy],
    start: PositiveInt,
    repeats: Annotated[int, Field(ge=2)],
) -> float | None:
    """Continues from the same random candidates by each strategy; conf/task/strategies.yaml explains the options.

    Returns:
        The largest mean advantage over random draws, in units of the score; None without strategies.
    """
    counts = {strategy.count for strategy in strategies.values()}
    if len(counts) != 1 or min(counts) < 1:
        raise ValueError(f"task.strategies need one count for all of at least 1, got {sorted(counts)}")
    compared = {RANDOM: Random(counts.pop()), **strategies}
    searching = Searching(experiment, hypernets_of(experiment), compared, start)
    jobs = [(name, repeat) for repeat in range(repeats) for name in compared]
    parts = frame.run_jobs(searching, jobs, experiment.engine, "searching by", lambda job: job[0])
    table = scored_together(pd.concat(parts, ignore_index=True), experiment.ranking.smash_score)
    best = {
        str(name): part.pivot(index="repeat", columns="scored", values="best")
        for name, part in table.groupby("strategy", sort=False)
    }
    last = {name: curves.iloc[:, -1].to_numpy() for name, curves in best.items()}
    lowest, gains = float(table["best"].min()), advantage(last)
    positions = np.unique(np.linspace(0, len(best[RANDOM].columns) - 1, POINTS + 1).astype(int)[1:])
    series = {
        name: {position + 1.0: frame.t_interval(curves.iloc[:, position].to_numpy()) for position in positions}
        for name, curves in best.items()
    }
    regret = {name: float(values.mean() - lowest) for name, values in last.items()}
    results = {"repeats": repeats, "lowest": lowest, "regret": regret, "advantage_over_random": gains}
    note = f"mean of {repeats} searches with Student's 95 % intervals, not paired in the picture"
    picture = frame.Picture("Strategies at equal cost", note, "candidates scored", "lowest score so far")
    printed = {"lowest score": {name: frame.t_interval(values) for name, values in last.items()}}
    printed |= {"lower than random (paired)": gains}
    frame.publish(experiment, "strategies", table, results, series, picture, printed=printed)
    return max((gain.value for gain in gains.values()), default=None)


@dataclass(frozen=True)
class Searching:
    """One search by one strategy: rows of strategies.csv."""

    experiment: Experiment
    hypernets: list[TrainedHyperNet]
    strategies: Mapping[str, Strategy]
    start: int

    def __call__(self, job: tuple[str, int]) -> pd.DataFrame:
        """The candidates of a strategy (name, repeat), in the order in which they were scored."""
        name, repeat = job
        experiment = self.experiment
        proposals = {RANDOM: Random(self.start), "then": self.strategies[name]}
        options = replace(experiment.ranking, strategies=proposals)
        once = replace(experiment, ranking=options, seed=experiment.seed_of(repeat))
        scorer = make_scorer(experiment.data, options, experiment.seed, experiment.device, self.hypernets)
        ranking = make_ranking(once, scorer, frozenset().union(*(one.drawn for one in self.hypernets)))
        state = rank(ranking, ranking.init(), lambda some: map(scorer, some), lambda state, new: None, 1)
        return pd.DataFrame(
            [
                (name, repeat, number, row.val_loss, row.val_error, ranking.params(row))
                for number, row in enumerate(state.rows, start=1)
            ],
            columns=["strategy", "repeat", "scored", "val_loss", "val_error", "params"],
        )


def scored_together(table: pd.DataFrame, smash_score: SmashScore) -> pd.DataFrame:
    """Adds the SMASH score among all rows, `smash_score` (NaN becomes inf), and the `best` so far in each search."""
    rows = table[["val_error", "val_loss", "params"]].itertuples(index=False)
    scores = pd.Series(smash_score([CandidateMetrics(*row) for row in rows]), table.index).fillna(np.inf)
    table = table.assign(smash_score=scores)
    return table.assign(best=table.groupby(["strategy", "repeat"])["smash_score"].cummin())


def advantage(best: Mapping[str, Floats]) -> dict[str, Estimate]:
    """How much lower the best score of each strategy is than that of random draws, from the best of each repeat."""
    return {name: frame.t_interval(best[RANDOM] - values) for name, values in best.items() if name != RANDOM}
