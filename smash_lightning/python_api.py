"""The stages as functions, for scripts and notebooks: no Hydra, no command line.

    import smash_lightning as smash

    options = {"hypernet": {"growth": 16}, "search": {"epochs": 20}}
    smash.search("runs/first", **options)
    smash.rank("runs/first", **options)
    smash.retrain("runs/first", **options)
    print(smash.correlate("runs/first", **options))

Every function takes the same options, and a stage needs those of the stages before it. Without options it is the
default experiment of the command line. A stage that was interrupted continues when it is called again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import lightning as L
import pandas as pd

from smash_lightning import baselines as predictors
from smash_lightning import stages
from smash_lightning.architecture import ImageSpec
from smash_lightning.baselines import BaselineOptions
from smash_lightning.data import DataModule, Digits, Source
from smash_lightning.finished_run import FinishedRun, load
from smash_lightning.hypernet import HyperNetSpecification, WeightSource
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.scoring import LossPlusSizeRank, RecalibratedStatistics
from smash_lightning.search_space import MemoryBankSpace, SearchSpace, SingleConvolution, SizeMatched
from smash_lightning.stages import EvaluationOptions, Experiment
from smash_lightning.strategies import Markov, Perturb, Random, RankingOptions
from smash_lightning.training import RetrainOptions, SearchOptions

Changes = Mapping[str, Any]
Section = TypeVar("Section", SearchOptions, RankingOptions, RetrainOptions, BaselineOptions, EvaluationOptions)


class Options(TypedDict, total=False):
    """Options of `search`, `rank`, `retrain` and `correlate`.

    A section (search, ranking, retrain, baselines, evaluation) is a mapping of values that differ from the default,
    by the names that the command line has: `search={"epochs": 20}` is `search.epochs=20` there.

    Args:
        data: a `DataModule`, or a `Source`, of which a tenth of the training images is held out for scores; the digits.
        space: makes a search space for the images, or is one; `smashv1_tiny`.
        hypernet: a class that extends `WeightSource`, or a mapping of changed values, where "target" names another
            class; `ResidualHyperNet`.
        search: see `smash_lightning.training.SearchOptions`.
        ranking: see `smash_lightning.strategies.RankingOptions`.
        retrain: see `smash_lightning.training.RetrainOptions`.
        baselines: see `smash_lightning.baselines.BaselineOptions`.
        evaluation: see `smash_lightning.stages.EvaluationOptions`.
        seed: of everything; 0.
        workers: processes that share independent trainings and scores; 1. More of them need a script whose own code is
            below `if __name__ == "__main__":`.
        device: "cpu" or "cuda"; "cpu".
    """

    data: DataModule | Source
    space: SearchSpace | Callable[[ImageSpec], SearchSpace]
    hypernet: type[WeightSource] | HyperNetSpecification | Changes
    search: Changes
    ranking: Changes
    retrain: Changes
    baselines: Changes
    evaluation: Changes
    seed: int
    workers: int
    device: str


def search(folder: str | Path, **options: Unpack[Options]) -> list[Path]:
    """Trains the HyperNets (paper, algorithm 1), and writes their checkpoints into the run folder.

    Returns:
        The checkpoints.

    Raises:
        ValueError: an option is wrong.
        RuntimeError: a training failed.
    """
    return stages.search(experiment(folder, **options), Tracker([]))


def rank(folder: str | Path, **options: Unpack[Options]) -> pd.DataFrame:
    """Scores architectures with generated weights (paper, algorithm 1); writes `ranking.csv` and `architectures.jsonl`.

    Returns:
        `ranking.csv`, best SMASH score first.

    Raises:
        ValueError: an option is wrong, or the folder holds no HyperNets of these options.
    """
    return stages.rank(experiment(folder, **options), Tracker([]))


def retrain(folder: str | Path, **options: Unpack[Options]) -> pd.DataFrame:
    """Trains a shortlist, and a sample that no score selected, with standalone weights; writes `retrained.csv`.

    Returns:
        `retrained.csv`, a row per training.

    Raises:
        ValueError: an option is wrong, or the folder holds no complete ranking.
    """
    return stages.retrain(experiment(folder, **options), Tracker([]))


def correlate(folder: str | Path, **options: Unpack[Options]) -> FinishedRun:
    """Computes the baselines, compares all predictors with the test losses; writes `correlation.json` and the report.

    Returns:
        The run with all its results.

    Raises:
        ValueError: an option is wrong, or nothing was retrained in the folder.
    """
    made, tracker = experiment(folder, **options), Tracker([])
    stages.baselines(made, tracker)
    stages.correlate(made, tracker)
    return load(folder)


def experiment(folder: str | Path, **options: Unpack[Options]) -> Experiment:
    """What the stages work with, built from options.

    Raises:
        ValueError: an option does not exist, or has a wrong value.
    """
    if unknown := options.keys() - Options.__annotations__.keys():
        raise ValueError(f"there is no option {min(unknown)}; known: {', '.join(Options.__annotations__)}")
    data = _data(options.get("data", Digits()))
    data.setup()
    device = options.get("device", "cpu")
    space = options.get("space", smashv1_tiny)
    space = space if isinstance(space, SearchSpace) else space(data.image_spec)
    ranking = _changed(RANKING, "ranking", options)
    tolerance, target = ranking.size_tolerance, ranking.size_target
    return Experiment(
        folder=RunFolder(Path(folder)),
        source=None,
        seed=options.get("seed", 0),
        data=data,
        space=space,
        candidates=space if tolerance is None else SizeMatched(space, tolerance, target),
        hypernet=_hypernet(options.get("hypernet", {})),
        search=_changed(SEARCH, "search", options),
        ranking=ranking,
        retrain=_changed(RETRAIN, "retrain", options),
        baselines=_changed(BASELINES, "baselines", options),
        evaluation=_changed(EVALUATION, "evaluation", options),
        trainer=partial(
            L.Trainer,
            accelerator="gpu" if device == "cuda" else device,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
        ),
        device=device,
        workers=options.get("workers", 1),
    )


def smashv1_tiny(image_spec: ImageSpec) -> SearchSpace:
    """The default search space, SMASHv1 at a size for a CPU: two blocks of at most eight banks of four channels."""
    return MemoryBankSpace(
        image_spec=image_spec,
        body=SingleConvolution(kernel=3, max_dilation=3),
        base=4,
        max_units=4,
        inputs=(16, 16),
        memory=(32, 32),
        widths=(4,),
        min_ops=2,
        max_ops=5,
        bottleneck=1,
        bottleneck_capped=False,
        read_step=1,
        units="uniform",
        sample_banks=False,
        budget_depth=0,
        budget_share=(0.3, 0.5),
    )


# The default experiment of the command line, section by section; a test compares them with conf/.
DATA: dict[str, Any] = {
    **{"train": None, "batch_size": 50, "eval_batch_size": 250, "recalibration": 512, "stem_stride": 1},
    **{"validation": 0.1, "split_seed": 0},
}
DIGITS: dict[str, Any] = DATA | {"name": "digits", "validation": 500, "batch_size": 64, "eval_batch_size": 500}
HYPERNET = HyperNetSpecification("smash_lightning.hypernet.ResidualHyperNet", {})
SEARCH = SearchOptions(
    hypernets=3,
    epochs=134,
    learning_rate=2e-3,
    betas=(0.5, 0.999),
    epsilon=1e-8,
    weight_decay=1e-4,
    architectures_per_step=1,
    checkpoint_every=10,
)
RANKING = RankingOptions(
    strategies={"random": Random(200), "perturb": Perturb(40, 0.05), "markov": Markov(40, 0.05)},
    batch_norm=RecalibratedStatistics(),
    fixed=16,
    fixed_every=20,
    size_tolerance=0.1,
    smash_score=LossPlusSizeRank(),
)
RETRAIN = RetrainOptions(
    epochs=11,
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    seeds=5,
    shortlist=12,
    stratified=48,
    random=12,
    rank=None,
    start="random",
    use_validation=False,
    checkpoint_minutes=10,
)
BASELINES = BaselineOptions(
    baselines={
        "early_stopping": predictors.EarlyStopping(steps=None),
        "synflow": predictors.SynFlow(),
        "snip": predictors.Snip(),
        "gradient_norm": predictors.GradientNorm(),
        "jacobian_covariance": predictors.JacobianCovariance(),
        "naswot": predictors.Naswot(),
        "depth": predictors.Depth(),
        "random_score": predictors.RandomScore(),
    },
    one_shot=("weight_sharing", "unconditional", "untrained"),
    images=64,
)
EVALUATION = EvaluationOptions(bootstrap=10_000)


def _data(data: DataModule | Source) -> DataModule:
    if isinstance(data, DataModule):
        return data
    if data == Digits():
        return DataModule(source=data, **DIGITS)
    return DataModule(source=data, name=type(data).__name__, **DATA)


def _hypernet(given: type[WeightSource] | HyperNetSpecification | Changes) -> HyperNetSpecification:
    if isinstance(given, HyperNetSpecification):
        return given
    if isinstance(given, type):
        return HyperNetSpecification.of(given)
    return HYPERNET.with_values(given)


def _changed(default: Section, name: str, options: Any) -> Section:
    try:
        return replace(default, **options.get(name, {}))
    except TypeError as error:
        raise ValueError(f"{name}: {str(error).partition('() ')[2] or error}") from None
