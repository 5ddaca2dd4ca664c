"""Which data sets are present, which are not, and what do they look like?

datasets.csv: a row per data set: its `state` (present, missing or unusable) and the `remedy`; images, classes, shape,
mean and std of the training images' bytes in each channel without those of validation, and `notes` for readers of
results.
NAME.png: a contact sheet of each data set that is present.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from smash_lightning.data import DataModule
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

ROWS, COLUMNS = 20, 10  # most classes on a contact sheet, and examples of each
PRESENT = "present"
Bytes = NDArray[np.uint8]
CELL, GAP, FONT = 112, 6, 24  # pixels of an example's side, between examples, and of the text
LIMIT = 22  # letters of a name


def datasets(
    experiment: Experiment, tracker: Tracker, known: Mapping[str, DataModule], download: Sequence[str] = ()
) -> None:
    """Writes the table, and a contact sheet of each data set that is present."""
    if unknown := set(download) - set(known):
        raise ValueError(f"task.download: there is no data set {min(unknown)}, only {', '.join(known)}")
    folder, rows = experiment.folder.path, []
    for name, data in (dict(known) | {str(experiment.data.name): experiment.data}).items():
        data.download = name in download
        row = {"name": name} | _describe(data)
        rows.append(row)
        if row["state"] == PRESENT:
            _sheet(data).save(folder / f"{name}.png")
            text = f"{row['train']:,} + {row['test']:,} images of {row['shape']}, {row['classes']} classes"
            print(f"{name}: {text}, mean {row['mean']}, std {row['std']}. {row['notes']}".rstrip())
        else:
            print(f"{name}: {row['state']}. {row['remedy']}")
    pd.DataFrame(rows).convert_dtypes().to_csv(folder / "datasets.csv", index=False)


def _describe(data: DataModule) -> dict[str, Any]:
    try:
        data.setup()
    except FileNotFoundError as error:
        official = data.source.download
        download = f"would download {official.size / 2**20:.0f} MiB from {official.url}" if official else ""
        return {"state": "missing", "remedy": download or str(error)}
    except (ValueError, OSError) as error:
        return {"state": "unusable", "remedy": str(error)}
    sets = data.sets
    mean, std = (" ".join(f"{value:.4g}" for value in values.flatten().tolist()) for values in (data.mean, data.std))
    return {
        "state": PRESENT,
        "remedy": "",
        "train": len(sets.train),
        "test": len(sets.test),
        "classes": len(sets.classes),
        "shape": " x ".join(map(str, sets.train.images.shape[1:])),
        "mean": mean,
        "std": std,
        "notes": " ".join(sets.notes),
    }


def _sheet(data: DataModule) -> Image.Image:
    sets, labels = data.sets, data.train.labels
    count = len(sets.classes)
    chosen = np.linspace(0, count - 1, min(count, ROWS)).round().astype(int).tolist()
    examples = [data.train.take((labels == label).nonzero().flatten()[:COLUMNS]).images.numpy() for label in chosen]
    shown = f"{len(chosen)} of its {count} classes" if len(chosen) < count else f"{count} classes"
    names = [sets.classes[label] for label in chosen]
    return contact_sheet(examples, names, f"{data.name}: training images of {shown}")


def contact_sheet(examples: Sequence[Bytes], classes: Sequence[str], title: str) -> Image.Image:
    """A row for each class: its name and its examples, bytes (count, channels, *size).

    They have 1 or 3 channels and two or three dimensions; voxels are shown from the front, near ones light, with their
    last axis up.
    """
    font = ImageFont.load_default(FONT)
    names = [name if len(name) <= LIMIT else name[: LIMIT - 1] + "…" for name in classes]
    left = 2 * GAP + int(max(map(font.getlength, names)))
    step, top = CELL + GAP, FONT + 4 * GAP
    width = max(left + step * max(map(len, examples)), int(font.getlength(title)) + 2 * GAP)
    sheet = Image.new("RGB", (width, top + step * len(names)), "white")
    text = ImageDraw.Draw(sheet)
    text.text((GAP, GAP), title, "black", font)
    brightest = max(int(images.max()) for images in examples if len(images))
    for row, (images, name) in enumerate(zip(examples, names, strict=True)):
        y = top + step * row
        text.text((left - GAP, y + CELL // 2), name, "black", font, anchor="rm")
        for column, image in enumerate(images):
            cell = Image.fromarray((255 * picture(image, brightest)).round().astype(np.uint8))
            cell = cell.resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(cell, (left + step * column, y))
    return sheet


def picture(image: Bytes, brightest: int) -> NDArray[np.float64]:
    """Values from 0 to 1, (height, width) or (height, width, 3); `brightest` is the largest byte of all images."""
    if image.ndim == 4:
        grid = image[0] > 0  # nearness of the first filled voxel along the second axis, z up
        return np.where(grid.any(1), 1 - 0.8 * grid.argmax(1) / grid.shape[1], 0.0).T[::-1]
    scaled = image / (255 if brightest > 16 else brightest)
    return scaled[0] if len(image) == 1 else scaled.transpose(1, 2, 0)
