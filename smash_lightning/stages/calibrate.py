"""Predicts the test loss from all that is known of an architecture, and keeps it for later runs."""

import json
from dataclasses import asdict, fields, replace

import pandas as pd

from smash_lightning.evaluation.calibration import Calibration
from smash_lightning.evaluation.calibration import calibrate as fit_and_evaluate
from smash_lightning.evaluation.ground_truths import Identity, ground_truths, named_digest, pool_of, read_library
from smash_lightning.evaluation.sample import Sample, join
from smash_lightning.evaluation.tables import (
    BASELINES,
    GREEDY,
    GROUND_TRUTHS,
    RANKING,
    read_if_exists,
    read_ranking,
    read_retrained,
    write_table,
)
from smash_lightning.files import write_text
from smash_lightning.report.build import build
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.verdict import calibration_sentences
from smash_lightning.stages.experiment import Experiment, copy_tables

SELECTION = {
    "rounds",
    "seeds",
    "shortlist",
    "stratified",
    "random",
    "rank",
    "presets",
    "architectures",
    "checkpoint_minutes",
    "graphs",
}
"""Options of standalone training that are not part of its recipe."""


def calibrate(experiment: Experiment, tracker: Tracker) -> float | None:
    """Calibrates a finished run again, for example with another library, and builds its report anew.

    Returns:
        Spearman of the calibrated prediction; None where it is undefined.

    Raises:
        ValueError: nothing was ranked or retrained, or the library does not fit.
    """
    source, folder = experiment.source_folder(), experiment.prepare_folder()
    read_retrained(source)  # an error here is better than a folder of incomplete tables
    tables = ("retrained", "training_history", "baselines", "settling", "correlation")
    copy_tables(source, folder, *tables, overwrite=True)
    calibration = write_calibration(experiment)
    if folder.correlation.exists():
        build(folder.path)
    files = [folder.calibration, folder.ground_truths]
    tracker.artifact("calibration", "evaluation", files, [("retrained", source.path)])
    print(" ".join(calibration_sentences(json.loads(calibration.to_json()))))
    return None if calibration.spearman is None else calibration.spearman.value


def write_calibration(experiment: Experiment) -> Calibration:
    """Writes `ground_truths.csv`, `calibration.json` and the predictions in `ranking.csv`, from the other tables.

    Raises ValueError as `read_library`.
    """
    folder, ranking = experiment.folder, read_ranking(experiment.folder)
    sample = join(ranking, read_retrained(folder), read_if_exists(folder.baselines, BASELINES))
    calibration, predictions, own = fitted(experiment, ranking, sample)
    write_table(folder.ground_truths, GROUND_TRUTHS, own)
    write_table(folder.ranking, RANKING, ranking.assign(**predictions))
    write_text(folder.calibration, calibration.to_json() + "\n")
    return calibration


def fitted(
    experiment: Experiment, ranking: pd.DataFrame, sample: Sample
) -> tuple[Calibration, pd.DataFrame, pd.DataFrame]:
    """The calibration on a sample of the ranking, the predictions for the ranking, and the ground truths of the sample.

    Raises ValueError as `read_library`.
    """
    pool, identity = pool_of(ranking), identity_of(experiment)
    own = ground_truths(sample, experiment.folder.read_architectures(), pool, identity)
    resamples, seed = experiment.evaluation.bootstrap, experiment.seed
    calibration, predictions = fit_and_evaluate(own, library_of(experiment), ranking, resamples=resamples, seed=seed)
    return replace(calibration, greedy=int(sample.table[GREEDY].sum())), predictions, own


def library_of(experiment: Experiment) -> list[pd.DataFrame]:
    """The ground truths of earlier runs; raises ValueError as `read_library`."""
    options = experiment.evaluation
    return read_library(options.library, identity_of(experiment), options.other_runs)


def identity_of(experiment: Experiment) -> Identity:
    """What the ground truths of an experiment depend on."""
    data, retrain = experiment.data, experiment.retrain
    # An option at its default is left out, so that a recipe is that of the versions before the option was added.
    defaults = {field.name: field.default for field in fields(retrain)}
    options = {
        name: value for name, value in asdict(retrain).items() if name not in SELECTION and value != defaults[name]
    }
    batches = {"batch_size": data.batch_size, "augmentation": repr(data.augmentation), "views": data.views}
    images, space = data.specification(), experiment.candidates.specification()
    return Identity(
        data=named_digest(str(data.name), images),
        space=named_digest(type(experiment.space).__name__, space),
        recipe=named_digest(f"{retrain.epochs}_epochs", options | batches),
    )
