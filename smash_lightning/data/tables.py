"""Encoded images and labels in tables: Parquet files, and data sets of the Hugging Face hub."""

import os
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from smash_lightning.data.encoded import Encoded, EncodedImages, Examples, split_words, walk
from smash_lightning.data.source import listed

if TYPE_CHECKING:
    from datasets import Features

NAME_THEM = "name the files of both splits with dataset.train_split=PATTERN and dataset.test_split=PATTERN"


@dataclass(frozen=True, kw_only=True)
class Tables(EncodedImages):
    """Reads images and labels from columns of tables.

    Args:
        image: column of the images; None takes the only one of bytes, or of structs with bytes.
        label: column of the labels; None takes the only one with class names, or else of integers or text, or else of
            true and false or whole numbers with a decimal point. Columns of an index are never labels. Without class
            names, integers from 0 are their own names, and so are texts, sorted.
    """

    image: str | None = None
    label: str | None = None

    @abstractmethod
    def _tables(self) -> tuple[Mapping[str, pads.Dataset], "Features", list[str]]:
        """The tables of the splits train, test and validation, as far as they exist; their columns; and notes."""

    def _columns(self, features: "Features") -> tuple[str, str]:
        kinds: dict[str, list[str]] = {}
        for name, feature in features.items():
            if not re.fullmatch(r"__index_level_\d+__", name):
                kinds.setdefault(_kind(feature), []).append(name)
        labels = kinds.get("names") or kinds.get("integers or text") or kinds.get("other") or []
        found = []
        for option, chosen, fitting in (("image", self.image, kinds.get("image", [])), ("label", self.label, labels)):
            one, names = f"dataset.source.{option}=NAME names one", ", ".join(features)
            if chosen is not None and chosen not in features:
                raise ValueError(f"there is no column {chosen}, only {names}: {one}")
            if chosen is None and not fitting:
                raise ValueError(f"there is no column of {option}s, only {names}: {one}")
            if chosen is None and len(fitting) > 1:
                raise ValueError(f"there are several columns that may hold {option}s, {', '.join(fitting)}: {one}")
            found.append(chosen or fitting[0])
        return found[0], found[1]

    def _examples(self) -> tuple[Mapping[str, Examples], Sequence[str], list[str]]:
        tables, features, notes = self._tables()
        image, label = self._columns(features)
        examples = {
            split: Examples(_labels(table, label), _images(split, table, image)) for split, table in tables.items()
        }
        labels = examples["train"].labels
        names = getattr(features[label], "names", None) or _class_names(labels, label)
        if len(names) < 2 or not labels:
            raise ValueError(f"the train split holds {len(labels)} images in {len(names)} classes: too few")
        if all(split_words(name) for name in names) and "train" in set.union(*map(split_words, names)):
            raise ValueError(f"the classes {listed(names)} are names of splits: dataset=folder reads images in folders")
        return examples, names, notes


@dataclass(frozen=True)
class Parquet(Tables):
    """Images and labels in shards, of which each belongs to one split.

    The split is a word of a shard's name, as in train-00000-of-00004.parquet and mnist_train.parquet, or else of the
    nearest folder: train, test, or validation (valid, val), which is the test set only where there is no labelled test
    shard. Where there is neither, the test set is drawn from train. `train_split` and `test_split` are patterns of file
    names. `root` is the folder of the shards, or a single one.
    """

    root: str

    def files(self) -> Sequence[Path]:
        """The shards of train, and those of the other splits, each sorted; refused if one is missing or ambiguous."""
        return [*chain.from_iterable(self._shards()[0].values())]

    def _tables(self) -> tuple[Mapping[str, pads.Dataset], "Features", list[str]]:
        from datasets import Features  # here, as its import takes a second

        shards, notes = self._shards()
        first: Features = {}
        for path in chain.from_iterable(shards.values()):
            try:
                features = Features.from_arrow_schema(pq.read_schema(path))
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{path} is truncated or corrupt ({error}): fetch it again") from error
            first = first or features
            for name in self._columns(first):
                if features.get(name) != first[name]:
                    kinds = f"{features.get(name)} as {name}, and other files {first[name]}"
                    raise ValueError(f"{path} has {kinds}: keep one kind")
        return {split: pads.dataset(list(map(str, paths))) for split, paths in shards.items()}, first, notes

    def _shards(self) -> tuple[dict[str, list[Path]], list[str]]:
        base = Path(self.root).expanduser()
        paths = [base]
        if base.is_dir():
            paths = sorted(path for path in walk(base) if path.suffix.lower() == ".parquet" and path.is_file())
        base = base if base.is_dir() else base.parent
        named = self._named_splits()
        if not paths or not paths[0].exists():
            raise FileNotFoundError(
                f"there is no Parquet file in {self.root}: dataset.root=PATH names their folder, or a single file"
            )
        splits: dict[str | None, list[Path]] = {}
        for split, pattern in named.items():
            splits[split] = [path for path in paths if path.relative_to(base).match(pattern)]
            if not splits[split]:
                raise ValueError(f"dataset.{split}_split={pattern} matches no Parquet file in {self.root}")
        if not named:
            _require_whole(paths)
            for path in paths:
                splits.setdefault(_split(path.relative_to(base)), []).append(path)
        unnamed = splits.pop(None, [])
        if not splits:
            return {"train": unnamed}, []
        if "train" not in splits:
            raise ValueError(f"{self.root} has {paths[0].name}, but no file of a training split: {NAME_THEM}")
        names = listed([path.relative_to(base).as_posix() for path in unnamed])
        notes = [f"Shards of no split are left out: {names}."] if unnamed else []
        return {split: splits[split] for split in ("train", "test", "validation") if split in splits}, notes


@dataclass(frozen=True)
class Hub(Tables):
    """A data set of the Hugging Face hub, with its splits and class names, from its cache where there is no network."""

    path: str
    config: str | None = None

    def files(self) -> Sequence[Path]:
        """The Arrow files in the cache of the library `datasets`, which are written at first use."""
        return [Path(file["filename"]) for split in self._splits()[0].values() for file in split.cache_files]

    def _tables(self) -> tuple[Mapping[str, pads.Dataset], "Features", list[str]]:
        splits, notes = self._splits()
        tables = {word: pads.dataset(split.with_format("arrow")[:]) for word, split in splits.items()}
        return tables, splits["train"].features, notes

    def _splits(self) -> tuple[dict[str, Any], list[str]]:
        from datasets import load_dataset  # here, as its import takes a second

        if Path(self.path).expanduser().exists():
            raise ValueError(f"dataset.path={self.path} is a file or folder: choose dataset=folder or dataset=parquet")
        names = self._named_splits()
        try:
            found = load_dataset(self.path, self.config)
        except RuntimeError as error:  # it runs code of its own
            raise ValueError(f"dataset.path={self.path}: {error}") from error
        if not names:
            for name in sorted(found, key=len):  # "train" before "train_extra"
                if len(words := split_words(name)) == 1:
                    names.setdefault(words.pop(), name)
        missing = [name for name in names.values() if name not in found]
        if missing or "train" not in names:
            what = f"no split {missing[0]}, only" if missing else "the splits"
            raise ValueError(f"{self.path} has {what} {', '.join(found)}: dataset.train_split=NAME names one")
        others = [name for name in found if name not in names.values()]
        notes = [f"Splits that are not used: {listed(others)}."] if others else []
        return {word: found[names[word]] for word in ("train", "test", "validation") if word in names}, notes


def _split(shard: Path) -> str | None:
    for name in (shard.stem, *reversed(shard.parts[:-1])):
        words = split_words(name)
        if len(words) > 1:
            raise ValueError(f"{shard} can be read as one of {' and '.join(sorted(words))}: {NAME_THEM}")
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
            raise ValueError(f"{places} are different sets of shards: dataset.root=FOLDER chooses one")
        (((folder, total), numbers),) = sets.items()
        if missing := sorted(set(range(total)) - numbers):
            raise ValueError(
                f"{folder / name}-{missing[0]:05d}-of-{total:05d}.parquet is missing, one of {len(missing)}: "
                "fetch the whole set, or dataset.train_split=PATTERN takes the files that there are"
            )


def _kind(feature: Any) -> str:
    kind = str(getattr(feature, "dtype", ""))
    if "binary" in kind or type(feature).__name__ == "Image" or (isinstance(feature, dict) and "bytes" in feature):
        return "image"
    if hasattr(feature, "names"):
        return "names"
    if "int" in kind or "string" in kind:
        return "integers or text"
    return "other" if kind == "bool" or "float" in kind else "none"


def _labels(table: pads.Dataset, column: str) -> list[int | str | None]:
    """Labels as integers or text; None where one is missing."""
    values = table.to_table(columns=[column]).column(0)
    if pa.types.is_boolean(values.type):
        return [None if value is None else str(value).lower() for value in values.to_pylist()]
    if pa.types.is_floating(values.type):  # as pandas writes integers where one is missing
        try:
            values = values.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise ValueError(f"column {column}: {error}, but labels are whole numbers or text") from error
    return values.to_pylist()


def _class_names(labels: Sequence[int | str | None], column: str) -> list[str]:
    """All labels of the training images that are text, sorted, or else the numbers up to the largest."""
    texts = sorted({label for label in labels if isinstance(label, str)})
    count = len(texts) or max((label for label in labels if isinstance(label, int)), default=0) + 1
    if count > len(labels) / 2:
        raise ValueError(
            f"column {column} makes {count} classes of {len(labels)} images: dataset.source.label=NAME names another"
        )
    return texts or list(map(str, range(count)))


def _images(split: str, table: pads.Dataset, column: str) -> Iterator[Encoded]:
    # Little is read ahead: a row group of large images may be large.
    batches = table.to_batches(columns=[column], batch_size=256, batch_readahead=1, fragment_readahead=1)
    for row, value in enumerate(chain.from_iterable(batch.column(0).to_pylist() for batch in batches)):
        content = value["bytes"] if isinstance(value, dict) else value
        path = value.get("path") if isinstance(value, dict) and content is None else None
        # The hub's library keeps images that are files of a data set by their paths in its cache.
        yield Encoded(f"row {row} of the {split} split", Path(path) if path and os.path.isabs(path) else content)
