"""An experiment that takes a second, and a ranking for it."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.baselines import BaselineOptions, Depth
from smash_lightning.data import DataModule, Digits
from smash_lightning.engine import Local
from smash_lightning.evaluation.tables import RANKING, write_table
from smash_lightning.random_streams import rng
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.search_space import SingleConvolution
from smash_lightning.stages import EvaluationOptions, Experiment, RunFolder
from smash_lightning.strategies import Random, RankingOptions
from smash_lightning.training import RetrainOptions, SearchOptions
from tests.cases import small
from tests.hypernet.kinds import TINY

SPACE = small(ImageSpec(1, (8, 8), 10), SingleConvolution())
RETRAIN = RetrainOptions(
    epochs=1,
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=1e-4,
    seeds=1,
    shortlist=0,
    stratified=3,
    random=0,
    rank=None,
    start="random",
    use_validation=False,
    checkpoint_minutes=10,
)
SEARCH = SearchOptions(
    hypernets=1,
    epochs=1,
    learning_rate=1e-3,
    betas=(0.5, 0.999),
    epsilon=1e-4,
    weight_decay=1e-4,
    architectures_per_step=1,
    checkpoint_every=1,
)


def small_data(batch_size: int = 32, test: int = 1497, split_seed: int = 0) -> DataModule:
    """240 training images."""
    numbers: Any = {"batch_size": batch_size, "eval_batch_size": 500, "recalibration": 64, "split_seed": split_seed}
    return DataModule(name="digits", source=Digits(test=test), validation=60, train=None, stem_stride=1, **numbers)


def small_experiment(folder: Path, **changes: Any) -> Experiment:
    """On 240 training images of the digits."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {
        "folder": RunFolder(folder),
        "source": None,
        "seed": 0,
        "data": small_data(),
        "space": SPACE,
        "hypernet": TINY,
        "search": SEARCH,
        "ranking": RankingOptions({"random": Random(3)}, RecalibratedStatistics(), 0, 1),
        "retrain": RETRAIN,
        "baselines": BaselineOptions({"depth": Depth()}, (), 8),
        "evaluation": EvaluationOptions(200),
        "trainer": partial(
            L.Trainer, accelerator="cpu", devices=1, enable_progress_bar=False, enable_model_summary=False
        ),
        "device": "cpu",
        "engine": Local(1),
    }
    return Experiment(**parts | changes)


def scored(architecture: Architecture, loss: float, strategy: str = "random", parent: str = "") -> dict[str, Any]:
    """A row of `ranking.csv` by one HyperNet."""
    size = cost(architecture, SPACE.image_spec)
    return {
        **{"fingerprint": architecture.fingerprint, "strategy": strategy, "parent": parent, "smash_score": loss},
        **{"val_error": 10 * loss, "val_loss": loss, "val_loss_0": loss, "ensemble_error": 9.0, "images": 60},
        **{"params": size.params, "macs": size.macs, "ops": size.ops, "seconds": 0.25},
    }


def trained(fingerprint: str, seed: int, true_loss: float, *groups: str, **changes: Any) -> dict[str, Any]:
    """A row of `retrained.csv`, in the group "stratified" unless there are others."""
    return {
        **{"fingerprint": fingerprint, "seed": seed, "true_error": 3.0, "true_error_top5": 0.5, "true_loss": true_loss},
        **dict.fromkeys(groups or ("stratified",), 1),
        **{"epochs": 1, "seconds": 1.0, "failure": ""},
        **changes,
    }


def rank_at_random(folder: RunFolder, count: int) -> list[Architecture]:
    """Writes a ranking of `count` architectures, whose scores are their places."""
    folder.path.mkdir(parents=True, exist_ok=True)
    architectures = [SPACE.sample(rng("small study", index)) for index in range(count)]
    folder.write_architectures(architectures)
    rows = [scored(architecture, 0.1 * place) for place, architecture in enumerate(architectures, 1)]
    write_table(folder.ranking, RANKING, rows)
    return architectures
