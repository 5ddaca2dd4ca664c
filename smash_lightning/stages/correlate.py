"""The last stage: how well do score and true error agree, and does a baseline do better?"""

from __future__ import annotations

import math

from smash_lightning.evaluation.correlation import correlate as compare
from smash_lightning.evaluation.metric import value
from smash_lightning.evaluation.summary import summary
from smash_lightning.evaluation.tables import Predicted, read_records
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.collect import collect, find_hypernets
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import ranked
from smash_lightning.stages.retrain import trained
from smash_lightning.stages.search import training_seconds
from smash_lightning.stages.show import show


def correlate(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares scores and baselines with truths, writes `correlation.json`, pictures and page, and prints a summary.

    Args:
        experiment: its source folder holds the tables; `baselines.csv` may be missing. Or it is the folder of a sweep
            over trainings, whose jobs are collected first.
        tracker: gets all that is shown.

    Returns:
        The figure that `experiment.evaluation.metric` names; None where it is undefined.

    Raises:
        ValueError: nothing was ranked or retrained, or a sweep's jobs do not belong together.
    """
    experiment = collect(experiment)
    source, folder = experiment.source_folder(), experiment.folder
    scored, retrained = ranked(source), trained(source)
    baselines = read_records(source.baselines, Predicted) if source.baselines.exists() else []
    hypernets = find_hypernets(source)
    correlation = compare(
        scored,
        retrained,
        baselines,
        training_seconds=sum(map(training_seconds, hypernets)) if hypernets else math.nan,  # they are lost
        bootstrap=experiment.evaluation.bootstrap,
        seed=experiment.seed,
    )
    (folder.path / "correlation.json").write_text(correlation.to_json() + "\n")
    show(experiment, tracker, scored, retrained, correlation)
    print(summary(correlation))
    return value(experiment.evaluation.metric, correlation, scored, retrained)
