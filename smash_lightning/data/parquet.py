"""Encoded images and labels in Parquet files, as the common data set hub distributes them.

The hub's schema: an image is a struct of its file's bytes and its path; a label is a number, whose name the schema's
metadata holds as JSON under `huggingface`, as does Hugging Face's library `datasets` (`Features`, `ClassLabel`).
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from smash_lightning.data.decode import Encoded, decoded_sets, listed
from smash_lightning.data.folder import SPLIT_WORDS, check_options, choose_test, held_images, is_hidden
from smash_lightning.data.source import RawDataset, Source

_ROWS = 256  # images that are read at once


@dataclass(frozen=True)
class Parquet(Source):
    """Images and labels in shards, of which each belongs to one split.

    The split is what a shard's name begins with, as in train-00000-of-00004.parquet, or else that of the nearest
    folder: train, test, or validation (valid, val), which is the test set only where there is no test shard. Where
    there is neither, the test set is drawn from train.

    Args:
        root: the folder of the shards, or a pattern of their paths such as data/*.parquet.
        image: column of the images; None takes the only one that holds bytes, or a struct of bytes and path.
        label: column of the labels; None takes the only one with class names, or else the only one of integers or text.
            Without class names, integers from 0 are their own names, and so are texts, sorted.
        size: height and width to which images are brought, see `decode`; None demands that all have one size.
        test_share: share of each class that becomes the test set where there is none.
        seed: seed of that draw.
    """

    root: str
    image: str | None
    label: str | None
    size: int | None
    test_share: float = 0.2
    seed: int = 0

    def files(self) -> Sequence[Path]:
        """The shards: those of train, then those of the test set, each sorted.

        Raises:
            FileNotFoundError: there are none.
            ValueError: an option is impossible, or no shard is one of train.
        """
        shards = self._shards()
        return [*shards.train, *shards.test]

    def read(self) -> RawDataset:
        """Images (count, 1 or 3, height, width), in the order of shards and rows within each split.

        Raises:
            FileNotFoundError: as `files`.
            ValueError: as `files`; a shard is corrupt, has no such column, or one of another type than the first; a
                label is missing or has no name; a test set is to be made and a class has one image only; or as
                `decode`.
        """
        shards = self._shards()
        paths = [*shards.train, *shards.test]
        with _opened(paths[0]) as file:
            columns = _columns(paths[0], file.schema_arrow, self.image, self.label)
        labels = [_labels(path, columns) for path in paths]
        train = list(chain.from_iterable(labels[: len(shards.train)]))
        classes = columns.names or _classes(paths[0], columns.label, train)
        if not train or len(classes) < 2:
            raise ValueError(f"{paths[0]} and its like hold {len(train)} images in {len(classes)} classes: too few")
        numbers = {name if columns.text else label: label for label, name in enumerate(classes)}
        numbered = (_numbered(path, own, numbers) for path, own in zip(paths, labels, strict=True))
        targets = torch.tensor(list(chain.from_iterable(numbered)))
        held, notes = held_images(targets, len(train), classes, self.test_share, self.seed)
        encoded = chain.from_iterable(_images(path, columns.image) for path in paths)
        return decoded_sets(encoded, targets, held, classes, self.size, (*shards.notes, *notes))

    def _shards(self) -> _Shards:
        check_options(self.size, self.test_share)
        base, paths = _found(self.root)
        if not paths:
            raise FileNotFoundError(
                f"there is no Parquet file in {self.root}: dataset.root=PATH names the folder, or a pattern of paths"
            )
        splits: dict[str | None, list[Path]] = {}
        for path in paths:
            splits.setdefault(_split_word(path.relative_to(base)), []).append(path)
        unnamed = splits.pop(None, [])
        if not splits:
            return _Shards(unnamed, [], ())
        if "train" not in splits:
            raise ValueError(f"there is {paths[0]}, but no file in {self.root} whose name begins with train")
        test, notes = choose_test([word for word in splits if word])
        if unnamed:
            names = listed([path.relative_to(base).as_posix() for path in unnamed])
            notes = (*notes, f"Shards of no split are left out: {names}.")
        return _Shards(splits["train"], splits[test] if test else [], notes)


@dataclass(frozen=True, slots=True)
class _Shards:
    train: Sequence[Path]
    test: Sequence[Path]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns are read, whether labels are text (or else integers), and class names where the schema has them."""

    image: str
    label: str
    text: bool
    names: tuple[str, ...] | None


def _found(root: str) -> tuple[Path, list[Path]]:
    """The folder in which shards are looked for, and those that are there, sorted."""
    base = Path(root).expanduser()
    found = base.rglob("*.parquet") if base.is_dir() else map(Path, glob.glob(str(base), recursive=True))
    paths = sorted(path for path in found if path.is_file())
    while glob.has_magic(str(base)) and not base.is_dir():
        base = base.parent
    base = base.parent if base.is_file() else base
    return base, [path for path in paths if not any(map(is_hidden, path.relative_to(base).parts))]


def _split_word(shard: Path) -> str | None:
    """The split that a shard belongs to, by its name or that of a folder that it is in."""
    for name in reversed(shard.parts):
        if word := SPLIT_WORDS.get("".join(takewhile(str.isalpha, name.lower()))):
            return word
    return None


def _columns(path: Path, schema: pa.Schema, image: str | None, label: str | None) -> _Columns:
    """The columns that are named, or else can be told by their types.

    Raises:
        ValueError: there is no such column, or more than one that may be meant.
    """
    images, integers, texts = (
        [field.name for field in schema if fits(field.type)] for fits in (_holds_images, pa.types.is_integer, _is_text)
    )
    named = [name for name in integers if _class_names(schema, name)]
    image = _column(path, schema, "image", image, images, images)
    label = _column(path, schema, "label", label, integers + texts, named or integers + texts)
    return _Columns(image, label, label in texts, None if label in texts else _class_names(schema, label))


def _column(
    path: Path, schema: pa.Schema, option: str, name: str | None, fitting: Sequence[str], likely: Sequence[str]
) -> str:
    choose = f"dataset.source.{option}=NAME"
    if name is not None:
        if name not in schema.names:
            raise ValueError(f"{path} has no column {name}, only {', '.join(schema.names)}: {choose} names one")
        if name not in fitting:
            raise ValueError(f"column {name} of {path} is {schema.field(name).type}: {choose} names that of {option}s")
        return name
    if not likely:
        kinds = {"image": "bytes, or a struct with bytes", "label": "integers or text"}[option]
        raise ValueError(f"{path} has no column of {option}s ({kinds}), only {', '.join(schema.names)}")
    if len(likely) > 1:
        raise ValueError(f"{path} has several columns that may hold {option}s, {', '.join(likely)}: {choose} names one")
    return likely[0]


def _class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
        return tuple(str(name) for name in names) or None
    except (KeyError, TypeError, ValueError):  # most of what metadata may say of a column is not about classes
        return None


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_images(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _labels(path: Path, columns: _Columns) -> list[int | str | None]:
    """The labels of a shard as they are written."""
    with _opened(path) as file:
        if _columns(path, file.schema_arrow, columns.image, columns.label) != columns:
            raise ValueError(f"{path} has labels of another type, or other class names, than the first: keep one kind")
        return file.read(columns=[columns.label]).column(columns.label).to_pylist()


def _numbered(path: Path, labels: Sequence[int | str | None], numbers: Mapping[int | str, int]) -> Iterator[int]:
    for row, label in enumerate(labels):
        if label is None or label not in numbers:
            what = "no label" if label is None else f"label {label}, which is none of the {len(numbers)} classes"
            raise ValueError(f"row {row} of {path} has {what}: leave it out, or choose dataset.source.label=NAME")
        yield numbers[label]


def _classes(path: Path, column: str, labels: Sequence[int | str | None]) -> tuple[str, ...]:
    """Names of the classes where the schema has none."""
    texts = sorted({label for label in labels if isinstance(label, str)})
    count = len(texts) or max((label for label in labels if isinstance(label, int)), default=0) + 1
    if count > len(labels) / 2:
        raise ValueError(
            f"column {column} of {path} makes {count} classes of {len(labels)} images: dataset.source.label=NAME names "
            "that of labels"
        )
    return tuple(texts or map(str, range(count)))


def _images(path: Path, column: str) -> Iterator[Encoded]:
    row = 0
    with _opened(path) as file:
        # One row group after the other is asked for, as a reader of all keeps what it has read.
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[column]):
                values = batch.column(0)
                if pa.types.is_struct(values.type):
                    values = values.field("bytes")
                for content in values.to_pylist():
                    yield Encoded(f"row {row} of {path.name}", content)
                    row += 1


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is truncated or corrupt ({reason}): fetch it again") from error
