"""Replays standalone trainings of stored tables by five ways of choosing: python docs/results/rounds.py [FILE...].

Prints the tables of docs/results/rounds.md. Without files it uses the shipped library; each file is a ground_truths.csv
of a run. A repeat draws candidates of each pool; the other pools, without the architectures that are the same, are its
library. All ways are given the features that every scored architecture has.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from collect import markdown

from smash_lightning.evaluation.calibration import LEAST, LOSS, PENALTY, SCORED, Evaluation, centered_estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.ground_truths import LIBRARY, NAME
from smash_lightning.evaluation.ridge import Fitter, fit_others, scores
from smash_lightning.evaluation.tables import GROUND_TRUTHS, read_table

REPEATS = 100
CANDIDATES = 40  # of each pool in a repeat
STEPS = (6, 12, 18, 24)  # trained architectures
SHARE = 3  # architectures of each group in a round
SEEN = 3  # trainings of each architecture that choose; the others judge
RESAMPLES = 200  # of the comparison with the loss
Chosen = list[int]  # candidates in the order of their training


def predictions(own: pd.DataFrame, library: Sequence[pd.DataFrame], pool: pd.DataFrame) -> Floats:
    """Predicted normal scores of all candidates; with fewer than ten own ground truths from the library alone."""
    if len(own) < LEAST:
        others = Fitter.of(pool, library, SCORED).others
        assert others is not None
        return scores(pool, SCORED) @ fit_others(others, PENALTY)
    return scores(pool, SCORED, own) @ Fitter.of(own, library, SCORED).coefficients()


def better_than_loss(own: pd.DataFrame, library: Sequence[pd.DataFrame], rng: np.random.Generator) -> bool:
    """Whether the prediction is significantly better than the loss on held-out architectures."""
    if len(own) < LEAST:
        return False
    evaluation = Evaluation(own, RESAMPLES, rng)
    loss = own[LOSS].to_numpy(float)
    fitted = evaluation.rho(evaluation.predict(Fitter.of(own, library, SCORED)))
    difference = centered_estimate(fitted, evaluation.rho((loss, loss)))
    return difference is not None and difference.low > 0


def next_best(order: Floats, taken: Chosen, count: int) -> Chosen:
    """The best that are not taken."""
    return [int(index) for index in np.argsort(order, kind="stable") if index not in set(taken)][:count]


def ways_of(
    pool: pd.DataFrame, library: Sequence[pd.DataFrame], rng: np.random.Generator
) -> tuple[dict[str, Chosen], bool]:
    """The order in which each way trains candidates, and whether its last round met the condition of the fifth way."""
    score, shuffled = pool["smash_score"].to_numpy(float), [int(index) for index in rng.permutation(len(pool))]
    most, met = STEPS[-1], False

    def predicted(own: pd.DataFrame) -> Floats:
        return predictions(own, library, pool)

    def on_condition(own: pd.DataFrame) -> Floats:
        nonlocal met
        met = better_than_loss(own, library, rng)
        return predicted(own) if met else score

    def two_groups(order: Callable[[pd.DataFrame], Floats]) -> Chosen:
        trained: Chosen = []
        drawn: Chosen = []  # at random, on which alone is fitted
        while len(trained) < most:
            new = [index for index in shuffled if index not in trained][:SHARE]
            trained, drawn = trained + new, drawn + new
            best = next_best(order(pool.iloc[drawn].reset_index(drop=True)), trained, SHARE)
            trained = trained + best
        return trained

    def greedy() -> Chosen:
        trained: Chosen = []
        while len(trained) < most:
            trained = trained + next_best(predicted(pool.iloc[trained].reset_index(drop=True)), trained, 2 * SHARE)
        return trained

    ways = {
        "at random": shuffled[:most],
        "best by score": next_best(score, [], most),
        "best by library": next_best(predicted(pool[:0]), [], most),
        "two groups": two_groups(predicted),
        "two groups, on condition": two_groups(on_condition),
        "greedy alone": greedy(),
    }
    return ways, met


def replay(tables: Sequence[pd.DataFrame], repeat: int) -> pd.DataFrame:
    """A row per pool, way and number of trainings: excess of the best found, and its loss by other trainings."""
    rows = []
    for place, table in enumerate(tables):
        rng = np.random.default_rng([repeat, place])
        pool = table.iloc[rng.choice(len(table), CANDIDATES, replace=False)].reset_index(drop=True)
        known = set(table["fingerprint"])
        library = [other[~other["fingerprint"].isin(known)] for other in tables if other is not table]
        library = [other.reset_index(drop=True) for other in library if len(other) >= LEAST]
        losses = pool[[f"true_loss_{index}" for index in range(5)]].to_numpy(float)
        whole, seen, other = losses.mean(1), losses[:, :SEEN].mean(1), losses[:, SEEN:].mean(1)
        ways, met = ways_of(pool.assign(true_loss=whole), library, rng)
        for name, chosen in ways.items():
            for count in STEPS:
                some = chosen[:count]
                judged = other[some[int(seen[some].argmin())]] - other.mean()
                rows.append((place, name, count, whole[some].min() - whole.min(), judged, met))
    return pd.DataFrame(rows, columns=["pool", "way", "trainings", "excess", "gain", "met"]).assign(repeat=repeat)


def page(tables: Sequence[pd.DataFrame]) -> str:
    """All tables: means over pools, with the percentiles of the repeats."""
    found = pd.concat([replay(tables, repeat) for repeat in range(REPEATS)])
    ways = list(dict.fromkeys(found["way"]))
    lines = []

    def cell(values: pd.Series) -> str:
        low, high = np.quantile(values, (0.025, 0.975))
        return f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"

    for title, column in (("excess, nats", "excess"), ("best found minus mean candidate, by other trainings", "gain")):
        means = found.groupby(["way", "trainings", "repeat"])[column].mean()
        rows = [[way, *(cell(means[way, n]) for n in STEPS)] for way in ways]
        rows += [
            [f"{way}, minus {other}", *(cell(means[way, n] - means[other, n]) for n in STEPS)]
            for other in ways[:2]
            for way in ways[2:]
        ]
        lines.append(f"\n{markdown([title, *STEPS], rows)}")
    chosen = found[found["trainings"] == STEPS[1]]
    by_pool = chosen.pivot_table(index="way", columns="pool", values="excess").loc[ways]
    rows = [[way, *(f"{value:.4f}" for value in by_pool.loc[way])] for way in ways]
    lines.append(f"\n{markdown([f'excess after {STEPS[1]}, by pool', *by_pool], rows)}")
    lines.append(f"\nThe condition was met in the last round of {chosen['met'].mean():.0%} of the repeats.")
    return "\n".join(lines)


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[1:]] or [LIBRARY / "digits" / NAME]
    rows = pd.concat([read_table(file, GROUND_TRUTHS) for file in files], ignore_index=True)
    rows = rows[rows["representative"] == 1]
    print(page([part.reset_index(drop=True) for _, part in rows.groupby("pool", sort=False)]))
