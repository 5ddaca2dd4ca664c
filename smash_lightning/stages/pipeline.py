"""All stages, one after the other."""

from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.baselines import baselines
from smash_lightning.stages.calibrate import library_of
from smash_lightning.stages.correlate import correlate
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import rank
from smash_lightning.stages.retrain import retrain
from smash_lightning.stages.search import search
from smash_lightning.stages.selection import given_architectures, require_pool


def pipeline(experiment: Experiment, tracker: Tracker) -> float | None:
    """From data to a correlation: search, rank, retrain, baselines, correlate. Returns the value of the metric.

    Raises ValueError where more architectures are to be retrained than will be ranked, one that is given does not fit
    the images, or the library does not fit.
    """
    randoms = [strategy.count for strategy in experiment.ranking.active_strategies if strategy.name == "random"]
    require_pool(experiment.retrain, sum(randoms))  # an error here is better than one after hours
    given_architectures(experiment.retrain, experiment.space)  # likewise
    library_of(experiment)
    search(experiment, tracker)
    rank(experiment, tracker)
    retrain(experiment, tracker)
    baselines(experiment, tracker)
    return correlate(experiment, tracker)
