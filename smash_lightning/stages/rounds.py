"""Standalone trainings in rounds: a share of the sample, then the best by what that share predicts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from smash_lightning.evaluation.sample import join
from smash_lightning.evaluation.tables import GREEDY, RETRAINED, read_table
from smash_lightning.stages.calibrate import fitted
from smash_lightning.stages.experiment import Experiment, in_order
from smash_lightning.stages.selection import Groups, best_of_families, choose

BOUND = 1.0  # standard deviations below the prediction by which the greedy group ranks


def rounds(experiment: Experiment, ranking: pd.DataFrame) -> Iterator[Groups]:
    """Which architectures are trained next, each with its groups; all are trained before the next ones are taken.

    With one round they are those of `choose`. With more, each round trains a share of the groups "stratified" and
    "random", which alone are fitted and reported, and then as large a share of the shortlist from all others. These are
    the best by the calibrated prediction of that moment where it is significantly better than the loss on held-out
    architectures (group "greedy" as well), or else by score. Finished trainings decide what follows, so that a resumed
    run chooses the same.

    Raises:
        ValueError: there are fewer architectures than the options need, or the library does not fit.
    """
    options, count = experiment.retrain, experiment.retrain.rounds
    if count == 1:
        yield choose(ranking, options, experiment.seed)
        return
    sample = choose(ranking, replace(options, shortlist=0), experiment.seed)
    best_of_families(ranking, options.shortlist, sample)  # an error here is better than one after hours
    trained: list[str] = []
    found: list[str] = []
    for index in range(count):
        share = list(sample)[index::count]
        yield {name: sample[name] for name in share}
        trained += share
        order, groups = _order(experiment, ranking, trained)
        number = options.shortlist * (index + 1) // count - len(found)
        best = best_of_families(order, number, sample, found)
        yield {name: set(groups) for name in best}
        found += best


def planned_trainings(experiment: Experiment, ranking: pd.DataFrame) -> int:
    """Number of standalone trainings of scored architectures, by the options or as given; raises as `rounds`."""
    options = experiment.retrain
    greedy = options.shortlist if options.rounds > 1 else 0  # none of which is in another group
    chosen = choose(ranking, replace(options, shortlist=options.shortlist - greedy), experiment.seed)
    given = experiment.source_folder().read_names().keys() & set(ranking["fingerprint"])  # others are in no coefficient
    return (len(chosen.keys() | given) + greedy) * options.seeds


def _order(experiment: Experiment, ranking: pd.DataFrame, trained: Sequence[str]) -> tuple[pd.DataFrame, set[str]]:
    """The ranking in the order by which the greedy group selects, and the groups of what it selects."""
    seeds = map(experiment.seed_of, range(experiment.retrain.seeds))
    rows = read_table(experiment.folder.retrained, RETRAINED)
    rows = in_order(rows[rows["fingerprint"].isin(trained)], ("fingerprint", "seed"), product(trained, list(seeds)))
    calibration, predicted, _ = fitted(experiment, ranking, join(ranking, rows))
    if calibration.compared_with_loss != "better":
        return ranking, {"shortlist"}
    bound = predicted["predicted_loss"] - BOUND * predicted["predicted_sd"]
    return ranking.iloc[np.argsort(bound, kind="stable")], {"shortlist", GREEDY}
