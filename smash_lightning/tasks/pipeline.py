"""All stages, one after the other."""

from __future__ import annotations

from smash_lightning.report.tracker import Tracker
from smash_lightning.tasks.correlate import correlate
from smash_lightning.tasks.experiment import Experiment
from smash_lightning.tasks.rank import rank
from smash_lightning.tasks.retrain import require_pool, retrain
from smash_lightning.tasks.rivals import rivals
from smash_lightning.tasks.search import search


def pipeline(experiment: Experiment, tracker: Tracker) -> float | None:
    """From data to an honest correlation: search, rank, retrain, rivals, correlate. Returns the correlation.

    Raises:
        ValueError: more architectures are to be retrained than will be ranked.
    """
    randoms = [proposal.count for proposal in experiment.ranking.strategies if proposal.origin == "random"]
    require_pool(experiment.retrain, sum(randoms))  # what could be said only after hours is said at once
    search(experiment, tracker)
    rank(experiment, tracker)
    retrain(experiment, tracker)
    rivals(experiment, tracker)
    return correlate(experiment, tracker)
