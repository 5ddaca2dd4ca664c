"""A Lightning callback that scores held-out architectures on validation images during training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.scoring.scorer import Scorer

MakeScorer = Callable[[Sequence[TrainedHyperNet]], Scorer]


class RankingCallback(L.Callback):
    """Scores held-out architectures on validation, with weights that the module in training generates.

    Args:
        fixed: architectures that are scored every `every` epochs; training never draws them.
        every: epochs between those scores, after the last epoch in any case.
        make_scorer: builds a scorer around HyperNets.

    Attributes:
        history: epoch and validation losses of the fixed architectures, for each time they were scored.
    """

    def __init__(
        self,
        fixed: Sequence[Architecture],
        every: int,
        make_scorer: MakeScorer,
    ) -> None:
        self.fixed, self.every = fixed, every
        self.make_scorer = make_scorer
        self.history: list[tuple[int, list[float]]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores the fixed architectures, and logs their mean and spread."""
        epoch = trainer.current_epoch + 1
        if not self.fixed or (epoch % self.every and epoch != trainer.max_epochs):
            return
        with _averaged(trainer, pl_module):
            scorer = self.make_scorer([self._trained(pl_module)])
            losses = _divided(self.fixed, lambda architecture: scorer(architecture).loss, trainer)
        self.history.append((epoch, losses))
        mean = sum(losses) / len(losses)
        pl_module.log_dict({"fixed_val_loss": mean, "fixed_val_loss_best": min(losses)})

    @staticmethod
    def _trained(module: Any) -> TrainedHyperNet:
        # A copy that is out of training, for scores must not move the running averages.
        return TrainedHyperNet(module.weights, copy.deepcopy(module.statistics).eval(), frozenset(module.drawn))

    def state_dict(self) -> dict[str, Any]:
        """The history, as plain values."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.history = [(epoch, list(losses)) for epoch, losses in state_dict["history"]]


def _divided(
    architectures: Sequence[Architecture], score: Callable[[Architecture], float], trainer: L.Trainer
) -> list[float]:
    """Scores in order; processes that train together score a share each."""
    rank, world = trainer.global_rank, trainer.world_size
    mine = [score(architecture) for architecture in architectures[rank::world]]
    if world == 1:
        return mine
    shares: list[list[float]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(shares, mine)
    return [shares[place % world][place // world] for place in range(len(architectures))]


@contextmanager
def _averaged(trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
    """The module with its averaged weights, where a callback averages them, as Lightning has it during a validation."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in averages:
        callback.on_validation_epoch_start(trainer, module)
    yield
    for callback in averages:
        callback.on_validation_epoch_end(trainer, module)
