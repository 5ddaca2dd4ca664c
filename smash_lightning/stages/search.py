"""The first stage: HyperNets are trained, several seeds side by side."""

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.data import DataModule
from smash_lightning.engine import Send
from smash_lightning.evaluation.tables import SETTLING, write_table
from smash_lightning.files import quoted, write_text
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RankingCallback, Scorer, ScoringData
from smash_lightning.search_space import SearchSpace, SizeBalanced
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.trainers import together
from smash_lightning.strategies import RankingOptions
from smash_lightning.training import (
    DivergedError,
    GracefulStop,
    HyperNetModule,
    Metrics,
    Progress,
    QueueLogger,
    QueueProgress,
    silence_lightning,
)

LEAVE_OUT = ", or leave this source of weights out of baselines.one_shot"
DIVERGED = "-diverged.json"  # ends the name of the file with the step of a HyperNet that diverged
HYPERNET = "hypernet"  # name of the checkpoints of a run's own HyperNets


def search(
    experiment: Experiment,
    tracker: Tracker,
    name: str = HYPERNET,
    held_out: Sequence[Architecture] | None = None,
    label: str = "HyperNet",
) -> list[Path]:
    """Trains the HyperNets that do not exist yet; interrupted ones continue from their last checkpoint.

    Args:
        experiment: what to train, and how.
        tracker: gets their metrics.
        name: of their checkpoints, which are returned; another one for another source of weights than the run's.
        held_out: architectures that are scored during training; None draws as many as `ranking.fixed`.
        label: what progress bars and errors call them.

    Raises:
        RuntimeError: a training failed.
    """
    folder, count = experiment.prepare_folder(), experiment.search.hypernets
    paths = [folder.hypernet(index, name) for index in range(count)]
    missing = [index for index in range(count) if not finished(paths[index])]
    held_out = held_out_architectures(experiment) if held_out is None else held_out

    with ProgressBars([f"{label} {index + 1} of {count}" for index in missing], [1] * len(missing)) as bars:

        def receive(position: int, message: Metrics | Progress) -> None:
            if isinstance(message, Progress):
                bars.show(position, message.done, message.total)
            else:
                tracker.log(f"{name}{missing[position]}", message.values, message.step)

        jobs = [(name, index, held_out) for index in missing]
        with experiment.engine.pool(train_hypernet, experiment, receive) as pool:
            run = pool.together if experiment.together else pool.results
            for _ in run(jobs, lambda i: f"{label} {missing[i]}"):
                pass  # checkpoints are the result
    for index, path in enumerate(paths if experiment.search.skip_bad_steps else []):
        if skipped := load_checkpoint(path, "smash")["smash"].get("skipped"):
            steps = ", ".join(map(str, skipped))
            print(f"{label} {index}: its loss or gradients were not finite in {len(skipped)} steps, left out: {steps}")
    if name == HYPERNET:
        rows = [
            {"hypernet": index, "epoch": epoch, "fingerprint": architecture.fingerprint, "val_loss": loss}
            for index, path in enumerate(paths)
            for epoch, losses in settling(path)
            for architecture, loss in zip(held_out, losses, strict=True)
        ]
        if rows:
            write_table(folder.settling, SETTLING, rows)
        tracker.artifact("hypernets", "model", paths)
    return paths


def train_hypernet(experiment: Experiment, job: tuple[str, int, Sequence[Architecture]], send: Send) -> None:
    """Trains one HyperNet to the end, from its checkpoint where there is one.

    A job is the name of its checkpoint, its index, and the architectures that are held out and scored.
    """
    silence_lightning()
    (name, index, architectures), options = job, experiment.search
    seed, path = experiment.seed_of(index), experiment.folder.hypernet(index, name)
    held_out = frozenset(architecture.fingerprint for architecture in architectures)
    module = HyperNetModule(experiment.space, experiment.hypernet, options, seed, held_out, sampling_space(experiment))
    scorer = partial(make_scorer, experiment.data, experiment.ranking, experiment.seed, experiment.device)
    ranking = RankingCallback(architectures, experiment.ranking.fixed_every, scorer)
    checkpointing = {"every_n_epochs": options.checkpoint_every, "save_on_train_epoch_end": True}
    shared = trainer_options(experiment, send, path, *averaging(options.average), ranking, **checkpointing)
    trainer = together(experiment.trainer, max_epochs=options.epochs, **shared)
    resume = path if path.exists() else None
    try:
        trainer.fit(module, datamodule=experiment.data.ordered(Stream.SEARCH, seed), ckpt_path=resume)
    except DivergedError as error:
        file = path.with_name(f"{path.stem}{DIVERGED}")
        write_text(file, f"{json.dumps(error.args[1])}\n")
        repeated = name == HYPERNET and not experiment.together  # by task=replay
        folder = quoted("checkpoint", experiment.folder.path)
        examined = f"The step is examined by task=replay {folder}. " if repeated else ""
        raise DivergedError(
            f"{error.args[0]}: use a lower search.learning_rate, in another folder"
            f"{'' if name == HYPERNET else LEAVE_OUT}. {examined}The architecture of the step is drawn by task=draw "
            f"{quoted('task.architecture', file)}"
        ) from None
    trainer.save_checkpoint(path)


def trainer_options(
    experiment: Experiment, send: Send, path: Path, *more: L.Callback, **checkpointing: Any
) -> dict[str, Any]:
    """Options of the Trainer that trainings of HyperNets and of single networks have in common.

    `path` is the checkpoint from which an interrupted training continues; `more` are callbacks, `checkpointing` options
    of the callback `ModelCheckpoint`.
    """
    checkpoint = ModelCheckpoint(path.parent, path.stem, enable_version_counter=False, **checkpointing)
    own = [make() for make in experiment.callbacks]
    return {
        "logger": QueueLogger(send),
        "callbacks": [*own, *more, QueueProgress(send), checkpoint, GracefulStop(path)],
        "limit_val_batches": 0,
        "default_root_dir": experiment.folder.path,
    }


def averaging(decay: float | None) -> list[L.Callback]:
    """The callback that averages the weights, where this is configured."""
    return [] if decay is None else [EMAWeightAveraging(decay=decay)]


def sampling_space(experiment: Experiment) -> SearchSpace:
    """What the training of HyperNets draws architectures from."""
    sampling = experiment.search.sampling
    if sampling == "candidates":
        return experiment.candidates
    return SizeBalanced(experiment.space) if sampling == "balanced" else experiment.space


def held_out_architectures(experiment: Experiment) -> list[Architecture]:
    """The held-out architectures that are scored during training."""
    streams = (rng(Stream.HELD_OUT, experiment.seed, index) for index in range(experiment.ranking.fixed))
    return [experiment.candidates.sample(stream) for stream in streams]


def make_scorer(
    data: DataModule, options: RankingOptions, seed: int, device: str, hypernets: Sequence[TrainedHyperNet]
) -> Scorer:
    """A scorer on the validation images of `data`; moves the HyperNets to the device on which it scores."""
    validation, loader = data.normalised(data.validation), data.ordered(Stream.SCORE, seed).train_dataloader()

    def training_batches() -> Iterator[tuple[Tensor, Tensor]]:
        """In an order of their own, the same for every architecture that is scored."""
        for epoch in itertools.count():
            loader.set_epoch(epoch)
            yield from loader

    batches = tuple(itertools.islice(training_batches(), options.batch_norm.batches))
    recalibration = data.recalibration_images()
    scoring_data = ScoringData(validation.images, validation.labels, recalibration, batches, data.eval_batch_size)
    scorer = Scorer(hypernets, scoring_data, policy=options.batch_norm, noises=options.noises, seed=seed)
    return scorer.to(device)


def settling(path: Path) -> list[tuple[int, list[float]]]:
    """Epoch and validation losses of the held-out architectures, from the checkpoint of a HyperNet."""
    states = load_checkpoint(path, "smash")["callbacks"]
    return [(epoch, list(losses)) for epoch, losses in states.get("RankingCallback", {}).get("history", [])]


def finished(path: Path) -> bool:
    """Whether there is a checkpoint at `path`, of a HyperNet that was trained to the end."""
    return path.exists() and bool(load_checkpoint(path, "smash")["smash"]["finished"])


def training_seconds(path: Path) -> float:
    """Elapsed seconds of the training of the HyperNet at `path`."""
    return float(load_checkpoint(path, "smash")["smash"]["seconds"])
