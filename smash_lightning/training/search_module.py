"""Training a HyperNet: a new random architecture at every step (paper, algorithm 1)."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, cost
from smash_lightning.checkpoint import require_same
from smash_lightning.hypernet import HyperNetSpecification
from smash_lightning.network import forward
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.search_space import SearchSpace
from smash_lightning.training.schedules import cosine

Sampling = Literal["space", "candidates", "balanced"]
ArchitectureSharing = Literal["per_rank", "shared"]


@dataclass(frozen=True)
class SearchOptions:
    """How HyperNets are trained.

    Args:
        hypernets: HyperNets of different seeds; their scores are averaged (paper, figure 5b).
        epochs: passes over the training images.
        learning_rate: of Adam; it falls to zero along a cosine.
        betas: of Adam.
        epsilon: of Adam.
        weight_decay: on everything but the HyperNet.
        architectures_per_step: architectures whose gradients are averaged in each step.
        checkpoint_every: epochs between checkpoints.
        sampling: where training draws architectures from: the whole "space"; the "candidates", those of the size that
            is ranked; or "balanced", the whole space with sizes spread evenly.
        architectures: of several processes that train together, or batches whose gradients are accumulated, each draws
            its own ("per_rank"), or all take the same ("shared").
        average: decay of an exponential moving average of all weights, which is then what is scored; None for none.
    """

    hypernets: int
    epochs: int
    learning_rate: float
    betas: tuple[float, float]
    epsilon: float
    weight_decay: float
    architectures_per_step: int
    checkpoint_every: int
    sampling: Sampling = "space"
    average: float | None = None
    architectures: ArchitectureSharing = "per_rank"

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        if self.learning_rate < 0:
            raise ValueError(f"search.learning_rate must not be negative, got {self.learning_rate}")
        if self.sampling not in get_args(Sampling):
            raise ValueError(f"search.sampling must be one of {', '.join(get_args(Sampling))}, got {self.sampling!r}")
        if self.architectures not in get_args(ArchitectureSharing):
            raise ValueError(f"search.architectures must be per_rank or shared, got {self.architectures!r}")
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"search.average must lie between 0 and 1, or be null, got {self.average}")
        for name in ("hypernets", "epochs", "architectures_per_step", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"search.{name} must be at least 1, got {getattr(self, name)}")


class HyperNetModule(L.LightningModule):
    """Generated weights and the training that fits them.

    The architecture of a step is a pure function of (seed, step, rank), so an interrupted run draws them again.
    Processes that train together draw what one would draw for as many batches whose gradients it accumulates.

    Args:
        space: the whole space, which sizes the weights.
        hypernet: class and options of what makes the weights.
        options: how it is trained.
        seed: of initialisation, architectures and noise.
        held_out: fingerprints that are never drawn, because they are to be scored.
        draws: where architectures are drawn from; None for `space`.
    """

    def __init__(
        self,
        space: SearchSpace,
        hypernet: HyperNetSpecification,
        options: SearchOptions,
        seed: int,
        held_out: frozenset[str] = frozenset(),
        draws: SearchSpace | None = None,
    ) -> None:
        super().__init__()
        self.draws = draws or space
        self.space, self.specification, self.options, self.seed = space, hypernet, options, seed
        self.held_out = held_out
        self.weights = hypernet.build(space, seed)
        self.statistics = self.weights.running_statistics()
        self.drawn: set[str] = set()
        self._clock = (0, time.perf_counter())
        self._seconds = 0.0  # of training, before it was last taken up
        self._begun = time.perf_counter()

    def microbatch_index(self, batch_idx: int) -> int:
        """The place of a batch, whose gradient is averaged with others, among those of one step."""
        if self.options.architectures == "shared":
            return 0
        return batch_idx % self.trainer.accumulate_grad_batches * self.trainer.world_size + self.global_rank

    def draw(self, step: int, microbatch_index: int, index: int) -> Architecture:
        """The `index`-th architecture of a batch, never one that is held out."""
        progress = step / max(self.trainer.estimated_stepping_batches, 1)
        attempt = 0
        while True:
            key = (Stream.ARCHITECTURE, self.seed, step, microbatch_index, index, attempt)
            architecture = self.draws.sample(rng(*key), progress)
            if architecture.fingerprint not in self.held_out:
                return architecture
            attempt += 1

    def on_train_start(self) -> None:
        """Starts the clock."""
        self._begun = time.perf_counter()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy over the step's architectures, each with weights generated for it."""
        images, labels = batch
        step, microbatch_index, count = (
            self.global_step,
            self.microbatch_index(batch_idx),
            self.options.architectures_per_step,
        )
        losses, errors, sizes = [], [], []
        for index in range(count):
            architecture = self.draw(step, microbatch_index, index)
            self.drawn.add(architecture.fingerprint)
            noise = generator(Stream.NOISE, self.seed, step, microbatch_index, index, device=self.device)
            weights = self.weights(architecture, self.weights.noise(architecture, noise))
            logits = forward(architecture, self.space.image_spec, weights, images, self.statistics, op_norm=False)
            losses.append(F.cross_entropy(logits, labels))
            if self._logs(step):
                errors.append((logits.argmax(1) != labels).float().mean())
                sizes.append(float(cost(architecture, self.space.image_spec).params))
        loss = losses[0] if count == 1 else torch.stack(losses).mean()
        if self._logs(step):
            self.log("loss", loss.detach())
            self.log("error", 100 * torch.stack(errors).mean())
            self.log("architecture_params", sum(sizes) / count)
        return loss

    def _logs(self, step: int) -> bool:
        return (step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Logs the gradient's norm and the speed, where a step is logged."""
        if not self._logs(self.global_step):
            return
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        self.log("gradient_norm", torch.nn.utils.get_total_norm(gradients))
        last_step, last_time = self._clock
        self._clock = (self.global_step, time.perf_counter())
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        images = (self.global_step - last_step) * datamodule.batch_size * self.options.architectures_per_step
        self.log("images_per_second", images / (self._clock[1] - last_time))

    def configure_optimizers(self) -> Any:
        """Adam with cosine; no weight decay on the HyperNet, whose filters are divided by their norms anyway."""
        decay = self.options.weight_decay
        spared = self.weights.undecayed()
        others = [p for p in self.weights.parameters() if not any(p is one for one in spared)]
        groups = [{"params": spared, "weight_decay": 0.0}, {"params": others, "weight_decay": decay}]
        rate, betas, epsilon = self.options.learning_rate, self.options.betas, self.options.epsilon
        optimizer = torch.optim.Adam(groups, lr=rate, betas=betas, eps=epsilon, fused=True)
        return {"optimizer": optimizer, "lr_scheduler": cosine(optimizer, self.trainer)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to use the weights elsewhere, in plain types that load with `weights_only=True`.

        All processes of a distributed training come here, each with the architectures that it drew itself.
        """
        drawn = [self.drawn]
        if self.trainer.world_size > 1:
            drawn *= self.trainer.world_size
            torch.distributed.all_gather_object(drawn, self.drawn)
        checkpoint["smash"] = {
            "search_space": self.space.specification(),
            "hypernet": asdict(self.specification),
            "seed": self.seed,
            "data": self.trainer.datamodule.specification(),  # type: ignore[attr-defined]
            "drawn": sorted(set().union(*drawn)),
            "seconds": self._seconds + time.perf_counter() - self._begun,
            "finished": self.global_step >= self.trainer.estimated_stepping_batches,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the drawn architectures back up."""
        wanted = self.space.specification()
        require_same(checkpoint["smash"]["search_space"], wanted, "the checkpoint to resume from", "search space")
        data = self.trainer.datamodule.specification()  # type: ignore[attr-defined]
        require_same(checkpoint["smash"]["data"], data, "the checkpoint to resume from", "data set or split")
        self.drawn = set(checkpoint["smash"]["drawn"])
        self._seconds = checkpoint["smash"]["seconds"]
