"""Standalone training of one architecture, for its ground truth (paper, step 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.checkpoint import load_checkpoint, require_same_data
from smash_lightning.network import Classifier, StandaloneNetwork, Weights
from smash_lightning.option_types import require_bounds
from smash_lightning.random_streams import Stream, generator
from smash_lightning.training.base import TrainingModule

TOP = 5  # guesses of the top-5 error


class DivergedError(RuntimeError):
    """The loss of a training is not finite."""


@dataclass(frozen=True)
class RetrainOptions:
    """How architectures are trained standalone, and which ones; conf/retrain/digits.yaml explains each option."""

    epochs: PositiveInt
    learning_rate: NonNegativeFloat
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: float
    seeds: PositiveInt
    shortlist: NonNegativeInt
    stratified: NonNegativeInt
    random: NonNegativeInt
    rank: NonNegativeInt | None
    start: Literal["random", "generated"]
    use_validation: bool
    checkpoint_minutes: float

    def __post_init__(self) -> None:
        require_bounds(self, "retrain")


class RetrainModule(TrainingModule):
    """Standalone training of one architecture.

    Args:
        architecture: of the network.
        image_spec: image, stem and classifier.
        options: of the training.
        seed: of the initialization.
        start: initial tensors by name; the others are random.
        views: number of versions of each test image in the test batches, version by version; predicted probabilities
            are averaged over them.
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
        if self.is_logged(self.global_step):
            self.log("loss", loss.detach())
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's mean loss, and ends a training that diverged: one check per epoch, as each makes a GPU wait.

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
        logits, labels = (torch.cat(parts).cpu() for parts in zip(*self._evaluation, strict=True))
        self._evaluation.clear()
        log_probabilities = logits.double().log_softmax(1).view(self.views, -1, logits.shape[1])
        predicted, labels = log_probabilities.logsumexp(0) - math.log(self.views), labels.view(self.views, -1)[0]
        self.true_error = 100 * (predicted.argmax(1) != labels).double().mean().item()
        self.true_loss = F.nll_loss(predicted, labels).item()
        metrics = {"true_error": self.true_error, "true_loss": self.true_loss}
        if predicted.shape[1] > TOP:
            among = (predicted.topk(TOP).indices == labels[:, None]).any(1)
            self.true_error_top5 = metrics["true_error_top5"] = 100 * (~among).double().mean().item()
        self.log_dict(metrics)

    def configure_optimizers(self) -> Any:
        """SGD with Nesterov momentum and a cosine."""
        options = self.options
        rate, momentum, decay = options.learning_rate, options.momentum, options.weight_decay
        parameters, nesterov = self.parameters(), momentum > 0
        sgd = torch.optim.SGD(parameters, rate, momentum, weight_decay=decay, nesterov=nesterov, fused=True)
        return self.with_cosine(sgd)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds architecture, input, normalization and data, so that the checkpoint alone rebuilds the classifier."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        constants = {name: getattr(data, name).flatten().tolist() for name in ("mean", "std")}
        checkpoint["architecture"] = self.architecture.to_json()
        checkpoint["input"] = asdict(data.image_spec) | constants
        checkpoint["seed"] = self.seed
        checkpoint["data"] = data.specification()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Checks that a training continues on the same data."""
        data = self.trainer.datamodule.specification()  # type: ignore[attr-defined]
        require_same_data(checkpoint.get("data", {}), data, "the checkpoint to resume from")


def load_classifier(path: Path, data: Mapping[str, str] | None = None) -> Classifier:
    """Reads a network that `RetrainModule` saved; nothing in the file is executed.

    Args:
        path: of the checkpoint.
        data: digests of the splits, with which those of the training are compared.

    Raises:
        ValueError: the file is missing, truncated, not a retrained network's, or was trained on other data.
    """
    checkpoint = load_checkpoint(path, "input")
    require_same_data(checkpoint.get("data", {}), data or {}, str(path))
    saved = checkpoint["input"]
    image_spec = ImageSpec(saved["channels"], tuple(saved["size"]), saved["classes"], saved["stem_stride"])
    network = StandaloneNetwork(Architecture.from_json(checkpoint["architecture"]), image_spec)
    state = checkpoint["state_dict"].items()
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state})

    def per_channel(values: list[float]) -> Tensor:
        return torch.tensor(values).view(1, image_spec.channels, *[1] * image_spec.dimensions)

    return Classifier(network, per_channel(saved["mean"]), per_channel(saved["std"])).eval()
