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

from smash_lightning.data.cifar import read_batch
from smash_lightning.data.official import shortfall
from smash_lightning.data.source import RawDataset, Source, Split

OFFICIAL = (1_281_167, 50_000)  # training and test images
IDS = range(1, 1001)  # of classes
TRAIN = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST = "val_data"
TRAIN_FOLDER, TEST_FOLDER = "Imagenet32_train", "Imagenet32_val"
NAME_FILES = ("classes.tsv", "map_clsloc.txt")
BY_HAND = (
    "log in at https://image-net.org/download-images, 'Download downsampled image data (32x32)', unpack both archives "
    "and set dataset.root=FOLDER to where they lie."
)


@dataclass(frozen=True)
class ImageNet32(Source):
    """The classes of ILSVRC2012 that occur in the training images; the official validation images are the test set.

    Args:
        root: holds train_data_batch_1 to 10 and val_data, or the folders Imagenet32_train and Imagenet32_val that do.
            Classes are called by their numbers, from 1 to 1000, unless the official table map_clsloc.txt lies there too
            (lines of WordNet id, number, name), or a classes.tsv with columns ilsvrc2012_id and name.
    """

    root: str

    def files(self) -> Sequence[Path]:
        """Ten training batches, the test images, and the names of the classes where they are there."""
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
        test, names = files[len(TRAIN)], files[len(TRAIN) + 1 :]
        train = _read_batches(files[: len(TRAIN)])
        held = _read_batches([test])
        present = train.labels.unique()
        labels = torch.full((len(IDS),), -1)
        labels[present] = torch.arange(len(present))
        strange = held.labels[labels[held.labels] < 0]
        if len(strange):
            raise ValueError(
                f"{test} has an image of class {int(strange[0]) + IDS.start}, of which there are no training images: "
                "the batches and it must be of the same set"
            )
        notes = shortfall("ImageNet32", (len(train), len(held)), OFFICIAL)
        if len(present) < len(IDS):
            notes = (
                *notes,
                f"{len(present)} of the official {len(IDS):,} classes occur, and only these are told apart.",
            )
        return RawDataset(
            Split(train.images, labels[train.labels]),
            Split(held.images, labels[held.labels]),
            _class_names(names, present + IDS.start),
            notes,
        )


def _read_batches(paths: Sequence[Path]) -> Split:
    # How many images a file holds is known when it has been read, but they take no more bytes than the file: so much is
    # asked for, and the end that stays untouched costs nothing.
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


def _class_names(paths: Sequence[Path], ids: Tensor) -> tuple[str, ...]:
    """What the classes with these ids are called in the table, if there is one."""
    if not paths:
        return tuple(str(number) for number in ids.tolist())
    names = _read_table(paths[0])
    lacking = [number for number in ids.tolist() if number not in names]
    if lacking:
        raise ValueError(f"{paths[0]} has no name of class {lacking[0]}: complete it, or remove it to see numbers")
    return tuple(names[number] for number in ids.tolist())


def _read_table(path: Path) -> dict[int, str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if path.suffix != ".tsv":
            return {int(number): name for _, number, name in (line.split(maxsplit=2) for line in lines)}
        header, *rows = [line.split("\t") for line in lines]
        number, name = header.index("ilsvrc2012_id"), header.index("name")
        return {int(row[number]): row[name] for row in rows}
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path} is not a table of classes ({error}): correct it, or remove it to see numbers"
        ) from None
