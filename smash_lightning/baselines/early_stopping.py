"""Standalone training of each candidate for a few steps (Zhou et al. 2020, "EcoNAS", arXiv 2001.01233)."""

import math
from dataclasses import dataclass

from pydantic import PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext, nan_to_inf
from smash_lightning.random_streams import Stream
from smash_lightning.training import DivergedError, RetrainModule, silence_lightning


@dataclass(frozen=True)
class EarlyStopping(Baseline):
    """Cross-entropy (nats) on the validation images after a few steps of standalone training.

    The learning rate falls along the whole cosine within these steps. Training starts from random weights and without
    the validation images, whatever `retrain` has.
    """

    steps: PositiveInt | None

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        silence_lightning()
        steps = self.steps or max(1, math.ceil(context.images_per_candidate / context.data.batch_size))
        data = context.data.ordered(Stream.RETRAIN, context.seed)
        module = RetrainModule(architecture, context.image_spec, context.retrain, [context.seed])
        trainer = context.trainer(
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
        trainer.test(module, dataloaders=data.val_dataloader(), verbose=False)
        return nan_to_inf(module.measured[0]["true_loss"])
