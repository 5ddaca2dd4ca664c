"""The stages as functions, for scripts and notebooks: no command line.

    import smash_lightning as smash

    options = {"hypernet": {"growth": 16}, "search": {"epochs": 20}}
    smash.search("runs/first", **options)
    smash.rank("runs/first", **options)
    smash.retrain("runs/first", **options)
    print(smash.correlate("runs/first", **options))

Every function takes the same options, and a stage needs those of the stages before it. Without options it is the
default experiment of the command line: what is not given has the value in conf/. A stage that was interrupted continues
when it is called again. All raise ValueError where an option is wrong or differs from an earlier call, or a result of
an earlier stage is missing, and RuntimeError where a training failed.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, TypedDict, Unpack

import pandas as pd
import yaml

from smash_lightning import stages
from smash_lightning.architecture import ImageSpec
from smash_lightning.configuration import CONF
from smash_lightning.configuration.build import (
    SECTIONS,
    default_configuration,
    hypernet_specification,
    instantiate,
    plain,
)
from smash_lightning.configuration.earlier_run import ADDED, require_same
from smash_lightning.data import DataModule, Digits, Source
from smash_lightning.engine import Local
from smash_lightning.files import write_text
from smash_lightning.finished_run import FinishedRun, load
from smash_lightning.hypernet import HyperNetSpecification, WeightSource
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.search_space import SearchSpace
from smash_lightning.stages import Experiment

Changes = Mapping[str, Any]
OPTIONS_OF = {  # which sections of config.yaml the stages record, each in addition to those of the stages before it
    "search": ("seed", "dataset", "search_space", "hypernet", "search", "held_out"),
    "rank": ("ranking",),
    "retrain": ("retrain",),
    "correlate": ("baselines", "evaluation"),
}
HELD_OUT = ("fixed", "fixed_every", "batch_norm", "noises", "size_tolerance", "size_target")  # used during the search
DATA_OPTIONS = ("batch_size", "eval_batch_size", "recalibration", "stem_stride", "augmentation", "views")


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
    hypernet: type[WeightSource] | Changes
    search: Changes
    ranking: Changes
    retrain: Changes
    baselines: Changes
    evaluation: Changes
    seed: int
    workers: int
    device: str


def search(folder: str | Path, **options: Unpack[Options]) -> list[Path]:
    """Trains the HyperNets (paper, algorithm 1), and returns their checkpoints in the run folder."""
    return stages.search(_begin("search", folder, options), Tracker([]))


def rank(folder: str | Path, **options: Unpack[Options]) -> pd.DataFrame:
    """Scores architectures with generated weights (paper, algorithm 1); writes `architectures.jsonl` and `ranking.csv`.

    Returns the latter, best SMASH score first.
    """
    return stages.rank(_begin("rank", folder, options), Tracker([]))


def retrain(folder: str | Path, **options: Unpack[Options]) -> pd.DataFrame:
    """Trains a shortlist, and a sample that no score selected, with standalone weights; returns `retrained.csv`."""
    return stages.retrain(_begin("retrain", folder, options), Tracker([]))


def correlate(folder: str | Path, **options: Unpack[Options]) -> FinishedRun:
    """Computes the baselines, compares all predictors with the test losses; writes `correlation.json` and the report.

    Returns the run with all its results.
    """
    made, tracker = _begin("correlate", folder, options), Tracker([])
    stages.baselines(made, tracker)
    stages.correlate(made, tracker)
    return load(folder)


def experiment(folder: str | Path, **options: Unpack[Options]) -> Experiment:
    """What the stages work with, built from options; raises ValueError where one does not exist or is wrong."""
    if unknown := options.keys() - Options.__annotations__.keys():
        raise ValueError(f"there is no option {min(unknown)}; known: {', '.join(Options.__annotations__)}")
    config, given = default_configuration(), dict[str, Any](options)
    data = _data(options.get("data", Digits()))
    data.setup()
    space = options.get("space", smashv1_tiny)
    space = space if isinstance(space, SearchSpace) else space(data.image_spec)
    sections = {name: _changed(name, given.get(name, {})) for name in SECTIONS}
    device = options.get("device", "cpu")
    accelerator = "gpu" if device == "cuda" else device
    return Experiment(
        folder=RunFolder(Path(folder)),
        source=None,
        seed=options.get("seed", config.seed),
        data=data,
        space=space,
        hypernet=_hypernet(options.get("hypernet", {})),
        trainer=instantiate(plain(config.trainer) | {"accelerator": accelerator}, "trainer"),
        device=device,
        engine=Local(options.get("workers", 1), device=device),
        **sections,
    )


def smashv1_tiny(image_spec: ImageSpec) -> SearchSpace:
    """The default search space, SMASHv1 at a size for a CPU: two blocks of at most eight banks of four channels."""
    space: SearchSpace = instantiate(default_configuration().search_space, "search_space")(image_spec=image_spec)
    return space


def _begin(stage: str, folder: str | Path, options: Options) -> Experiment:
    """The experiment of a stage; options of this stage and of those before it are recorded in config.yaml."""
    made = experiment(folder, **options)
    data, recorded, names = made.data, made.folder.read_config(), [*OPTIONS_OF]
    if "overrides" in recorded:  # a run of the command line, whose configuration describes data and space otherwise
        return made
    described = {
        "seed": made.seed,
        "dataset": data.specification() | {name: getattr(data, name) for name in DATA_OPTIONS},
        "search_space": made.space.specification(),
        "hypernet": {"_target_": made.hypernet.target, **made.hypernet.options},
        "held_out": {name: getattr(made.ranking, name) for name in HELD_OUT},
        **{name: getattr(made, name) for name in SECTIONS},
    }
    used = [option for name in names[: names.index(stage) + 1] for option in OPTIONS_OF[name]]
    now = {name: _plain(described[name]) for name in used}
    before = {name: recorded[name] for name in used if name in recorded}
    require_same(before, {name: now[name] for name in before}, made.folder.path, ADDED)
    made.folder.path.mkdir(parents=True, exist_ok=True)
    write_text(made.folder.config, yaml.safe_dump({**recorded, **now, "source_run": None}, sort_keys=False))
    return made


def _plain(value: Any) -> Any:
    kind = type(value)
    if is_dataclass(value):
        values = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **values}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if kind in (NoneType, bool, int, float, str) else f"{kind.__module__}.{kind.__qualname__}"


def _data(data: DataModule | Source) -> DataModule:
    if isinstance(data, DataModule):
        return data
    if data == Digits():
        return instantiate(default_configuration().dataset, "dataset")
    values = yaml.safe_load((CONF / "dataset" / "common" / "base.yaml").read_text(encoding="utf-8"))
    values = {name: value for name, value in values.items() if name not in ("_target_", "cache")}
    return DataModule(source=data, name=type(data).__name__, **values)


def _hypernet(given: type[WeightSource] | Changes) -> HyperNetSpecification:
    if isinstance(given, type):
        return HyperNetSpecification.of(given)
    if not isinstance(given, Mapping):
        raise ValueError(f"hypernet must be a class or a mapping of options, got {given!r}")
    return hypernet_specification(default_configuration().hypernet).with_values(given)


def _changed(name: str, changes: Changes) -> Any:
    try:
        return replace(instantiate(default_configuration()[name], name), **changes)
    except TypeError as error:
        raise ValueError(f"{name}: {str(error).partition('() ')[2] or error}") from None
