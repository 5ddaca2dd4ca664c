"""Standalone training of one architecture, for its ground truth (paper, step 3)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.checkpoint import load_checkpoint, require_same_data
from smash_lightning.cuda_graphs import recorded
from smash_lightning.network import NOTHING_DROPPED, Classifier, Dropping, StandaloneNetwork, Weights
from smash_lightning.network.banks import accesses
from smash_lightning.random_streams import Stream, generator
from smash_lightning.training.base import DivergedError, TrainingModule
from smash_lightning.training.recipe import clip, cut_out, mix
from smash_lightning.training.retrain_options import RetrainOptions

TOP = 5  # guesses of the top-5 error


class RetrainModule(TrainingModule):
    """Standalone training of one architecture, from one seed or from several side by side.

    Each seed has its own initialization, order of batches and loss. Up to rounding, its network is the one that is
    trained from it alone; where it diverges, the others continue.

    Args:
        architecture: of the networks.
        image_spec: image, stem and classifier.
        options: of the training.
        seeds: of the initialization of each network.
        start: initial tensors by name; the others are random.
        views: number of versions of each test image in the test batches, version by version; predicted probabilities
            are averaged over them.
    """

    def __init__(
        self,
        architecture: Architecture,
        image_spec: ImageSpec,
        options: RetrainOptions,
        seeds: Sequence[int],
        start: Weights | None = None,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.architecture, self.options, self.seeds, self.views = architecture, options, list(seeds), views
        generators = (generator(Stream.RETRAIN, seed) for seed in seeds)
        self.network = StandaloneNetwork(architecture, image_spec, *generators)
        if start is not None:
            with torch.no_grad():
                for name, tensor in self.network.weights.named_parameters():
                    if name in start:
                        tensor.copy_(torch.cat([start[name]] * len(self.seeds)))
        self.history: list[tuple[int, list[float]]] = []  # step and mean loss of each seed at the end of each epoch
        self.diverged: dict[int, str] = {}  # for each seed whose loss is not finite any more, when it became so
        self.measured: list[dict[str, float]] = []  # test metrics of each seed
        self._losses: list[Tensor] = []  # of the batches of this epoch, each (seeds,)
        self._graph: tuple[Callable[..., Tensor], list[object]] | None = None  # and cached tensors that it uses
        self._evaluation: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of a batch, summed over the seeds, so that each has the gradients of its own loss."""
        options, key = self.options, (self.current_epoch, batch_idx)
        images, labels, *mixed = self._varied(*batch, key)
        dropping = NOTHING_DROPPED
        if options.dropout or options.drop_path or options.shake:
            draws = (generator(Stream.DROPPING, seed, *key, device=images.device) for seed in self.seeds)
            dropping = Dropping(options.dropout, options.drop_path, options.shake, tuple(draws))
        graphs = options.graphs and dropping is NOTHING_DROPPED and self.may_use_graphs()
        logits = (self._graphed(images) if graphs else self.network(images, dropping)).view(labels.numel(), -1)

        def cross_entropy(labels: Tensor) -> Tensor:
            smoothing = options.label_smoothing
            losses = F.cross_entropy(logits, labels.view(-1), reduction="none", label_smoothing=smoothing)
            return losses.view(len(labels), -1).mean(0)

        losses = cross_entropy(labels)
        if mixed:
            others, shares = mixed
            losses = shares * losses + (1 - shares) * cross_entropy(others)
        if self.is_logged(self.global_step):
            self.log("loss", losses.detach().mean())
        self._losses.append(losses.detach())
        return losses.sum()

    def _graphed(self, images: Tensor) -> Tensor:
        """Logits by CUDA graphs, which are recorded at the first batch; all batches have its shape."""
        if self._graph is None:
            used: list[object] = [accesses(block, images.device) for block in self.architecture.blocks]
            self._graph = recorded(self.network, images), used
        return self._graph[0](images)

    def on_train_end(self) -> None:
        """Frees the graphs."""
        self._graph = None

    def _varied(self, images: Tensor, labels: Tensor, key: tuple[int, int]) -> tuple[Tensor, ...]:
        """Images and labels; if images are mixed, also the labels of the others, and the share (seeds,) of the own."""
        cutout, mixup, cutmix = self.options.cutout, self.options.mixup, self.options.cutmix
        if not (cutout or mixup or cutmix):
            return images, labels
        parts, columns = list(images.chunk(len(self.seeds), 1)), labels.view(len(labels), -1).unbind(1)
        if cutout:
            parts = [cut_out(own, cutout, seed, *key) for own, seed in zip(parts, self.seeds, strict=True)]
        if not (mixup or cutmix):
            return torch.cat(parts, 1), labels
        mixed = [mix(own, mixup, cutmix, seed, *key) for own, seed in zip(parts, self.seeds, strict=True)]
        others = [column[partners] for column, (_, partners, _) in zip(columns, mixed, strict=True)]
        shares = torch.tensor([share for *_, share in mixed]).to(images)
        return torch.cat([own for own, *_ in mixed], 1), labels, torch.stack(others, 1), shares

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips the gradients of each seed, which are those of its own loss."""
        if self.options.clip is not None:
            clip(self.parameters(), len(self.seeds), self.options.clip)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """`trainer.gradient_clip_val` is for each seed too, where it is a norm."""
        if gradient_clip_val is not None and gradient_clip_algorithm in (None, "norm"):
            clip(self.parameters(), len(self.seeds), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_epoch_end(self) -> None:
        """Keeps the epoch's mean losses, and ends a training where all seeds diverged.

        This is checked once per epoch, as each check makes a GPU wait.

        Raises:
            DivergedError: no loss is finite.
        """
        losses = torch.stack(self._losses)
        self._losses.clear()
        means, last = losses.mean(0).tolist(), losses[-1].tolist()
        self.log("epoch_loss", losses.mean())
        self.history.append((self.global_step, means))
        for seed, loss in zip(self.seeds, last, strict=True):
            if not math.isfinite(loss):
                self.diverged.setdefault(seed, f"the loss became {loss} in epoch {self.current_epoch}")
        if len(self.diverged) == len(self.seeds):
            raise DivergedError(next(iter(self.diverged.values())))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collects logits and labels; all seeds have the same images."""
        images, labels = batch
        images = images.repeat(1, len(self.seeds), *[1] * (images.ndim - 2))
        self._evaluation.append((self.network(images), labels))

    def on_test_epoch_end(self) -> None:
        """Test error and top-5 test error in %, and cross-entropy in nats, of each seed over all test images.

        The top-5 error is NaN for fewer than six classes, where five guesses cannot be wrong.
        """
        logits, labels = (torch.cat(parts).cpu() for parts in zip(*self._evaluation, strict=True))
        self._evaluation.clear()
        labels = labels.view(self.views, -1)[0]
        self.measured = [
            classification_metrics(log_probabilities(own, self.views), labels)
            for own in logits.chunk(len(self.seeds), 1)
        ]

    def configure_optimizers(self) -> Any:
        """SGD with Nesterov momentum, or the optimizer of the options, and a cosine after a warm-up."""
        options, momentum = self.options, self.options.momentum
        # Lightning unscales gradients of half precision before they are clipped only if the optimizer does not.
        clips = options.clip is not None or (self._trainer is not None and self.trainer.gradient_clip_val is not None)
        sgd = partial(torch.optim.SGD, momentum=momentum, nesterov=momentum > 0, fused=not clips)
        make = options.optimizer or sgd
        optimizer = make(self.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
        return self.with_cosine(optimizer, options.warm_up)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a training that was stopped continues with."""
        checkpoint["seeds"] = self.seeds
        checkpoint["data"] = self.trainer.datamodule.specification()  # type: ignore[attr-defined]
        history, losses = self.history, self._losses
        if len(losses) == self.trainer.num_training_batches:  # a training that continues does not end this epoch again
            history, losses = [*history, (self.global_step, torch.stack(losses).mean(0).tolist())], []
        checkpoint["history"], checkpoint["diverged"] = history, self.diverged
        checkpoint["losses"] = torch.stack(losses).cpu() if losses else torch.empty(0, len(self.seeds))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores what `on_save_checkpoint` added, after a check that the data are the same."""
        data = self.trainer.datamodule.specification()  # type: ignore[attr-defined]
        require_same_data(checkpoint.get("data", {}), data, "the checkpoint to resume from")
        self.history, self.diverged = checkpoint["history"], checkpoint["diverged"]
        self._losses = list(checkpoint["losses"].to(self.device))

    def classifier_checkpoint(self, index: int) -> dict[str, Any]:
        """The network of one seed, with all that `load_classifier` needs to rebuild the classifier."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        constants = {name: getattr(data, name).flatten().tolist() for name in ("mean", "std")}
        return {
            "state_dict": {f"network.{name}": tensor for name, tensor in self.network.state_of(index).items()},
            "architecture": self.architecture.to_json(),
            "input": asdict(data.image_spec) | constants,
            "seed": self.seeds[index],
            "data": data.specification(),
            "global_step": self.global_step,
        }


def log_probabilities(logits: Tensor, views: int) -> Tensor:
    """Log of the mean probabilities (count, classes) over `views` of logits (views x count, classes)."""
    each = logits.double().log_softmax(1).view(views, -1, logits.shape[1])
    return each.logsumexp(0) - math.log(views)


def classification_metrics(predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """Error and top-5 error in %, and cross-entropy in nats, of log probabilities (count, classes)."""
    metrics = {
        "true_error": 100 * (predicted.argmax(1) != labels).double().mean().item(),
        "true_error_top5": math.nan,
        "true_loss": F.nll_loss(predicted, labels).item(),
    }
    if predicted.shape[1] > TOP:
        among = (predicted.topk(TOP).indices == labels[:, None]).any(1)
        metrics["true_error_top5"] = 100 * (~among).double().mean().item()
    return metrics


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
