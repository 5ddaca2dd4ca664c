"""Small image files whose brightness is known, in folders and in Parquet files, and a DataModule."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from smash_lightning.data import DataModule, RawDataset, Source, Split

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ("cat", "dog", "emu")
FEW = {"validation": 0.25, "train": None, "batch_size": 2, "eval_batch_size": 4, "recalibration": 2}


def module(source: Source, **changes: Any) -> DataModule:
    """For a source of few images."""
    return DataModule(**{"name": "x", "source": source, "stem_stride": 1, "split_seed": 0} | FEW | changes)


def encoded(value: int, shape: tuple[int, ...] = (4, 4)) -> bytes:
    """An image file that is all `value`."""
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def image(path: Path, value: int, shape: tuple[int, ...] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)


def make(place: Path, tree: Any) -> Path:
    """Folders; lists of values are flat images in a folder, or rows of a .parquet; bytes are a file's content."""
    if isinstance(tree, Mapping):
        place.mkdir(parents=True, exist_ok=True)
        for name, inner in tree.items():
            make(place / name, inner)
    elif callable(tree):
        tree(place)
    elif isinstance(tree, bytes):
        place.write_bytes(tree)
    elif place.suffix == ".parquet":
        plain(place, tree)
    else:
        place.mkdir(exist_ok=True)
        for value in tree:
            image(place / f"{value:03}.png", value)
    return place


def images(values: Sequence[int | bytes | None]) -> pa.Array:
    """A column of images as the hub writes it; bytes are used as they are, None is an image without bytes."""
    contents = [encoded(value) if isinstance(value, int) else value for value in values]
    return pa.array([{"bytes": content, "path": "image.png"} for content in contents], type=IMAGE)


def metadata(**names: Sequence[str]) -> dict[bytes, bytes]:
    """The hub's metadata of columns: their class names, if they have any."""
    features: dict[str, Any] = {name: {"names": list(of), "_type": "ClassLabel"} for name, of in names.items()}
    return {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, **features}}}).encode()}


def shard(path: Path, about: dict[bytes, bytes] | None = None, group: int = 3, **columns: Any) -> Path:
    """Writes a shard in row groups of `group` rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path, row_group_size=group)
    return path


def plain(path: Path, values: Sequence[int], names: Sequence[str] | None = NAMES, **columns: Any) -> Path:
    """A shard in the hub's schema; the label of an image is its value modulo 3."""
    about = metadata(label=names) if names else None
    return shard(path, about, **({"image": images(values), "label": [value % 3 for value in values]} | columns))


def values(split: Split) -> list[int]:
    """The brightness of each image of a split."""
    return split.images[:, 0, 0, 0].tolist()


def by_class(sets: RawDataset, split: Split) -> dict[str, list[int]]:
    pairs = list(zip(values(split), split.labels.tolist(), strict=True))
    return {name: [value for value, label in pairs if label == number] for number, name in enumerate(sets.classes)}
