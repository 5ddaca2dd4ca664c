"""How do times grow with the size of the work? Exponents, fitted for each architecture on its own.

growth.json: a row for each kind of work and each size that varies, where all other sizes are those of the experiment.
Sizes are `depth`, the ops of a block, which are repeated; `width`, all channels of the space; `batch`, images of a
step, or of a score; and `candidates`, architectures that are drawn and scored. `milliseconds`: medians over
`architectures` at `factors` times the smallest size. `exponent`: the slope of log(milliseconds) over log(factor), mean
and `standard_error` over the architectures; `last`: likewise, between the two largest sizes alone. 1 is linear growth.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import linregress, sem

from smash_lightning.analyses.measured_step import MeasuredStep, seconds
from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.files import write_text
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, rng
from smash_lightning.search_space import MemoryBankSpace
from smash_lightning.stages.experiment import Experiment

SIZES = ("depth", "width", "batch", "candidates")
FACTORS = (1, 2, 4, 8)


def growth(experiment: Experiment, image_spec: ImageSpec, repeats: int, architectures: int) -> float:
    """Writes growth.json for the options of `benchmark`, and prints it.

    Returns:
        The exponent of a step in the batch size.

    Raises:
        ValueError: the space has no width that can be changed.
    """
    if not isinstance(experiment.space, MemoryBankSpace):
        raise ValueError(
            "task.growth=true needs a space of memory banks, all channels of which grow: search_space=smashv1"
        )
    space, batch = replace(experiment.space, image_spec=image_spec), experiment.data.batch_size
    found: dict[tuple[str, str], list[list[float]]] = {}  # milliseconds of each architecture, at each factor
    with ProgressBars(["measuring"], [len(SIZES) * len(FACTORS)]) as bars:
        for done, (size, factor) in enumerate(((size, factor) for size in SIZES for factor in FACTORS), 1):
            grown = wider(space, factor) if size == "width" else space
            step = MeasuredStep(experiment, grown, batch * factor if size == "batch" else batch)
            for index in range(architectures):

                def draw(count: int, grown: MemoryBankSpace = grown, index: int = index) -> list[Architecture]:
                    return [grown.sample(rng(Stream.BENCHMARK, experiment.seed, index, n)) for n in range(count)]

                for name, call in _work(step, draw, size, factor).items():
                    times = found.setdefault((name, size), [[] for _ in range(architectures)])
                    times[index].append(1e3 * seconds(call, repeats))
            bars.show(0, done)
    rows = [{"work": work, "size": size} | fit(np.array(times)) for (work, size), times in found.items()]
    about = {"space": type(space.body).__name__, "device": experiment.device, "batch": batch, "image": image_spec.size}
    document = about | {"architectures": architectures, "factors": FACTORS, "growth": rows}
    write_text(experiment.folder.path / "growth.json", json.dumps(document, indent=2) + "\n")
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    return next(float(row["exponent"]) for row in rows if (row["work"], row["size"]) == ("step", "batch"))


def _work(
    step: MeasuredStep, draw: Callable[[int], list[Architecture]], size: str, factor: int
) -> dict[str, Callable[[], object]]:
    """What is measured for a size, by name."""
    if size == "candidates":
        return {"ranking": lambda: step.scorer.scores(draw(factor))}
    (architecture,) = draw(1)
    if size == "depth":
        architecture = deeper(architecture, factor)
    return {
        "step": lambda: step.search(architecture),
        "generation": lambda: step.generate(architecture),
        "score": lambda: step.scorer(architecture),
    }


def wider(space: MemoryBankSpace, factor: int) -> MemoryBankSpace:
    """The space with `factor` times as many channels everywhere; it draws the same architectures, as much wider."""
    inputs, memory, widths = (tuple(factor * n for n in sizes) for sizes in (space.inputs, space.memory, space.widths))
    return replace(space, base=factor * space.base, inputs=inputs, memory=memory, widths=widths)


def deeper(architecture: Architecture, factor: int) -> Architecture:
    """The architecture with the ops of each block `factor` times in a row, which read what is filled already."""
    return replace(architecture, blocks=tuple(replace(block, ops=block.ops * factor) for block in architecture.blocks))


def fit(milliseconds: np.ndarray) -> dict[str, Any]:
    """The columns of growth.json, of times (architectures, factors)."""
    logs, factors = np.log(milliseconds), np.log(FACTORS)
    slopes = [linregress(factors, row).slope for row in logs]
    last = (logs[:, -1] - logs[:, -2]) / (factors[-1] - factors[-2])
    return {
        "exponent": float(np.mean(slopes)),
        "standard_error": float(sem(slopes)),
        "last": float(last.mean()),
        "last_standard_error": float(sem(last)),
        "milliseconds": np.median(milliseconds, 0).round(4).tolist(),
    }
