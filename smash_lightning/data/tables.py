"""Encoded images and labels in tables: Parquet files, and data sets of the Hugging Face hub."""

from __future__ import annotations

import glob
import os
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from smash_lightning.data.columns import Label, Table, find_classes, find_columns, has_labels, numbered, read_labels
from smash_lightning.data.decode import Encoded, decoded_dataset
from smash_lightning.data.layout import check_options, choose_test, held_images, is_hidden, split_words
from smash_lightning.data.source import RawDataset, Source, listed

_ROWS = 256  # images that are read at once


@dataclass(frozen=True, kw_only=True)
class TableSource(Source):
    """Reads images and labels from columns of tables.

    Args:
        image: column of the images; None takes the only one of bytes, or of structs with bytes.
        label: column of the labels; None takes the only one with class names, or else of integers or text, or else of
            true and false or whole numbers with a decimal point. Columns of an index are never labels. Without class
            names, integers from 0 are their own names, and so are texts, sorted.
        size: height and width of all images, see `decode`; None requires that all have one size.
        test_share: share of each class that becomes the test set where there is none.
        seed: seed of that draw.
        train_split: the training split: a pattern of file names, or the hub's name; None finds it by its name.
        test_split: the test split likewise; None finds it by its name, or has none after `train_split`.
    """

    image: str | None = None
    label: str | None = None
    size: int | None = None
    test_share: float = 0.2
    seed: int = 0
    train_split: str | None = None
    test_split: str | None = None

    @abstractmethod
    def _tables(self) -> tuple[Mapping[str, Sequence[Table]], tuple[str, ...]]:
        """Tables of the splits train, test and validation, as far as they exist, and notes."""

    def read(self) -> RawDataset:
        """Images (count, 1 or 3, height, width), in the order of tables and rows within each split.

        Raises:
            ValueError: a table is corrupt, has no such column, or one of another type than the first; a label is
                missing or has no name; a test set is to be drawn and a class has one image only; or as `decode`.
        """
        splits, notes = self._tables()
        columns = find_columns(splits["train"][0], self.image, self.label)
        labels = cache(lambda name: [read_labels(table, columns) for table in splits[name]])
        test, test_notes = choose_test(splits, lambda name: has_labels(chain(*labels(name))))
        used = ["train", test] if test else ["train"]
        train = list(chain(*labels("train")))
        classes = find_classes(splits["train"][0], columns, train)
        numbers: dict[Label, int] = {name if columns.text else number: number for number, name in enumerate(classes)}
        tables = [table for name in used for table in splits[name]]
        of_tables = zip(tables, chain(*map(labels, used)), strict=True)
        targets = torch.tensor([number for table, own in of_tables for number in numbered(table, own, numbers)])
        held, drawn = held_images(targets, len(train), classes, self.test_share, self.seed)
        encoded = chain.from_iterable(_images(table, columns.image) for table in tables)
        return decoded_dataset(encoded, targets, held, classes, self.size, (*notes, *test_notes, *drawn))


@dataclass(frozen=True)
class Parquet(TableSource):
    """Images and labels in shards, of which each belongs to one split.

    The split is a word of a shard's name, as in train-00000-of-00004.parquet and mnist_train.parquet, or else of the
    nearest folder: train, test, or validation (valid, val), which is the test set only where there is no labelled test
    shard. Where there is neither, the test set is drawn from train.

    Args:
        root: the folder of the shards, or a pattern of their paths such as data/*.parquet.
    """

    root: str

    def files(self) -> Sequence[Path]:
        """The shards of train, and those of the other splits, each sorted; refused if one is missing or ambiguous."""
        shards, _ = self._shards()
        return [*chain.from_iterable(shards.values())]

    def _tables(self) -> tuple[Mapping[str, Sequence[Table]], tuple[str, ...]]:
        shards, notes = self._shards()
        return {split: [_parquet_table(path) for path in paths] for split, paths in shards.items()}, notes

    def _shards(self) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
        check_options(self.size, self.test_share, (self.train_split, self.test_split))
        base, paths = _found(self.root)
        if not paths:
            raise FileNotFoundError(
                f"there is no Parquet file in {self.root}: dataset.root=PATH names the folder, or a pattern of paths"
            )
        if self.train_split is not None:
            patterns = {"train": self.train_split, **({"test": self.test_split} if self.test_split else {})}
            chosen = {
                split: [p for p in paths if p.relative_to(base).match(pattern)] for split, pattern in patterns.items()
            }
            for split, matching in chosen.items():
                if not matching:
                    raise ValueError(f"dataset.{split}_split={patterns[split]} matches no Parquet file in {self.root}")
            return chosen, ()
        splits: dict[str | None, list[Path]] = {}
        for path in paths:
            splits.setdefault(_split(path.relative_to(base)), []).append(path)
        unnamed = splits.pop(None, [])
        _require_whole(paths)
        if not splits:
            return {"train": unnamed}, ()
        if "train" not in splits:
            raise ValueError(
                f"{self.root} has {paths[0].name}, but no file with the word train in its name: name the files of both "
                "splits with dataset.train_split=PATTERN and dataset.test_split=PATTERN"
            )
        names = listed([path.relative_to(base).as_posix() for path in unnamed])
        notes = (f"Shards of no split are left out: {names}.",) if unnamed else ()
        return {split: splits[split] for split in ("train", "test", "validation") if split in splits}, notes


@dataclass(frozen=True)
class Hub(TableSource):
    """A data set of the Hugging Face hub, with its splits and class names, from its cache where there is no network.

    Args:
        path: name on the hub, such as uoft-cs/cifar10.
        config: which of its configurations; None takes the default one.
    """

    path: str
    config: str | None = None

    def files(self) -> Sequence[Path]:
        """The Arrow files in the cache of the library `datasets`, which are written at first use."""
        splits, _ = self._splits()
        return [Path(file["filename"]) for split in splits.values() for file in split.cache_files]

    def _tables(self) -> tuple[Mapping[str, Sequence[Table]], tuple[str, ...]]:
        splits, notes = self._splits()
        return {word: [_hub_table(word, split)] for word, split in splits.items()}, notes

    def _splits(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The library's data set for each of our splits, and notes."""
        check_options(self.size, self.test_share, (self.train_split, self.test_split))
        found = _load(self.path, self.config)
        if self.train_split is not None:
            names = {"train": self.train_split, **({"test": self.test_split} if self.test_split else {})}
        else:
            names = {}
            for name in sorted(found, key=len):  # "train" before "train_extra"
                if len(words := split_words(name)) == 1:
                    names.setdefault(words.pop(), name)
        if missing := [name for name in names.values() if name not in found]:
            raise ValueError(f"{self.path} has no split {missing[0]}, only {', '.join(found)}")
        if "train" not in names:
            raise ValueError(f"{self.path} has the splits {', '.join(found)}: dataset.train_split=NAME names one")
        others = [name for name in found if name not in names.values()]
        notes = (f"Splits that are not used: {listed(others)}.",) if others else ()
        return {word: found[names[word]] for word in ("train", "test", "validation") if word in names}, notes


def _load(path: str, config: str | None) -> Mapping[str, Any]:
    if Path(path).expanduser().exists():
        raise ValueError(f"dataset.path={path} is a file or folder: choose dataset=folder or dataset=parquet for it")
    from datasets import load_dataset  # here, as its import takes a second
    from datasets.exceptions import DatasetsError

    try:
        return load_dataset(path, config)
    except (DatasetsError, OSError) as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"the hub's data set {path} cannot be loaded ({reason}): check dataset.path=NAME"
        ) from error
    except (ValueError, RuntimeError) as error:  # several configurations, or a data set that runs code of its own
        raise ValueError(f"{path}: {' '.join(str(error).split())} (dataset.config=NAME)") from error


def _hub_table(name: str, split: Any) -> Table:
    rows = split.with_format("arrow")

    def column(wanted: str) -> Iterator[pa.Array]:
        for batch in rows.select_columns([wanted]).iter(_ROWS):
            yield from batch.column(0).chunks

    return Table(f"the {name} split", split.features.arrow_schema, column)


def _parquet_table(path: Path) -> Table:
    with _opened(path) as file:
        return Table(path.name, file.schema_arrow, partial(_parquet_column, path))


def _parquet_column(path: Path, name: str) -> Iterator[pa.Array]:
    with _opened(path) as file:
        for group in range(file.num_row_groups):  # one after the other, as a reader of all keeps what it has read
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[name]):
                yield batch.column(0)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is truncated or corrupt ({reason}): fetch it again") from error


def _found(root: str) -> tuple[Path, list[Path]]:
    """The folder that is searched, and the shards in it, sorted."""
    base = Path(root).expanduser()
    found = base.rglob("*.parquet") if base.is_dir() else map(Path, glob.glob(str(base), recursive=True))
    paths = sorted(path for path in found if path.is_file())
    while glob.has_magic(str(base)) and not base.is_dir():
        base = base.parent
    base = base.parent if base.is_file() else base
    return base, [path for path in paths if not any(map(is_hidden, path.relative_to(base).parts))]


def _split(shard: Path) -> str | None:
    """The split of a shard, by its name or that of the nearest folder.

    Raises:
        ValueError: a name has words of several splits.
    """
    for name in (shard.stem, *reversed(shard.parts[:-1])):
        words = split_words(name)
        if len(words) > 1:
            raise ValueError(
                f"{shard} can be read as one of {' and '.join(sorted(words))}: name the files of both splits with "
                "dataset.train_split=PATTERN and dataset.test_split=PATTERN"
            )
        if words:
            return words.pop()
    return None


def _require_whole(paths: Sequence[Path]) -> None:
    """Refuses sets of numbered shards of which one is missing, and several such sets of one name."""
    totals: dict[str, dict[tuple[Path, int], set[int]]] = {}
    for path in paths:
        if match := re.fullmatch(r"(.*?)-(\d+)-of-(\d+)(-\w+)?", path.stem):
            of_name = totals.setdefault(match[1], {})
            of_name.setdefault((path.parent, int(match[3])), set()).add(int(match[2]))
    for name, sets in totals.items():
        if len(sets) > 1:
            places = " and ".join(f"{folder / name}-*-of-{total:05d}" for folder, total in sets)
            raise ValueError(f"{places} are different sets of shards: dataset.root=FOLDER or a pattern chooses one")
        (((folder, total), numbers),) = sets.items()
        if missing := sorted(set(range(total)) - numbers):
            raise ValueError(
                f"{folder / name}-{missing[0]:05d}-of-{total:05d}.parquet is missing, one of {len(missing)}: "
                "fetch the whole set, or dataset.train_split=PATTERN takes the files that there are"
            )


def _images(table: Table, column: str) -> Iterator[Encoded]:
    values = chain.from_iterable(array.to_pylist() for array in table.column(column))
    for row, value in enumerate(values):
        content = value["bytes"] if isinstance(value, dict) else value
        path = value.get("path") if isinstance(value, dict) and content is None else None
        # The hub's library keeps images that are files of a data set by their paths in its cache.
        yield Encoded(f"row {row} of {table.name}", Path(path) if path and os.path.isabs(path) else content)
