"""Downsampled ImageNet: ILSVRC2012's 1,331,167 photographs at 32x32, from the official pickled batches.

Source: P. Chrabaszcz, I. Loshchilov, F. Hutter, A Downsampled Variant of ImageNet as an Alternative to the CIFAR
datasets, 2017; batches are like those of CIFAR-10, with classes numbered from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smash_lightning.data.official import shortfall
from smash_lightning.data.pickles import read_batch
from smash_lightning.data.source import RawDataset, Source, Split

OFFICIAL = (1_281_167, 50_000)  # training and test images
IDS = range(1, 1001)  # of classes
TRAIN = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST = "val_data"
TRAIN_FOLDER, TEST_FOLDER = "Imagenet32_train", "Imagenet32_val"
NAME_FILES = ("classes.tsv", "map_clsloc.txt")
BY_HAND = (
    "log in at https://image-net.org/download-images, 'Download downsampled image data (32x32)', unpack both archives "
    "and name their folder with dataset.root=FOLDER."
)


@dataclass(frozen=True)
class ImageNet32(Source):
    """The classes of ILSVRC2012 that occur in the training images; the official validation images are the test set.

    Args:
        root: contains train_data_batch_1 to 10 and val_data, or the folders Imagenet32_train and Imagenet32_val with
            them. Classes are named by their numbers, from 1 to 1000, unless `root` also contains the official table
            map_clsloc.txt (lines of WordNet id, number, name), or a classes.tsv with columns ilsvrc2012_id and name.
    """

    root: str

    def files(self) -> Sequence[Path]:
        """Ten training batches, the test images, and the names of the classes where they exist."""
        base = Path(self.root).expanduser()
        folders = [base / name if (base / name).is_dir() else base for name in (TRAIN_FOLDER, TEST_FOLDER)]
        batches = [*(folders[0] / name for name in TRAIN), folders[1] / TEST]
        missing = [path for path in batches if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"{missing[0]} is missing: {BY_HAND}")
        return [*batches, *[base / name for name in NAME_FILES if (base / name).is_file()][:1]]

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order, of which there is never a second copy."""
        files = self.files()
        test_file, names = files[len(TRAIN)], files[len(TRAIN) + 1 :]
        train, test = _read_batches(files[: len(TRAIN)]), _read_batches([test_file])
        present = train.labels.unique()
        labels = torch.full((len(IDS),), -1)
        labels[present] = torch.arange(len(present))
        unknown = test.labels[labels[test.labels] < 0]
        if len(unknown):
            raise ValueError(
                f"{test_file} has an image of class {int(unknown[0]) + IDS.start}, of which there are no training "
                "images: the batches and it must be of the same set"
            )
        notes = shortfall("ImageNet32", (len(train), len(test)), OFFICIAL)
        if len(present) < len(IDS):
            notes = (*notes, f"{len(present)} of the official {len(IDS):,} classes occur.")
        train, test = (Split(split.images, labels[split.labels]) for split in (train, test))
        return RawDataset(train, test, _class_names(names, (present + IDS.start).tolist()), notes)


def _read_batches(paths: Sequence[Path]) -> Split:
    # The images take no more bytes than the files: so many are reserved; an end that stays unused costs nothing.
    room = sum(path.stat().st_size for path in paths) // (3 * 32 * 32)
    images = torch.empty(room, 3, 32, 32, dtype=torch.uint8)
    labels: list[Tensor] = []
    done = 0
    for path in paths:
        batch = read_batch(path, "labels", IDS)
        images[done : done + len(batch)] = batch.images
        labels.append(batch.labels)
        done += len(batch)
    return Split(images[:done], torch.cat(labels))


def _class_names(tables: Sequence[Path], ids: Sequence[int]) -> tuple[str, ...]:
    """Names of the classes with these ids: by the table, or else their numbers."""
    if not tables:
        return tuple(map(str, ids))
    try:
        lines = [line for line in tables[0].read_text(encoding="utf-8").splitlines() if line.strip()]
        if tables[0].suffix == ".tsv":
            header, *rows = [line.split("\t") for line in lines]
            number, name = header.index("ilsvrc2012_id"), header.index("name")
        else:
            rows, (number, name) = [line.split(maxsplit=2) for line in lines], (1, 2)
        names = {int(row[number]): row[name] for row in rows}
        return tuple(names[each] for each in ids)
    except (ValueError, LookupError) as error:
        raise ValueError(
            f"{tables[0]} is no table of all classes ({error!r}): correct it, or remove it to see numbers"
        ) from None
