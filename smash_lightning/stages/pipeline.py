"""All stages, one after the other."""

from __future__ import annotations

from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.baselines import baselines
from smash_lightning.stages.correlate import correlate
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import rank
from smash_lightning.stages.retrain import require_pool, retrain
from smash_lightning.stages.search import search


def pipeline(experiment: Experiment, tracker: Tracker) -> float | None:
    """From data to an honest correlation: search, rank, retrain, baselines, correlate. Returns the correlation.

    Raises:
        ValueError: more architectures are to be retrained than will be ranked.
    """
    randoms = [proposal.count for proposal in experiment.ranking.active_strategies if proposal.name == "random"]
    require_pool(experiment.retrain, sum(randoms))  # what could be said only after hours is said at once
    search(experiment, tracker)
    rank(experiment, tracker)
    retrain(experiment, tracker)
    baselines(experiment, tracker)
    return correlate(experiment, tracker)
