"""Draws one architecture, without any training: architecture.svg and architecture.json.

With a run whose HyperNet has an input c also encoding.png: c, and the 1x1 weights that the first HyperNet makes of it.
"""

import math

import pandas as pd
import torch

from smash_lightning.architecture import Architecture, cost, load_architecture
from smash_lightning.evaluation.tables import read_ranking
from smash_lightning.files import write_text
from smash_lightning.hypernet import ConditionalWeightSource
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.figures import encoding
from smash_lightning.report.style import Chart, save, specification
from smash_lightning.report.tracker import Tracker
from smash_lightning.search_space.presets import preset as preset_of
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.retrain import first_hypernet

MOST_WEIGHTS = 40_000  # in a picture of weights


def draw(
    experiment: Experiment,
    tracker: Tracker,
    preset: str | None = None,
    architecture: str | None = None,
) -> None:
    """Draws a preset, the architecture in a JSON file, or the best of an earlier run."""
    image_spec, folder = experiment.data.image_spec, experiment.folder.path
    if preset is not None and architecture is not None:
        raise ValueError("give task.preset or task.architecture, not both")
    if preset is not None:
        title, chosen = preset, _preset(preset, image_spec.dimensions)
    elif architecture is not None:
        title, chosen = architecture, load_architecture(architecture, image_spec.dimensions)
    elif experiment.source is None:
        raise ValueError("nothing to draw: give task.preset, task.architecture=FILE.json or checkpoint=FOLDER")
    else:
        source = experiment.source_folder()
        best = read_ranking(source)["fingerprint"].iloc[0]
        title, chosen = f"The best by score: {best}", source.read_architectures()[best]
    write_text(folder / "architecture.svg", architecture_svg(chosen, image_spec, title))
    write_text(folder / "architecture.json", chosen.to_json() + "\n")
    if experiment.source is not None and experiment.source_folder().find_hypernets():
        try:
            hypernet = first_hypernet(experiment)
            if isinstance(hypernet, ConditionalWeightSource):
                picture = encoding_chart(hypernet, chosen, experiment.seed, title)
                save(specification(picture), folder / "encoding.png")
        except ValueError as error:  # a HyperNet of other data, or an architecture outside of its space
            print(f"There is no encoding.png: {error}")
    size = cost(chosen, image_spec)
    print(f"{title}: {size.ops} ops, {size.params:,} parameters, {size.macs:,} multiply-accumulates")


@torch.no_grad()
def encoding_chart(hypernet: ConditionalWeightSource, architecture: Architecture, seed: int, title: str) -> Chart:
    """The encoding c of an architecture, and the 1x1 weights that a HyperNet makes of it."""
    encoder, noise = hypernet.encoding, hypernet.noise(architecture, generator(Stream.SCORE_NOISE, seed))
    channels = [
        name if len(field.options) == 1 else f"{name} {option}"
        for name, field in encoder.layout.fields.items()
        for option in field.options
    ]
    width = encoder.slice_channels
    firsts = [span.first * width for span in encoder.spans(architecture)]
    marks = encoder.encode(architecture)[0, :, 0].gt(0).nonzero().tolist()
    cells = [(channels[channel], place * width, (place + 1) * width) for channel, place in marks]
    suffix, made = ".pointwise.weight", hypernet(architecture, noise)
    matrices = {name.removesuffix(suffix): w.flatten(1) for name, w in made.items() if name.endswith(suffix)}
    step = math.ceil(math.sqrt(sum(matrix.numel() for matrix in matrices.values()) / MOST_WEIGHTS))
    weights = [
        (first + step * i, first + step * (i + 1), step * o, step * (o + 1), value)
        for first, matrix in zip(firsts, matrices.values(), strict=True)
        for o, row in enumerate(matrix[::step, ::step].tolist())
        for i, value in enumerate(row)
    ]
    names = [name.replace("block", "").replace("op", "") for name in matrices]
    some = f" (every {step}th row and column)" if step > 1 else ""
    return encoding(
        pd.DataFrame(cells, columns=["channel", "first", "last"]),
        pd.DataFrame(weights, columns=["first", "last", "row", "end", "value"]),
        pd.DataFrame({"op": names, "first": firsts}),
        channels,
        title=title,
        note=f"Above: the encoding c, with the numbers of blocks and ops. Below: the 1x1 weights made of it{some}.",
    )


def _preset(name: str, dimensions: int) -> Architecture:
    try:
        return preset_of(name)(dimensions=dimensions)
    except ValueError as error:
        raise ValueError(f"task.preset={name}: {error}") from None
