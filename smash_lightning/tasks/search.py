"""The first stage: HyperNets are trained, several seeds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lightning.pytorch.callbacks import ModelCheckpoint

from smash_lightning.architecture import Architecture
from smash_lightning.dataset import DataModule
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.parallel import Failure, Pool
from smash_lightning.progress import Bars
from smash_lightning.randomness import rng
from smash_lightning.ranking import RankingCallback, RankingOptions, Scorer
from smash_lightning.report.tracker import Tracker
from smash_lightning.tasks.experiment import Experiment
from smash_lightning.training import Metrics, Progress, RelayLogger, RelayProgress, SmashModule, load_checkpoint, quiet
from smash_lightning.training.relay import Send


def search(experiment: Experiment, tracker: Tracker) -> list[Path]:
    """Trains the HyperNets that are not there yet; interrupted ones continue from their last checkpoint.

    Returns:
        Their checkpoints.

    Raises:
        RuntimeError: a training failed.
    """
    experiment.folder.checkpoints.mkdir(parents=True, exist_ok=True)
    count = experiment.search.hypernets
    missing = [index for index in range(count) if not finished(experiment.folder.hypernet(index))]

    with Bars([f"HyperNet {index + 1} of {count}" for index in missing], [1] * len(missing)) as bars:

        def receive(position: int, message: Metrics | Progress) -> None:
            if isinstance(message, Progress):
                bars.show(position, message.done, message.total)
            else:
                tracker.log(f"hypernet{missing[position]}", message.values, message.step)

        # However few are missing, each trains with its share of the cores: sums over threads differ in the last digit.
        with Pool(train_hypernet, experiment, experiment.workers, receive) as pool:
            for position, outcome in pool.run(missing):
                if isinstance(outcome, Failure):
                    raise RuntimeError(f"HyperNet {missing[position]}: {outcome.reason}\n{outcome.details}")
    return [experiment.folder.hypernet(index) for index in range(count)]


def train_hypernet(experiment: Experiment, index: int, send: Send) -> None:
    """Trains one HyperNet to the end, from its checkpoint where there is one."""
    quiet()
    seed = experiment.seed_of(index)
    path = experiment.folder.hypernet(index)
    fixed = fixed_architectures(experiment)
    module = SmashModule(
        experiment.space,
        experiment.hypernet,
        experiment.search,
        seed,
        held_out=frozenset(architecture.fingerprint for architecture in fixed),
    )
    scorer = partial(make_scorer, experiment.data, experiment.ranking, experiment.seed, experiment.device)
    checkpoint = ModelCheckpoint(
        dirpath=path.parent,
        filename=path.stem,
        every_n_epochs=experiment.search.checkpoint_every,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    trainer = experiment.trainer(
        max_epochs=experiment.search.epochs,
        logger=RelayLogger(send),
        callbacks=[RelayProgress(send), RankingCallback(fixed, experiment.ranking.fixed_every, scorer), checkpoint],
        limit_val_batches=0,
        default_root_dir=experiment.folder.path,
    )
    resume = path if path.exists() else None
    trainer.fit(module, datamodule=experiment.data.ordered("search", seed), ckpt_path=resume)
    trainer.save_checkpoint(path)


def fixed_architectures(experiment: Experiment) -> list[Architecture]:
    """The held-out architectures whose scores are followed during training."""
    return [
        experiment.candidates.sample(rng("fixed", experiment.seed, index)) for index in range(experiment.ranking.fixed)
    ]


def make_scorer(
    data: DataModule, options: RankingOptions, seed: int, device: str, hypernets: Sequence[TrainedHyperNet]
) -> Scorer:
    """A scorer on the validation images of `data`."""
    validation = data.normalised(data.validation)
    return Scorer(
        hypernets,
        validation.images.to(device),
        validation.labels.to(device),
        data.recalibration_images().to(device),
        batch_size=data.eval_batch_size,
        policy=options.statistics,
        seed=seed,
    )


def settling(path: Path) -> list[tuple[int, list[float]]]:
    """Epoch and validation losses of the fixed architectures, as a HyperNet's checkpoint holds them."""
    states = load_checkpoint(path, "smash")["callbacks"]
    return [(epoch, list(losses)) for epoch, losses in states.get("RankingCallback", {}).get("history", [])]


def finished(path: Path) -> bool:
    """Whether the checkpoint at `path`, if any, is of a HyperNet that was trained to the end."""
    return path.exists() and bool(load_checkpoint(path, "smash")["smash"]["finished"])
