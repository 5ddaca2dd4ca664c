"""What searching costs: as ratios measured in one process, and as counts that do not depend on the machine."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.analyses.loading import Loading, measure_loading
from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.hypernet import ConditionalHyperNet, ResidualHyperNet, TrainedHyperNet
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.network.counting import OperationCounter
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics, Scorer, ScoringData
from smash_lightning.stages.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Row:
    """One phase of training on one space.

    Args:
        space: the search space's class and body.
        phase: "start" or "end" of training, between which a space may open.
        device: where it was measured.
        batch: images in a step.
        n: architectures that were measured.
        ops: their median number of ops.
        params: their median parameters.
        step_over_free: median ratio of a search step (draw, generate, forward, backward, update) to a step of the same
            network with free weights and the same optimizer.
        step_over_free_low: its lower quartile.
        step_over_free_high: its upper quartile.
        share_draw: median share of a search step that drawing the architecture takes.
        share_generate: the same for encoding it and generating its weights, forward.
        share_data: the share that loading a batch of such images takes, augmented on the device.
        augmentation: of the data set, which is done to them; "none" without one.
        dataloader_over_data: seconds of a batch from a torch DataLoader of decoded images, which treats them one by one
            in this process, to those of ours.
        dataloader_workers_over_data: the same for a DataLoader with as many processes as there are cores, at most 8.
        operations_encode: tensor operations of one step that are no views; the median, as are the next three.
        operations_hypernet: forward and backward.
        operations_main: forward, loss and backward, slicing and normalising of generated weights included.
        operations_optimizer: of the update.
        peak_memory_mib: most memory of a search step on a GPU; null on a CPU.
        scored_per_second: architectures x images, recalibration included.
    """

    space: str
    phase: str
    device: str
    batch: int
    n: int
    ops: float
    params: float
    step_over_free: float
    step_over_free_low: float
    step_over_free_high: float
    share_draw: float
    share_generate: float
    share_data: float
    augmentation: str
    dataloader_over_data: float
    dataloader_workers_over_data: float
    operations_encode: float
    operations_hypernet: float
    operations_main: float
    operations_optimizer: float
    peak_memory_mib: float | None
    scored_per_second: float


@dataclass(frozen=True, slots=True)
class _Measured:
    cost_ops: int
    cost_params: int
    ratio: float
    seconds: float
    draw: float
    generate: float
    operations: tuple[int, int, int, int]
    memory: float | None
    scored: float


def benchmark(
    experiment: Experiment,
    tracker: Tracker,
    repeats: int = 5,
    architectures: int = 8,
    image: Sequence[int] | None = None,
    classes: int | None = None,
) -> float:
    """Measures the search space of `experiment`, and writes `benchmark.json`.

    Args:
        experiment: its space, HyperNet, batch size and device are measured.
        tracker: receives the rows.
        repeats: timed steps of each kind for each architecture; the fastest counts, as other work only slows down.
        architectures: architectures per phase.
        image: channels and size of made-up images, instead of the data set's.
        classes: classes, instead of the data set's.

    Returns:
        The median ratio of a search step to a free-weights step, over both phases.
    """
    if repeats < 1 or architectures < 2:
        raise ValueError(f"task: repeats ({repeats}) must be at least 1, architectures ({architectures}) at least 2")
    image_spec = experiment.data.image_spec
    if image is not None and len(image) - 1 != image_spec.dimensions:
        raise ValueError(f"task.image needs channels and {image_spec.dimensions} sizes, got {list(image)}")
    if image is not None:
        image_spec = replace(image_spec, channels=image[0], size=tuple(image[1:]))
    image_spec = replace(image_spec, classes=classes or image_spec.classes)
    bench = _Bench(experiment, image_spec, repeats)
    data = experiment.data
    loading = measure_loading(image_spec, data.batch_size, data.augmentation, bench.device)
    rows: list[Row] = []
    ratios: list[float] = []
    with ProgressBars(["measuring"], [2 * architectures]) as bars:
        for phase, progress in (("start", 0.0), ("end", 1.0)):
            measured = []
            for index in range(architectures):
                measured.append(bench.measure(index, progress))
                bars.show(0, len(ratios) + len(measured))
            rows.append(_row(bench, phase, measured, loading))
            ratios += [m.ratio for m in measured]
    plain = [asdict(row) for row in rows]
    (experiment.folder.path / "benchmark.json").write_text(json.dumps(plain, indent=2) + "\n")
    tracker.table("benchmark", list(plain[0]), [list(row.values()) for row in plain])
    for row in rows:
        print(
            f"{row.space}, {row.phase} of training, {row.n} architectures of {row.ops:g} ops on {row.device}: "
            f"step {row.step_over_free:.2f} [{row.step_over_free_low:.2f}, {row.step_over_free_high:.2f}] x free "
            f"weights; data (augmentation {row.augmentation}) {100 * row.share_data:.1f} % of it, "
            f"{row.dataloader_over_data:.0f} times as long with "
            f"a DataLoader, {row.dataloader_workers_over_data:.0f} times with one of several processes; operations: "
            f"encode {row.operations_encode:g}, HyperNet {row.operations_hypernet:g}, network {row.operations_main:g}, "
            f"optimizer {row.operations_optimizer:g}"
        )
    return statistics.median(ratios)


class _Bench:
    def __init__(self, experiment: Experiment, image_spec: ImageSpec, repeats: int) -> None:
        self.device = torch.device(experiment.device)
        self.space = replace(experiment.space, image_spec=image_spec)  # type: ignore[type-var]
        self.image_spec, self.repeats, self.seed = image_spec, repeats, experiment.seed
        augmentation = experiment.data.augmentation
        self.augmentation = "none" if augmentation is None else type(augmentation).__name__
        weights = experiment.hypernet.build(self.space, 0).to(self.device)
        if not isinstance(weights, ConditionalHyperNet | ResidualHyperNet):
            raise ValueError(
                f"{type(weights).__name__} generates no weights from c: use hypernet=conditional or residual"
            )
        self.weights = weights
        self.optimizer = _adam(self.weights)
        shape = (experiment.data.batch_size, image_spec.channels, *image_spec.size)
        self.images = torch.randn(shape, generator=generator(Stream.BENCHMARK_IMAGES)).to(self.device)
        labels = torch.randint(image_spec.classes, shape[:1], generator=generator(Stream.BENCHMARK_LABELS))
        self.labels = labels.to(self.device)

    def measure(self, index: int, progress: float) -> _Measured:
        """One architecture: searching and free steps by turns, so that a slow moment slows both."""
        architecture = self.space.sample(rng(Stream.BENCHMARK, self.seed, index), progress)
        free = StandaloneNetwork(architecture, self.image_spec, op_norm=False).to(self.device)
        free_optimizer = _adam(free)
        searching, drawing, generating, ordinary = [], [], [], []
        self._reset_memory()
        for repeat in range(self.repeats + 1):  # the first one warms up
            draw, generate, whole = self._search_step(index, progress)
            alone = self._timed(lambda: self._update(free(self.images), free_optimizer))
            if repeat:
                searching.append(whole)
                drawing.append(draw)
                generating.append(generate)
                ordinary.append(alone)
        size = cost(architecture, self.image_spec)
        best = min(searching)
        return _Measured(
            size.ops,
            size.params,
            best / min(ordinary),
            best,
            min(drawing) / best,
            min(generating) / best,
            self._operations(architecture),
            self._memory(),
            self._scoring(architecture),
        )

    def _search_step(self, index: int, progress: float) -> tuple[float, float, float]:
        """Seconds to draw, to generate, and of the whole step."""
        self._wait()
        started = time.perf_counter()
        architecture = self.space.sample(rng(Stream.BENCHMARK, self.seed, index), progress)
        drawn = time.perf_counter()
        weights = self.weights(architecture, self.weights.noise(architecture, self._noise()))
        self._wait()
        generated = time.perf_counter()
        logits = forward(architecture, self.image_spec, weights, self.images, UseBatchStatistics(), op_norm=False)
        self._update(logits, self.optimizer)
        self._wait()
        return drawn - started, generated - drawn, time.perf_counter() - started

    def _update(self, logits: Tensor, optimizer: torch.optim.Optimizer) -> None:
        F.cross_entropy(logits, self.labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _operations(self, architecture: Architecture) -> tuple[int, int, int, int]:
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
        return encode.total, hypernet.total, main.total, update.total

    def _scoring(self, architecture: Architecture) -> float:
        trained = TrainedHyperNet(self.weights, self.weights.running_statistics(), frozenset())
        material = ScoringData(self.images, self.labels, self.images, (), len(self.images))
        scorer = Scorer([trained], material, policy=RecalibratedStatistics(), seed=0)
        return len(self.images) / min(self._timed(lambda: scorer(architecture)) for _ in range(self.repeats))

    def _timed(self, work: Callable[[], object]) -> float:
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _noise(self) -> torch.Generator:
        return generator(Stream.BENCHMARK_NOISE, device=self.device)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _reset_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _memory(self) -> float | None:
        return torch.cuda.max_memory_allocated(self.device) / 2**20 if self.device.type == "cuda" else None


def _adam(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=1e-6, fused=True)


def _row(bench: _Bench, phase: str, measured: Sequence[_Measured], loading: Loading) -> Row:
    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    low, middle, high = statistics.quantiles([m.ratio for m in measured], n=4, method="inclusive")
    operations = [median(counts) for counts in zip(*(m.operations for m in measured), strict=True)]
    memory = [m.memory for m in measured if m.memory is not None]
    body = getattr(bench.space, "body", None)
    name = type(bench.space).__name__ + (f", {type(body).__name__}" if body is not None else "")
    on_gpu = bench.device.type == "cuda"
    return Row(
        space=name,
        phase=phase,
        device=torch.cuda.get_device_name(bench.device) if on_gpu else f"cpu, {torch.get_num_threads()} threads",
        batch=len(bench.images),
        n=len(measured),
        ops=median([m.cost_ops for m in measured]),
        params=median([m.cost_params for m in measured]),
        step_over_free=middle,
        step_over_free_low=low,
        step_over_free_high=high,
        share_draw=median([m.draw for m in measured]),
        share_generate=median([m.generate for m in measured]),
        share_data=median([loading.ours / m.seconds for m in measured]),
        augmentation=bench.augmentation,
        dataloader_over_data=loading.dataloader / loading.ours,
        dataloader_workers_over_data=loading.dataloader_workers / loading.ours,
        operations_encode=operations[0],
        operations_hypernet=operations[1],
        operations_main=operations[2],
        operations_optimizer=operations[3],
        peak_memory_mib=max(memory) if memory else None,
        scored_per_second=median([m.scored for m in measured]),
    )
