"""What does a step of searching cost? As ratios measured in one process, and as counts that no machine changes.

benchmark.json: a row for the start and one for the end of training, between which a space may grow, with medians over
`n` architectures. `step_over_free`, with quartiles: seconds of a search step (draw, generate, forward, backward,
update) over those of a step of the same standalone network with the same optimizer. Of the search step, `share_draw`
draws the architecture, `share_generate` encodes it and generates its weights forward, `share_data` loads a batch of
such images, augmented on the device. `dataloader_over_data`: seconds of a batch from a torch DataLoader, which treats
images singly, over ours; `dataloader_workers_over_data`: with several processes. `operations_...`: tensor operations of
a step that are no views (`main`: network, loss and backward). `peak_memory_mib`: on a GPU. `scored_per_second`:
architectures x images.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smash_lightning.analyses.step_costs import StepCosts, wait_for
from smash_lightning.architecture import ImageSpec
from smash_lightning.data import Augmentation, Split, Subset, TensorLoader
from smash_lightning.engine import cores
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

MOST_WORKERS = 8  # processes of a DataLoader
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
    if image is not None and len(image) - 1 != image_spec.dimensions:
        raise ValueError(f"task.image needs channels and {image_spec.dimensions} sizes, got {list(image)}")
    if image is not None:
        image_spec = replace(image_spec, channels=image[0], size=tuple(image[1:]))
    steps = StepCosts(experiment, replace(image_spec, classes=classes or image_spec.classes), repeats)
    workers = (None, 0, min(MOST_WORKERS, cores()))
    ours, *others = (
        batch_seconds(steps.image_spec, data.batch_size, data.augmentation, steps.device, n) for n in workers
    )
    over_data = dict(zip(("dataloader_over_data", "dataloader_workers_over_data"), others, strict=True))
    rows: list[dict[str, Any]] = []
    ratios: list[float] = []
    with ProgressBars(["measuring"], [2 * architectures]) as bars:
        for phase, progress in (("start", 0.0), ("end", 1.0)):
            measured = []
            for index in range(architectures):
                measured.append(steps.measure(index, progress))
                bars.show(0, len(ratios) + len(measured))
            table = pd.DataFrame(measured)
            ratio, memory = table["step_over_free"], table.pop("peak_memory_mib").max()
            row: dict[str, Any] = steps.description | {"phase": phase, "n": architectures}
            row |= {str(name): median for name, median in table.median().items()}
            row |= {"step_over_free_low": ratio.quantile(0.25), "step_over_free_high": ratio.quantile(0.75)}
            row |= {"share_data": float((ours / table["seconds"]).median())}
            row |= {name: seconds / ours for name, seconds in over_data.items()}
            rows.append(row | {"peak_memory_mib": None if math.isnan(memory) else memory})
            ratios += ratio.tolist()
    (experiment.folder.path / "benchmark.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['space']}, {row['phase']} of training, {row['n']} architectures on {row['device']}:")
        print("".join(f"  {key:<32}{value:.4g}\n" for key, value in row.items() if isinstance(value, float)), end="")
    return statistics.median(ratios)


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
    image_spec: ImageSpec, batch: int, augmentation: Augmentation | None, device: torch.device, workers: int | None
) -> float:
    """Seconds from one batch of made-up images to the next, in the middle of an epoch.

    Args:
        image_spec: their shape and classes.
        batch: images in a batch.
        augmentation: of the images.
        device: to which they are brought.
        workers: processes of a DataLoader; None takes our loader.
    """
    count, rng = BATCHES * batch, generator(Stream.LOADING)
    images = torch.randint(256, (count, image_spec.channels, *image_spec.size), dtype=torch.uint8, generator=rng)
    labels = torch.randint(image_spec.classes, (count,), generator=rng)
    batches: Iterable[tuple[Tensor, Tensor]]
    if workers is None:
        subset = Subset(Split(images.to(device), labels.to(device)), torch.arange(count))
        shape = (1, image_spec.channels, *[1] * image_spec.dimensions)
        mean, std = (torch.full(shape, value, device=device) for value in (MEAN, STD))
        batches = TensorLoader(subset, mean, std, batch, order="loading", augmentation=augmentation)
    else:
        one_by_one = OneByOne(Subset(Split(images, labels), torch.arange(count)), augmentation)
        pin = device.type == "cuda"
        batches = DataLoader(one_by_one, batch, shuffle=True, num_workers=workers, pin_memory=pin)
    iterator = iter(batches)
    next(iterator)[0].to(device)  # starts the epoch and the processes
    wait_for(device)
    started = time.perf_counter()
    for images, _ in iterator:
        images.to(device, non_blocking=True)
    wait_for(device)
    return (time.perf_counter() - started) / (BATCHES - 1)
