"""Training a HyperNet: a new random architecture at every step (paper, algorithm 1)."""

import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from smash_lightning.architecture import cost
from smash_lightning.checkpoint import require_same, require_same_data
from smash_lightning.hypernet import HyperNetSpecification
from smash_lightning.network import forward
from smash_lightning.network.banks import tables
from smash_lightning.option_types import Trainings, require_bounds
from smash_lightning.random_streams import Stream, generator
from smash_lightning.search_space import SearchSpace
from smash_lightning.training.base import DivergedError, TrainingModule
from smash_lightning.training.planning import AHEAD, Draw, Planner


@dataclass(frozen=True)
class SearchOptions:
    """How HyperNets are trained; conf/search/digits.yaml explains each option."""

    hypernets: Trainings
    epochs: PositiveInt
    learning_rate: NonNegativeFloat
    betas: tuple[float, float]
    epsilon: float
    weight_decay: float
    architectures_per_step: PositiveInt
    checkpoint_every: PositiveInt
    sampling: Literal["space", "candidates", "balanced"] = "space"
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    architectures: Literal["per_rank", "shared"] = "per_rank"
    graphs: bool = False
    skip_bad_steps: NonNegativeInt = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        require_bounds(self, "search")


class HyperNetModule(TrainingModule):
    """A HyperNet, or another source of weights, and its training.

    The architecture of a step is a pure function of (seed, step, rank), so that a resumed run has the same ones. The
    processes of a distributed training have the architectures of one process with as many accumulated batches.

    Args:
        space: the whole space, which determines the size of the weights.
        hypernet: class and options of the source of weights.
        options: of the training.
        seed: of initialization, architectures and noise.
        held_out: fingerprints of architectures that are never sampled, as they are to be scored.
        sampling_space: the space of training's architectures; None for `space`.
    """

    def __init__(
        self,
        space: SearchSpace,
        hypernet: HyperNetSpecification,
        options: SearchOptions,
        seed: int,
        held_out: frozenset[str] = frozenset(),
        sampling_space: SearchSpace | None = None,
    ) -> None:
        super().__init__()
        self.sampling_space = sampling_space or space
        self.space, self.specification, self.options, self.seed = space, hypernet, options, seed
        self.held_out = held_out
        self.weights = hypernet.build(space, seed)
        self.statistics = self.weights.running_statistics()
        self.drawn: set[str] = set()
        self._clock = (0, time.perf_counter())
        self._seconds = 0.0  # of training, before it was last resumed
        self._started = time.perf_counter()
        self._losses: list[Tensor] = []  # of the batches of this epoch
        # Where steps may be skipped:
        self._skipped: list[int] = []  # those before this epoch
        self._bad: list[Tensor] = []  # whether the steps of this epoch are
        self._before: list[Tensor] = []  # the running statistics before this step

    def microbatch_index(self, batch_idx: int) -> int:
        """Index of a batch among those whose gradients are averaged in one step."""
        if self.options.architectures == "shared":
            return 0
        return batch_idx % self.trainer.accumulate_grad_batches * self.trainer.world_size + self.global_rank

    @property
    def draw(self) -> Draw:
        """What is drawn for each step."""
        steps, count = int(self.trainer.estimated_stepping_batches), self.options.architectures_per_step
        return Draw(self.sampling_space, self.seed, steps, count, self.held_out, (tables, *self.weights.tables()))

    def batches(self, step: int, batch_idx: int) -> Iterator[tuple[int, int]]:
        """Step and `microbatch_index` of a batch and of those that follow, as long as an epoch does not end."""
        for index in itertools.count(batch_idx):
            yield step, self.microbatch_index(index)
            step += (index + 1) % self.trainer.accumulate_grad_batches == 0

    def on_train_start(self) -> None:
        """Starts the clock, and the process that plans ahead for a GPU; on a CPU it would take a core from others."""
        self._started = time.perf_counter()
        one = self.options.architectures_per_step == 1
        self.weights.use_graphs(self.options.graphs and one and self.may_use_graphs())
        self.planner = Planner(self.draw, 0 if self.device.type == "cpu" else AHEAD)

    def on_train_end(self) -> None:
        """Ends the process that plans ahead, and frees the graphs."""
        self.planner.close()
        self.weights.use_graphs(False)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy over the step's architectures, each with weights generated for it."""
        images, labels = batch
        step, count = self.global_step, self.options.architectures_per_step
        microbatch_index, plan = self.microbatch_index(batch_idx), self.planner.plan(self.batches(step, batch_idx))
        losses, errors, sizes = [], [], []
        if self.options.skip_bad_steps and batch_idx % self.trainer.accumulate_grad_batches == 0:
            self._before = [buffer.clone() for buffer in self.statistics.buffers()]
        with self.planner.placed(plan, self.device):
            for index, (architecture, fingerprint) in enumerate(plan.drawn):
                self.drawn.add(fingerprint)
                noise = generator(Stream.NOISE, self.seed, step, microbatch_index, index, device=self.device)
                with torch.autocast(self.device.type, enabled=False):  # weights are generated in float32
                    weights = self.weights(architecture, self.weights.noise(architecture, noise))
                logits = forward(architecture, self.space.image_spec, weights, images, self.statistics)
                losses.append(F.cross_entropy(logits.to(weights["head.bias"].dtype), labels))
                if self.is_logged(step):
                    errors.append((logits.argmax(1) != labels).float().mean())
                    sizes.append(float(cost(architecture, self.space.image_spec).params))
        loss = losses[0] if count == 1 else torch.stack(losses).mean()
        self._losses.append(loss.detach())
        if self.is_logged(step):
            self.log("loss", loss.detach())
            self.log("error", 100 * torch.stack(errors).mean())
            self.log("architecture_params", sum(sizes) / count)
        return loss

    def on_train_epoch_end(self) -> None:
        """Ends a training that diverged, before a checkpoint is written; once per epoch, as a check makes a GPU wait.

        Raises:
            DivergedError: the last loss is not finite, or more steps are skipped than may be. Its arguments are a
                message, and the place of the first of the last steps without a finite loss, or of the first step too
                many, as `place` returns it.
        """
        finite, skipped = torch.stack(self._losses).isfinite().tolist(), self.skipped()
        allowed, accumulated = self.options.skip_bad_steps, self.trainer.accumulate_grad_batches
        first = self.global_step - -(-len(finite) // accumulated)  # step of the first of these batches
        self._skipped, self._losses, self._bad = skipped, [], []
        if allowed and len(skipped) > allowed:
            start = (skipped[allowed] - first) * accumulated
            batches = range(max(start, 0), min(start + accumulated, len(finite)))
            batch = next((batch for batch in batches if not finite[batch]), start)
            message = f"more steps than search.skip_bad_steps={allowed} have a loss or gradients that are not finite"
            step = skipped[allowed]
            raise DivergedError(f"{message}, the last one is step {step}", self.place(step, batch))
        if not allowed and not finite[-1]:
            batch = len(finite) - next((i for i, one in enumerate(reversed(finite)) if one), len(finite))
            step = first + batch // accumulated
            message = f"from step {step} (epoch {self.current_epoch}) on the loss is not finite"
            raise DivergedError(message, self.place(step, batch))

    def place(self, step: int, batch_idx: int) -> dict[str, Any]:
        """Step, index and first architecture of a batch, as plain values."""
        index = self.microbatch_index(batch_idx)
        return {"step": step, "batch": index, "architecture": json.loads(self.draw(step, index, 0)[0].to_json())}

    def skipped(self) -> list[int]:
        """The steps that were skipped, as their loss or gradients were not finite."""
        bad = torch.stack(self._bad).tolist() if self._bad else []
        return self._skipped + [self.global_step - len(bad) + i for i, one in enumerate(bad) if one]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Logs the gradient's norm and the speed at logged steps, and skips a bad step where this is configured."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        if self.options.skip_bad_steps:
            self._skip_if_bad(optimizer, gradients)
        if not self.is_logged(self.global_step):
            return
        self.log("gradient_norm", torch.nn.utils.get_total_norm(gradients))
        last_step, last_time = self._clock
        self._clock = (self.global_step, time.perf_counter())
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        images = (self.global_step - last_step) * datamodule.batch_size * self.options.architectures_per_step
        self.log("images_per_second", images / (self._clock[1] - last_time))

    def _skip_if_bad(self, optimizer: torch.optim.Optimizer, gradients: list[Tensor]) -> None:
        """Leaves weights, moments and running statistics as they were, without waiting for a GPU to know whether."""
        accumulated = self.trainer.accumulate_grad_batches
        since = (len(self._losses) - 1) // accumulated * accumulated  # the last step of an epoch may have fewer batches
        largest = torch.nn.utils.get_total_norm(gradients, math.inf)  # the sum of squares of finite ones may overflow
        flag = 1 - torch.stack([largest, *self._losses[since:]]).isfinite().all().float()
        if self.trainer.world_size > 1:  # gradients are the same on all ranks, losses are not
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        optimizer.found_inf = flag  # type: ignore[attr-defined]  # where it is 1, a fused optimizer changes nothing
        bad = flag.bool()
        for buffer, before in zip(self.statistics.buffers(), self._before, strict=True):
            buffer.copy_(torch.where(bad, before, buffer))
        self._bad.append(bad)

    def configure_optimizers(self) -> Any:
        """Adam with a cosine; no weight decay on the HyperNet, whose filters are divided by their norms."""
        options, undecayed = self.options, self.weights.undecayed()
        others = [p for p in self.weights.parameters() if not any(p is one for one in undecayed)]
        groups = [{"params": undecayed, "weight_decay": 0.0}, {"params": others, "weight_decay": options.weight_decay}]
        adam = torch.optim.Adam(groups, options.learning_rate, options.betas, options.epsilon, fused=True)
        return self.with_cosine(adam)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds all that is needed to rebuild the weights, in plain types that load with `weights_only=True`.

        All processes of a distributed training call this, each with the architectures that it sampled.
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
            "skipped": self.skipped(),
            "seconds": self._seconds + time.perf_counter() - self._started,
            "finished": self.global_step >= self.trainer.estimated_stepping_batches or self.trainer.should_stop,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the sampled architectures, after a check of search space and data."""
        expected = self.space.specification()
        require_same(checkpoint["smash"]["search_space"], expected, "the checkpoint to resume from", "search space")
        data = self.trainer.datamodule.specification()  # type: ignore[attr-defined]
        require_same_data(checkpoint["smash"]["data"], data, "the checkpoint to resume from")
        self.drawn = set(checkpoint["smash"]["drawn"])
        self._skipped = checkpoint["smash"].get("skipped", [])  # version 0.2 skipped none
        self._seconds = checkpoint["smash"]["seconds"]
