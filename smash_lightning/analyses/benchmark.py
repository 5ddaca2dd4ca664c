"""What does a step of searching cost, and where? Measured in one process.

benchmark.json: a row for the start and one for the end of training, between which a space may grow, with medians over
`n` architectures. Times are milliseconds, with all work of a GPU, or of the processor where one thread computes.
`search` is a step; `draw`, `encode`, `generate` (with the encoding), `forward`, `backward`, `optimizer` and `data`, a
batch of augmented images, are its parts, each measured alone. `over_standalone`, with quartiles: a step over one of the
same standalone network with the same optimizer. `host`: until a step is launched, which on a GPU is before it ends.
`score`: validation of as many images as a batch, with recalibration on as many. `operations`: tensor operations of a
step, which a GPU must launch. `peak_mb`: most memory that a step needs at a time, weights and images not counted.
`standalone`: a step of a standalone network; `side_by_side`: a step of `retrain.seeds` of them side by side, over as
many steps of one.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import pandas as pd
import torch
from pydantic import Field

from smash_lightning.analyses.growth import growth as fitted_growth
from smash_lightning.analyses.measured_step import MeasuredStep, OperationCounter, peak_mb, seconds
from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.data import Augmentation, Split, Subset, TensorLoader
from smash_lightning.files import write_text
from smash_lightning.hypernet import ConditionalWeightSource
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

BATCHES = 64  # of an epoch of random images


def benchmark(
    experiment: Experiment,
    tracker: Tracker,
    repeats: Annotated[int, Field(ge=1)] = 5,
    architectures: Annotated[int, Field(ge=2)] = 8,
    image: Sequence[int] | None = None,
    classes: int | None = None,
    growth: bool = False,
) -> float:
    """Measures space, HyperNet, batch size and device of `experiment`; conf/task/benchmark.yaml explains the options.

    Returns:
        The median of `over_standalone` over all architectures; with `growth`, the exponent of a step in the batch size.
    """
    data, image_spec, device = experiment.data, experiment.data.image_spec, torch.device(experiment.device)
    if image is not None:
        if len(image) - 1 != image_spec.dimensions:
            raise ValueError(f"task.image needs channels and {image_spec.dimensions} sizes, got {list(image)}")
        image_spec = replace(image_spec, channels=image[0], size=tuple(image[1:]))
    image_spec = replace(image_spec, classes=classes or image_spec.classes)
    if growth:
        return fitted_growth(experiment, image_spec, repeats, architectures)
    loading = seconds(epoch(image_spec, data.batch_size, data.augmentation, device), repeats) / BATCHES
    step = step_costs(experiment, image_spec, device, repeats)
    rows = []
    with ProgressBars(["measuring"], [2 * architectures]) as bars:
        for phase, progress in (("start", 0.0), ("end", 1.0)):
            for index in range(architectures):
                rows.append({"phase": phase} | step(index, progress))
                bars.show(0, len(rows))
    table = pd.DataFrame(rows).assign(data=1e3 * loading)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    found: list[dict[str, Any]] = []
    for when, part in table.groupby("phase", sort=False):
        row = {"space": type(experiment.space).__name__, "device": name, "batch": data.batch_size, "phase": when}
        row |= {"n": architectures, **part.drop(columns="phase").median(), "peak_mb": part["peak_mb"].max()}
        low, high = part["over_standalone"].quantile([0.25, 0.75])
        found.append(row | {"over_standalone_low": low, "over_standalone_high": high})
    write_text(experiment.folder.path / "benchmark.json", json.dumps(found, indent=2) + "\n")
    print(pd.DataFrame(found).T.to_string(header=False))
    return float(table["over_standalone"].median())


def step_costs(
    experiment: Experiment, image_spec: ImageSpec, device: torch.device, repeats: int
) -> Callable[[int, float], dict[str, Any]]:
    """A function from the index of an architecture and the progress of training (0 to 1) to columns of benchmark.json.

    The images are random.
    """
    space = replace(experiment.space, image_spec=image_spec)  # type: ignore[type-var]  # a space is a dataclass
    step, seeds = MeasuredStep(experiment, space, experiment.data.batch_size), experiment.retrain.seeds

    def measure(index: int, progress: float) -> dict[str, Any]:
        def draw() -> Architecture:
            return space.sample(rng(Stream.BENCHMARK, experiment.seed, index), progress)

        def search() -> None:
            step.search(draw())

        architecture = draw()
        weights = step.generate(architecture)
        loss = step.loss(architecture, weights)
        calls: dict[str, Callable[[], object]] = {"search": search, "draw": draw}
        if isinstance(step.source, ConditionalWeightSource):
            calls["encode"] = partial(step.source.encode, architecture)
        calls |= {
            "generate": lambda: step.generate(architecture),
            "forward": lambda: step.loss(architecture, weights),
            "backward": lambda: loss.backward(retain_graph=True),
            "optimizer": step.optimizer.step,  # with the gradients of the backward pass
            "score": lambda: step.scorer(architecture),
            "standalone_step": step.standalone(architecture, op_norm=False),
        }
        row: dict[str, Any] = {name: 1e3 * seconds(call, repeats) for name, call in calls.items()}
        row["over_standalone"] = row["search"] / row.pop("standalone_step")
        graphs = experiment.retrain.graphs
        one, several = (seconds(step.standalone(architecture, count, graphs), repeats) for count in (1, seeds))
        started = time.perf_counter()
        search()
        row["host"] = 1e3 * (time.perf_counter() - started)
        with OperationCounter() as counter:
            search()
        return row | {
            "standalone": 1e3 * one,
            "side_by_side": several / (one * seeds),
            "operations": counter.total,
            "peak_mb": peak_mb(search, device),
        }

    return measure


def epoch(
    image_spec: ImageSpec, batch: int, augmentation: Augmentation | None, device: torch.device
) -> Callable[[], None]:
    """Loads all random images to the device."""
    count, rng = BATCHES * batch, generator(Stream.LOADING)
    images = torch.randint(256, (count, image_spec.channels, *image_spec.size), dtype=torch.uint8, generator=rng)
    labels = torch.randint(image_spec.classes, (count,), generator=rng)
    subset = Subset(Split(images.to(device), labels.to(device)), torch.arange(count))
    shape = (1, image_spec.channels, *[1] * image_spec.dimensions)
    mean, std = (torch.full(shape, value, device=device) for value in (128.0, 64.0))
    batches = TensorLoader(subset, mean, std, batch, order="loading", augmentation=augmentation)

    def load() -> None:
        for _ in batches:
            pass

    return load
