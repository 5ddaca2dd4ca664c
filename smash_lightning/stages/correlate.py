"""The last stage: how well do score and ground truth agree, and does a baseline predict better?"""

from __future__ import annotations

import json
import math

from smash_lightning.evaluation.correlation import correlate as compare
from smash_lightning.evaluation.correlation import value
from smash_lightning.evaluation.tables import BASELINES, read_if_exists, read_ranking, read_retrained
from smash_lightning.files import atomic_write
from smash_lightning.report.build import build
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.verdict import summary
from smash_lightning.stages.collect import collect
from smash_lightning.stages.experiment import Experiment, copy_tables
from smash_lightning.stages.search import training_seconds


def correlate(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares scores and baselines with the ground truth; writes `correlation.json`, pictures and page.

    The tables are in the source folder of the experiment, and `baselines.csv` may be missing; or it is the folder of a
    sweep over trainings, whose jobs are collected first.

    Returns:
        The number that `experiment.evaluation.metric` names; None where it is undefined.

    Raises:
        ValueError: nothing was ranked or retrained, or the jobs of a sweep do not belong together.
    """
    experiment = collect(experiment)
    source, folder = experiment.source_folder(), experiment.prepare_folder()
    ranking, retrained = read_ranking(source), read_retrained(source)
    copy_tables(source, folder, "retrained", "training_history", "baselines", "settling", overwrite=True)
    hypernets = source.find_hypernets()
    correlation = compare(
        ranking,
        retrained,
        read_if_exists(folder.baselines, BASELINES),
        training_seconds=sum(map(training_seconds, hypernets)) if hypernets else math.nan,  # unknown without them
        bootstrap=experiment.evaluation.bootstrap,
        seed=experiment.seed,
    )
    with atomic_write(folder.correlation) as partial:
        partial.write_text(correlation.to_json() + "\n", encoding="utf-8")
    build(folder.path)
    made_from = [("ranking", source.path), ("retrained", source.path)]
    files = [path for path in (folder.baselines, folder.correlation, folder.report) if path.exists()]
    tracker.artifact("evaluation", "evaluation", files, made_from)
    print(summary(json.loads(correlation.to_json())))
    return value(experiment.evaluation.metric, correlation, ranking, retrained)
