"""A search step on random images, the score of an architecture, and how time, memory and operations are measured."""

import os
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as default_timer

from smash_lightning.architecture import Architecture
from smash_lightning.cuda_graphs import recorded
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, Weights, forward
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring import RecalibratedStatistics, Scorer, ScoringData
from smash_lightning.search_space import SearchSpace
from smash_lightning.stages.experiment import Experiment

NO_WORK = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach")


class MeasuredStep:
    """Steps of a HyperNet of an experiment on one batch, and scores by as many images with recalibration on as many."""

    def __init__(self, experiment: Experiment, space: SearchSpace, batch: int) -> None:
        device, spec = torch.device(experiment.device), space.image_spec
        self.image_spec, self.device = spec, device
        self.source = experiment.hypernet.build(space, 0).to(device)
        self.source.use_graphs(experiment.search.graphs and device.type == "cuda")
        self.optimizer = adam(self.source)
        shape = (batch, spec.channels, *spec.size)
        self.images = torch.randn(shape, generator=generator(Stream.BENCHMARK_IMAGES)).to(device)
        self.labels = torch.randint(spec.classes, shape[:1], generator=generator(Stream.BENCHMARK_LABELS)).to(device)
        data = ScoringData(self.images, self.labels, self.images, (), batch)
        trained = TrainedHyperNet(self.source, self.source.running_statistics(), frozenset())
        self.scorer = Scorer([trained], data, policy=RecalibratedStatistics(), seed=0).to(experiment.device)

    def generate(self, architecture: Architecture) -> Weights:
        """The weights of an architecture."""
        z = self.source.noise(architecture, generator(Stream.BENCHMARK_NOISE, device=self.device))
        return self.source(architecture, z)

    def loss(self, architecture: Architecture, weights: Weights) -> Tensor:
        """Cross-entropy of the batch."""
        logits = forward(architecture, self.image_spec, weights, self.images, UseBatchStatistics())
        return F.cross_entropy(logits, self.labels)

    def search(self, architecture: Architecture) -> None:
        """A step, without the draw of the architecture."""
        update(self.loss(architecture, self.generate(architecture)), self.optimizer)

    def standalone(
        self, architecture: Architecture, count: int = 1, graphs: bool = False, op_norm: bool = True
    ) -> Callable[[], None]:
        """A step of `count` standalone networks side by side, on a GPU perhaps by CUDA graphs."""
        generators = (generator(Stream.RETRAIN, seed) for seed in range(count))
        networks = StandaloneNetwork(architecture, self.image_spec, *generators, op_norm=op_norm).to(self.device)
        images = self.images.repeat(1, count, *[1] * self.image_spec.dimensions)
        labels, optimizer = self.labels.repeat_interleave(count), adam(networks)
        run = recorded(networks, images) if graphs and self.device.type == "cuda" else networks
        return lambda: update(F.cross_entropy(run(images).view(len(labels), -1), labels), optimizer)


def update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The rest of a step from its loss on."""
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def adam(module: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer of measured steps."""
    return torch.optim.Adam(module.parameters(), lr=1e-6, fused=True)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The fastest of `repeats` calls after one that warms up, with all work of a GPU: other work only slows down.

    Without a GPU, the seconds of one thread are those of the processor, so that other processes matter less.
    """
    processor = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    clock = time.process_time if processor else default_timer
    timer = Timer("work()", globals={"work": work}, timer=clock, num_threads=torch.get_num_threads())
    timer.timeit(1)
    return min(timer.timeit(1).mean for _ in range(repeats))


def peak_mb(work: Callable[[], object], device: torch.device) -> float:
    """Most memory that `work` needs at a time, in addition to what is there before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports its start and end
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))) / 1e6


class OperationCounter(TorchDispatchMode):
    """Counts the dispatched operations within a `with` block that are neither views nor allocations, in `total`."""

    total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        schema = function._schema
        view = any(a.alias_info is not None and not a.alias_info.is_write for a in schema.arguments)
        self.total += not view and schema.name.removeprefix("aten::") not in NO_WORK
        return function(*args, **(kwargs or {}))
