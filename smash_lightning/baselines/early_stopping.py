"""Standalone training of each candidate for a few steps (Zhou et al. 2020, "EcoNAS", arXiv 2001.01233)."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning as L
from pydantic import PositiveInt
from torch import Tensor
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext, nan_to_inf
from smash_lightning.random_streams import Stream
from smash_lightning.training import DivergedError, RetrainModule, silence_lightning


@dataclass(frozen=True)
class EarlyStopping(Baseline):
    """Cross-entropy (nats) after a few steps of standalone training.

    It is that of the validation images, or with `measure="training"` the mean over the batches of the last half of the
    steps, a sum of training losses up to a factor (Ru et al. 2021, "Speedy performance estimation for neural
    architecture search", arXiv 2006.04492).

    The learning rate falls along the whole cosine within these steps. Training starts from random weights and without
    the validation images, whatever `retrain` has.
    """

    steps: PositiveInt | None
    measure: Literal["validation", "training"] = "validation"

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        silence_lightning()
        steps = self.steps or max(1, math.ceil(context.images_per_candidate / context.data.batch_size))
        data = context.data.ordered(Stream.RETRAIN, context.seed)
        module = RetrainModule(architecture, context.image_spec, context.retrain, [context.seed])
        losses = _Losses()
        trainer = context.trainer(
            callbacks=[losses],
            max_steps=steps,
            max_epochs=-1,
            limit_val_batches=0,
            enable_checkpointing=False,
            logger=False,
            default_root_dir=context.folder,
        )
        try:
            trainer.fit(module, datamodule=data)
        except DivergedError:
            return math.inf
        if self.measure == "training":
            last = losses.values[len(losses.values) // 2 :]
            return nan_to_inf(float(sum(last)) / len(last))
        trainer.test(module, dataloaders=data.val_dataloader(), verbose=False)
        return nan_to_inf(module.measured[0]["true_loss"])


@dataclass(eq=False)
class _Losses(L.Callback):
    values: list[Tensor] = field(default_factory=list)  # of the batches, in their order

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.values.append(outputs["loss"].detach())
