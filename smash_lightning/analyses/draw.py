"""Draws one architecture, without any training: architecture.svg and architecture.json."""

from smash_lightning.architecture import Architecture, cost, load_architecture
from smash_lightning.evaluation.tables import read_ranking
from smash_lightning.files import write_text
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.tracker import Tracker
from smash_lightning.search_space.presets import preset as preset_of
from smash_lightning.stages.experiment import Experiment


def draw(
    experiment: Experiment,
    tracker: Tracker,
    preset: str | None = None,
    architecture: str | None = None,
) -> None:
    """Draws a preset, the architecture in a JSON file, or the best of an earlier run."""
    del tracker
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
    size = cost(chosen, image_spec)
    print(f"{title}: {size.ops} ops, {size.params:,} parameters, {size.macs:,} multiply-accumulates")


def _preset(name: str, dimensions: int) -> Architecture:
    try:
        return preset_of(name)(dimensions=dimensions)
    except ValueError as error:
        raise ValueError(f"task.preset={name}: {error}") from None
