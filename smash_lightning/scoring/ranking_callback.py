"""A Lightning callback that scores held-out architectures on validation images during training."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.scoring.scorer import Scorer

MakeScorer = Callable[[Sequence[TrainedHyperNet]], Scorer]


class RankingCallback(L.Callback):
    """Scores held-out architectures on validation images, with weights that the module in training generates.

    Attributes:
        history: epoch and validation losses of the held-out architectures, each time they were scored.
    """

    def __init__(self, held_out: Sequence[Architecture], every: int, make_scorer: MakeScorer) -> None:
        self.held_out, self.every, self.make_scorer = held_out, every, make_scorer
        self.history: list[tuple[int, list[float]]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores the held-out architectures, and logs their mean and lowest loss; every process scores all of them."""
        epoch = trainer.current_epoch + 1
        if not self.held_out or (epoch % self.every and epoch != trainer.max_epochs):
            return
        with _averaged_weights(trainer, pl_module):
            scorer = self.make_scorer([_trained(pl_module)])
            losses = [score.val_loss for score in scorer.scores(self.held_out)]
        self.history.append((epoch, losses))
        mean = sum(losses) / len(losses)
        pl_module.log_dict({"fixed_val_loss": mean, "fixed_val_loss_best": min(losses)})

    def state_dict(self) -> dict[str, Any]:
        """The history, as plain values."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.history = [(epoch, list(losses)) for epoch, losses in state_dict["history"]]


def _trained(module: Any) -> TrainedHyperNet:
    # A copy in evaluation mode, as scores must not update the running averages.
    return TrainedHyperNet(module.weights, copy.deepcopy(module.statistics).eval(), frozenset(module.drawn))


@contextmanager
def _averaged_weights(trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
    """The module with its averaged weights, where a callback averages them, as during a validation by Lightning."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in averages:
        callback.on_validation_epoch_start(trainer, module)
    yield
    for callback in averages:
        callback.on_validation_epoch_end(trainer, module)
