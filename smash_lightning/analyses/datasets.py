"""Which data sets are there, which are not, and what do they look like?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from matplotlib.figure import Figure

from smash_lightning.data import DataModule, Subset
from smash_lightning.evaluation.tables import write_records
from smash_lightning.report.contact_sheet import DPI, contact_sheet
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

ROWS, COLUMNS = 20, 10  # most classes on a contact sheet, and examples of each
FAR = 0.01  # of the brightest byte: a larger distance to published constants is stated


@dataclass(frozen=True, slots=True)
class Row:
    """One data set.

    Args:
        name: of its configuration.
        state: "there", "not there", or what is wrong with it.
        remedy: what would be downloaded, or what to do.
        train: images to learn from, validation included.
        test: images for true errors.
        classes: number of classes.
        shape: channels and size of an image.
        mean: of the training images' bytes in each channel, validation excluded.
        deviation: their standard deviation.
        notes: what a reader of results should know.
    """

    name: str
    state: str
    remedy: str = ""
    train: int = 0
    test: int = 0
    classes: int = 0
    shape: str = ""
    mean: str = ""
    std: str = ""
    notes: str = ""


def datasets(
    experiment: Experiment, tracker: Tracker, known: Mapping[str, DataModule], download: Sequence[str] = ()
) -> None:
    """Writes `datasets.csv`, and a contact sheet `NAME.png` for each set that is there; the experiment's own is one.

    Args:
        experiment: says where to write.
        tracker: receives table and sheets.
        known: data sets by name; none of them is downloaded,
        download: except these.

    Raises:
        ValueError: one to download is unknown.
    """
    if unknown := set(download) - set(known):
        raise ValueError(f"task.download: there is no data set {min(unknown)}, only {', '.join(known)}")
    folder = experiment.folder.path
    rows = []
    for name, data in (dict(known) | {str(experiment.data.name): experiment.data}).items():
        data.download = name in download
        rows.append(_row(name, data))
        if rows[-1].state == "there":
            sheet = folder / f"{name}.png"
            _sheet(data).savefig(sheet, dpi=DPI)
            tracker.image(name, sheet)
        print(_line(rows[-1]))
    write_records(folder / "datasets.csv", rows, Row)
    tracker.table("datasets", [field.name for field in fields(Row)], [list(asdict(row).values()) for row in rows])


def _row(name: str, data: DataModule) -> Row:
    try:
        data.setup()
    except FileNotFoundError as error:
        downloads = data.source.downloads()
        remedy = "; ".join(f"would download {each.size / 2**20:.0f} MiB from {each.url}" for each in downloads)
        return Row(name, "not there", remedy or str(error))
    except (ValueError, OSError) as error:
        return Row(name, "unusable", str(error))
    sets = data.sets
    return Row(
        name,
        "there",
        train=len(sets.train),
        test=len(sets.test),
        classes=len(sets.classes),
        shape=" x ".join(map(str, sets.train.images.shape[1:])),
        mean=_listed(data.mean),
        std=_listed(data.std),
        notes=" ".join([*sets.notes, *_against_published(data)]),
    )


def _listed(values: torch.Tensor) -> str:
    return " ".join(f"{value:.4g}" for value in values.flatten().tolist())


def _against_published(data: DataModule) -> list[str]:
    """A sentence where the constants of the training images lie far from the published ones."""
    published = data.source.published
    if published is None:
        return []
    measured = torch.stack([data.mean.flatten(), data.std.flatten()]) / 255
    distance = float((measured - torch.tensor(published)).abs().max())
    if distance <= FAR:
        return []
    return [f"Mean or deviation of the bytes lies {distance:.3f} x 255 from the published value."]


def _sheet(data: DataModule) -> Figure:
    sets = data.sets
    count = len(sets.classes)
    chosen = np.linspace(0, count - 1, min(count, ROWS)).round().astype(int).tolist()
    examples = [_examples(data.train, label) for label in chosen]
    shown = f"{len(chosen)} of its {count} classes" if len(chosen) < count else f"{count} classes"
    title = f"{data.name}: training images of {shown}"
    return contact_sheet(examples, [sets.classes[label] for label in chosen], title)


def _examples(part: Subset, label: int) -> np.ndarray:
    return part.take((part.labels == label).nonzero().flatten()[:COLUMNS]).images.numpy()


def _line(row: Row) -> str:
    if row.state != "there":
        return f"{row.name}: {row.state}. {row.remedy}"
    what = f"{row.train:,} + {row.test:,} images of {row.shape}, {row.classes} classes"
    return f"{row.name}: {what}, mean {row.mean}, deviation {row.std}. {row.notes}".rstrip()
