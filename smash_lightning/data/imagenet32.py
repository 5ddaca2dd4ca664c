"""Downsampled ImageNet: ILSVRC2012's 1,331,167 photographs at 32x32, from the official pickled batches.

Source: P. Chrabaszcz, I. Loshchilov, F. Hutter, A Downsampled Variant of ImageNet as an Alternative to the CIFAR
datasets, 2017; batches are like those of CIFAR-10, with classes numbered from 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from smash_lightning.data.official import read_batches, shortfall
from smash_lightning.data.source import RawDataset, Source, Split

TRAIN = tuple(f"train_data_batch_{number}" for number in range(1, 11))
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
            map_clsloc.txt (lines of WordNet id, number, name).
    """

    root: str

    def files(self) -> Sequence[Path]:
        """Ten training batches, the test images, and the names of the classes where they exist."""
        base = Path(self.root).expanduser()
        folders = base / "Imagenet32_train", base / "Imagenet32_val"
        train, test = (folder if folder.is_dir() else base for folder in folders)
        batches = [*(train / name for name in TRAIN), test / "val_data"]
        if missing := [path for path in batches if not path.is_file()]:
            raise FileNotFoundError(f"{missing[0]} is missing: {BY_HAND}")
        return [*batches, *base.glob("map_clsloc.txt")]

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order, of which there is never a second copy."""
        batches, (test_file, *names) = self.files()[: len(TRAIN)], self.files()[len(TRAIN) :]
        train, test = read_batches(batches, "labels"), read_batches([test_file], "labels")
        present, labels = train.labels.unique(return_inverse=True)
        tested = torch.searchsorted(present, test.labels).clamp_max(len(present) - 1)
        if len(unknown := test.labels[present[tested] != test.labels]):
            raise ValueError(
                f"{test_file} has an image of class {int(unknown[0])}, of which there are no training images: the "
                "batches and it must be of the same set"
            )
        notes = shortfall("ImageNet32", (len(train), len(test)), (1_281_167, 50_000))
        if len(present) < 1000:
            notes = (*notes, f"{len(present)} of the official 1,000 classes occur.")
        classes = _class_names(names[0], present.tolist()) if names else tuple(map(str, present.tolist()))
        return RawDataset(Split(train.images, labels), Split(test.images, tested), classes, notes)


def _class_names(table: Path, ids: Sequence[int]) -> tuple[str, ...]:
    try:
        lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
        names = {int(number): name for _, number, name in (line.split(maxsplit=2) for line in lines)}
        return tuple(names[each] for each in ids)
    except (ValueError, LookupError) as error:
        raise ValueError(
            f"{table} is no table of all classes ({error!r}): correct it, or remove it to see numbers"
        ) from None
