"""Ordinary training of one architecture with free weights: what its true error is taken from (paper, step 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.network import StandaloneNetwork, Weights
from smash_lightning.random_streams import Stream, generator
from smash_lightning.training.schedules import cosine

TOP = 5  # guesses of the top-5 error


class DivergedError(RuntimeError):
    """A training whose loss is no longer a number."""


@dataclass(frozen=True)
class RetrainOptions:
    """How architectures are trained normally, and which ones.

    Args:
        epochs: passes over the training images.
        learning_rate: of SGD; it falls to zero along a cosine.
        momentum: of SGD, in Nesterov's form.
        weight_decay: on everything.
        seeds: trainings of each architecture.
        shortlist: architectures from the top of the ranking, one of each family of siblings: the shortlist.
        stratified: random candidates evenly spread over the ranking.
        random: further candidates at random, without regard to their score.
        rank: instead of all these, the one at this place among the random candidates by score, 0 is the best; None
            trains the above. Many places are trained by as many independent jobs.
        start: "random" weights, or the "generated" ones where the network has the same tensors.
        use_validation: whether to train on the validation images as well, on which scores were measured.
        checkpoint_minutes: minutes between checkpoints within one training.
    """

    epochs: int
    learning_rate: float
    momentum: float
    weight_decay: float
    seeds: int
    shortlist: int
    stratified: int
    random: int
    rank: int | None
    start: Literal["random", "generated"]
    use_validation: bool
    checkpoint_minutes: float

    def __post_init__(self) -> None:
        if self.learning_rate < 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                f"retrain.learning_rate ({self.learning_rate}) must not be negative, and momentum ({self.momentum}) "
                "lie from 0 to below 1"
            )
        for name in ("epochs", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"retrain.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("shortlist", "stratified", "random"):
            if getattr(self, name) < 0:
                raise ValueError(f"retrain.{name} must not be negative, got {getattr(self, name)}")
        if self.rank is not None and self.rank < 0:
            raise ValueError(f"retrain.rank must not be negative, as 0 is the best, got {self.rank}")
        if self.start not in ("random", "generated"):
            raise ValueError(f"retrain.start must be random or generated, got {self.start!r}")


class RetrainModule(L.LightningModule):
    """One architecture as an ordinary network.

    Args:
        architecture: what to train.
        image_spec: image, stem and classifier.
        options: how.
        seed: of the initialisation.
        start: tensors to begin from, by name; the others are drawn.
        views: how many times over test batches give out the test images, each time in another pose; predicted
            probabilities are averaged over them.
    """

    def __init__(
        self,
        architecture: Architecture,
        image_spec: ImageSpec,
        options: RetrainOptions,
        seed: int,
        start: Weights | None = None,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.architecture, self.options, self.seed, self.views = architecture, options, seed, views
        self.network = StandaloneNetwork(architecture, image_spec, generator(Stream.RETRAIN, seed))
        if start is not None:
            with torch.no_grad():
                for name, tensor in self.network.weights.named_parameters():
                    if name in start:
                        tensor.copy_(start[name])
        self._losses: list[Tensor] = []  # of the batches of this epoch
        self._evaluation: list[tuple[Tensor, Tensor]] = []
        self.true_error = self.true_error_top5 = self.true_loss = float("nan")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of a batch."""
        images, labels = batch
        loss = F.cross_entropy(self.network(images), labels)
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("loss", loss.detach())
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's mean loss, and ends a training that diverged: one look per epoch, as each makes a GPU wait.

        Raises:
            DivergedError: the last loss is not finite.
        """
        losses = torch.stack(self._losses)
        self._losses.clear()
        self.log("epoch_loss", losses.mean())
        if not torch.isfinite(losses[-1]):
            raise DivergedError(f"the loss became {float(losses[-1])} in epoch {self.current_epoch}")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collects logits and labels."""
        images, labels = batch
        self._evaluation.append((self.network(images), labels))

    def on_test_epoch_end(self) -> None:
        """Test error and top-5 test error in %, and cross-entropy in nats, over all test images.

        The top-5 error is NaN for fewer than six classes, where five guesses cannot be wrong.
        """
        logits, labels = (torch.cat(parts) for parts in zip(*self._evaluation, strict=True))
        self._evaluation.clear()
        poses = logits.double().log_softmax(1).view(self.views, -1, logits.shape[1])
        predicted, labels = poses.logsumexp(0) - math.log(self.views), labels.view(self.views, -1)[0]
        self.true_error = 100 * (predicted.argmax(1) != labels).double().mean().item()
        self.true_loss = F.nll_loss(predicted, labels).item()
        figures = {"true_error": self.true_error, "true_loss": self.true_loss}
        if predicted.shape[1] > TOP:
            among = (predicted.topk(TOP).indices == labels[:, None]).any(1)
            self.true_error_top5 = figures["true_error_top5"] = 100 * (~among).double().mean().item()
        self.log_dict(figures)

    def configure_optimizers(self) -> Any:
        """SGD with Nesterov momentum and cosine."""
        options = self.options
        optimizer = torch.optim.SGD(
            self.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            nesterov=options.momentum > 0,
            weight_decay=options.weight_decay,
            fused=True,
        )
        return {"optimizer": optimizer, "lr_scheduler": cosine(optimizer, self.trainer)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the architecture, so that the checkpoint alone rebuilds the network."""
        checkpoint["architecture"] = self.architecture.to_json()
        checkpoint["seed"] = self.seed
