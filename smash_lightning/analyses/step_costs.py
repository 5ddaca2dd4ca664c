"""Seconds and tensor operations of one step: of searching, and of standalone training of the same architecture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.hypernet import ConditionalHyperNet, ResidualHyperNet, TrainedHyperNet
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.network.counting import OperationCounter
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.scoring import RecalibratedStatistics, Scorer, ScoringData
from smash_lightning.stages.experiment import Experiment


class StepCosts:
    """Measures steps of searching and of standalone training of the same architecture, with made-up images.

    Args:
        experiment: its space, HyperNet, batch size and device are measured.
        image_spec: of the images.
        repeats: timed steps of each kind for each architecture; the fastest counts, as other work only slows down.

    Raises:
        ValueError: the weights do not come from a HyperNet.
    """

    def __init__(self, experiment: Experiment, image_spec: ImageSpec, repeats: int) -> None:
        self.device = torch.device(experiment.device)
        self.space = replace(experiment.space, image_spec=image_spec)  # type: ignore[type-var]
        self.image_spec, self.repeats, self.seed = image_spec, repeats, experiment.seed
        weights = experiment.hypernet.build(self.space, 0).to(self.device)
        if not isinstance(weights, ConditionalHyperNet | ResidualHyperNet):
            raise ValueError(f"{type(weights).__name__} does not generate weights from c: use hypernet=conditional")
        self.weights = weights
        self.optimizer = _adam(self.weights)
        shape = (experiment.data.batch_size, image_spec.channels, *image_spec.size)
        self.images = torch.randn(shape, generator=generator(Stream.BENCHMARK_IMAGES)).to(self.device)
        labels = torch.randint(image_spec.classes, shape[:1], generator=generator(Stream.BENCHMARK_LABELS))
        self.labels = labels.to(self.device)

        augmentation, body = experiment.data.augmentation, getattr(self.space, "body", None)
        on_gpu = self.device.type == "cuda"
        self.description: dict[str, Any] = {
            "space": type(self.space).__name__ + ("" if body is None else f", {type(body).__name__}"),
            "device": torch.cuda.get_device_name(self.device) if on_gpu else f"cpu, {torch.get_num_threads()} threads",
            "batch": len(self.images),
            "augmentation": "none" if augmentation is None else type(augmentation).__name__,
        }

    def measure(self, index: int, progress: float) -> dict[str, float]:
        """Columns of benchmark.json for the architecture `index` at this progress (0 to 1) of training.

        Both kinds of steps alternate, so that a delay slows both.
        """
        architecture = self.space.sample(rng(Stream.BENCHMARK, self.seed, index), progress)
        free = StandaloneNetwork(architecture, self.image_spec, op_norm=False).to(self.device)
        free_optimizer = _adam(free)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        times = []
        for _ in range(self.repeats + 1):  # the first one warms up
            searching = self._search_step(index, progress)
            times.append((*searching, self._timed(lambda: self._update(free(self.images), free_optimizer))))
        draw, generate, step, alone = map(min, zip(*times[1:], strict=True))
        operations = self._operations(architecture)
        size = cost(architecture, self.image_spec)
        return {
            "ops": size.ops,
            "params": size.params,
            "seconds": step,
            "step_over_free": step / alone,
            "share_draw": draw / step,
            "share_generate": generate / step,
            **{f"operations_{name}": count for name, count in operations.items()},
            "peak_memory_mib": torch.cuda.max_memory_allocated(self.device) / 2**20 if on_gpu else math.nan,
            "scored_per_second": self._scoring(architecture),
        }

    def _search_step(self, index: int, progress: float) -> tuple[float, float, float]:
        """Seconds to draw, to generate, and of the whole step."""
        wait_for(self.device)
        started = time.perf_counter()
        architecture = self.space.sample(rng(Stream.BENCHMARK, self.seed, index), progress)
        drawn = time.perf_counter()
        weights = self.weights(architecture, self.weights.noise(architecture, self._noise()))
        wait_for(self.device)
        generated = time.perf_counter()
        logits = forward(architecture, self.image_spec, weights, self.images, UseBatchStatistics(), op_norm=False)
        self._update(logits, self.optimizer)
        wait_for(self.device)
        return drawn - started, generated - drawn, time.perf_counter() - started

    def _update(self, logits: Tensor, optimizer: torch.optim.Optimizer) -> None:
        F.cross_entropy(logits, self.labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _operations(self, architecture: Architecture) -> dict[str, int]:
        with OperationCounter() as encode:
            c = self.weights.encoding.encode(architecture, self.device)
        with OperationCounter() as hypernet:
            grid = self.weights.hypernet(c, self.weights.noise(architecture, self._noise()))
        leaf = grid.detach().requires_grad_()
        with OperationCounter() as main:
            weights = self.weights.from_grid(architecture, leaf)
            logits = forward(architecture, self.image_spec, weights, self.images, UseBatchStatistics(), op_norm=False)
            F.cross_entropy(logits, self.labels).backward()
        with hypernet:
            grid.backward(leaf.grad)
        with OperationCounter() as update:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        parts = {"encode": encode, "hypernet": hypernet, "main": main, "optimizer": update}
        return {name: counter.total for name, counter in parts.items()}

    def _scoring(self, architecture: Architecture) -> float:
        trained = TrainedHyperNet(self.weights, self.weights.running_statistics(), frozenset())
        data = ScoringData(self.images, self.labels, self.images, (), len(self.images))
        scorer = Scorer([trained], data, policy=RecalibratedStatistics(), seed=0)
        return len(self.images) / min(self._timed(lambda: scorer(architecture)) for _ in range(self.repeats))

    def _timed(self, work: Callable[[], object]) -> float:
        wait_for(self.device)
        started = time.perf_counter()
        work()
        wait_for(self.device)
        return time.perf_counter() - started

    def _noise(self) -> torch.Generator:
        return generator(Stream.BENCHMARK_NOISE, device=self.device)


def _adam(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=1e-6, fused=True)


def wait_for(device: torch.device) -> None:
    """Waits until a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
