"""What does a step of searching cost? As ratios measured in one process.

benchmark.json: a row for the start and one for the end of training, between which a space may grow, with medians over
`n` architectures. `step_over_free`, with quartiles: seconds of a search step (draw, generate, forward, backward,
update) over those of a step of the same standalone network with the same optimizer. Of the search step, `share_draw`
draws the architecture, `share_generate` encodes it and generates its weights forward, `share_data` loads a batch of
such images, augmented on the device. `dataloader_over_data`: seconds of a batch from a torch DataLoader, which treats
images singly, over ours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smash_lightning.architecture import ImageSpec
from smash_lightning.data import Augmentation, Split, Subset, TensorLoader
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

BATCHES = 64  # of one epoch; the first one of it draws its order
MEAN, STD = 128.0, 64.0


def benchmark(
    experiment: Experiment,
    tracker: Tracker,
    repeats: int = 5,
    architectures: int = 8,
    image: Sequence[int] | None = None,
    classes: int | None = None,
) -> float:
    """Measures space, HyperNet, batch size and device of `experiment`; conf/task/benchmark.yaml explains the options.

    Returns:
        The median of `step_over_free` over all architectures.
    """
    if repeats < 1 or architectures < 2:
        raise ValueError(f"task: repeats ({repeats}) must be at least 1, architectures ({architectures}) at least 2")
    data, image_spec = experiment.data, experiment.data.image_spec
    if image is not None:
        if len(image) - 1 != image_spec.dimensions:
            raise ValueError(f"task.image needs channels and {image_spec.dimensions} sizes, got {list(image)}")
        image_spec = replace(image_spec, channels=image[0], size=tuple(image[1:]))
    steps = Steps(experiment, replace(image_spec, classes=classes or image_spec.classes))
    ours, singly = (
        batch_seconds(steps.image_spec, data.batch_size, data.augmentation, steps.device, single)
        for single in (False, True)
    )
    tables: list[pd.DataFrame] = []
    with ProgressBars(["measuring"], [2 * architectures]) as bars:
        for phase, progress in (("start", 0.0), ("end", 1.0)):
            rows = []
            for index in range(architectures):
                rows.append(steps.measure(index, progress, repeats))
                bars.show(0, len(tables) * architectures + len(rows))
            tables.append(pd.DataFrame(rows).assign(phase=phase))
    table = pd.concat(tables)
    table["share_data"] = ours / table["seconds"]
    found: list[dict[str, Any]] = []
    for name, part in table.groupby("phase", sort=False):
        ratio, row = part["step_over_free"], steps.description | {"phase": name, "n": architectures}
        row |= {str(column): median for column, median in part.drop(columns="phase").median().items()}
        row |= {"step_over_free_low": ratio.quantile(0.25), "step_over_free_high": ratio.quantile(0.75)}
        found.append(row | {"dataloader_over_data": singly / ours})
    (experiment.folder.path / "benchmark.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(pd.DataFrame(found).T.to_string(header=False))
    return float(table["step_over_free"].median())


class Steps:
    """Measures steps of searching and of standalone training of the same architecture, with made-up images.

    Args:
        experiment: its space, HyperNet, batch size and device are measured.
        image_spec: of the images.
    """

    def __init__(self, experiment: Experiment, image_spec: ImageSpec) -> None:
        self.device, self.image_spec, self.seed = torch.device(experiment.device), image_spec, experiment.seed
        self.space = replace(experiment.space, image_spec=image_spec)  # type: ignore[type-var]
        self.weights = experiment.hypernet.build(self.space, 0).to(self.device)
        self.optimizer = _adam(self.weights)
        shape = (experiment.data.batch_size, image_spec.channels, *image_spec.size)
        self.images = torch.randn(shape, generator=generator(Stream.BENCHMARK_IMAGES)).to(self.device)
        labels = torch.randint(image_spec.classes, shape[:1], generator=generator(Stream.BENCHMARK_LABELS))
        self.labels = labels.to(self.device)
        on_gpu, threads = self.device.type == "cuda", torch.get_num_threads()
        self.description: dict[str, Any] = {
            "space": type(self.space).__name__,
            "device": torch.cuda.get_device_name(self.device) if on_gpu else f"cpu, {threads} threads",
            "batch": len(self.images),
            "augmentation": type(experiment.data.augmentation).__name__,
        }

    def measure(self, index: int, progress: float, repeats: int) -> dict[str, float]:
        """Columns of benchmark.json for the architecture `index` at this progress (0 to 1) of training.

        The fastest of `repeats` steps of each kind counts, as other work only slows down; both kinds alternate, so that
        a delay slows both.
        """
        architecture = self.space.sample(rng(Stream.BENCHMARK, self.seed, index), progress)
        standalone = StandaloneNetwork(architecture, self.image_spec, op_norm=False).to(self.device)
        optimizer, times = _adam(standalone), []
        for _ in range(repeats + 1):  # the first one warms up
            searching = self._search_step(index, progress)
            started = now(self.device)
            self._update(standalone(self.images), optimizer)
            times.append((*searching, now(self.device) - started))
        draw, generate, step, alone = map(min, zip(*times[1:], strict=True))
        return {
            "seconds": step,
            "step_over_free": step / alone,
            "share_draw": draw / step,
            "share_generate": generate / step,
        }

    def _search_step(self, index: int, progress: float) -> tuple[float, float, float]:
        """Seconds to draw, to generate, and of the whole step."""
        started = now(self.device)
        architecture = self.space.sample(rng(Stream.BENCHMARK, self.seed, index), progress)
        drawn = time.perf_counter()
        z = self.weights.noise(architecture, generator(Stream.BENCHMARK_NOISE, device=self.device))
        weights = self.weights(architecture, z)
        generated = now(self.device)
        logits = forward(architecture, self.image_spec, weights, self.images, UseBatchStatistics(), op_norm=False)
        self._update(logits, self.optimizer)
        return drawn - started, generated - drawn, now(self.device) - started

    def _update(self, logits: Tensor, optimizer: torch.optim.Optimizer) -> None:
        F.cross_entropy(logits, self.labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def now(device: torch.device) -> float:
    """Seconds of a clock, once a GPU has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _adam(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=1e-6, fused=True)


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Images of bytes that are augmented and normalized singly, as a DataLoader does."""

    def __init__(self, subset: Subset, augmentation: Augmentation | None) -> None:
        self.subset, self.augmentation = subset, augmentation

    def __len__(self) -> int:
        return len(self.subset)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        images = self.subset.whole.images[position : position + 1]
        if self.augmentation is not None:
            drawn = self.augmentation.draw(1, tuple(images.shape[2:]), generator(Stream.SINGLE_IMAGES, position))
            images = self.augmentation.apply(images, drawn)
        return (images[0] - MEAN) / STD, self.subset.whole.labels[position]


def batch_seconds(
    image_spec: ImageSpec, batch: int, augmentation: Augmentation | None, device: torch.device, single: bool
) -> float:
    """Seconds from one batch of made-up images to the next, on the device, in the middle of an epoch.

    With our loader, or with a DataLoader, which treats images singly.
    """
    count, rng = BATCHES * batch, generator(Stream.LOADING)
    images = torch.randint(256, (count, image_spec.channels, *image_spec.size), dtype=torch.uint8, generator=rng)
    labels = torch.randint(image_spec.classes, (count,), generator=rng)
    batches: Iterable[tuple[Tensor, Tensor]]
    if single:
        one_by_one = OneByOne(Subset(Split(images, labels), torch.arange(count)), augmentation)
        batches = DataLoader(one_by_one, batch, shuffle=True, pin_memory=device.type == "cuda")
    else:
        subset = Subset(Split(images.to(device), labels.to(device)), torch.arange(count))
        shape = (1, image_spec.channels, *[1] * image_spec.dimensions)
        mean, std = (torch.full(shape, value, device=device) for value in (MEAN, STD))
        batches = TensorLoader(subset, mean, std, batch, order="loading", augmentation=augmentation)
    iterator = iter(batches)
    next(iterator)[0].to(device)  # starts the epoch
    started = now(device)
    for images, _ in iterator:
        images.to(device, non_blocking=True)
    return (now(device) - started) / (BATCHES - 1)
