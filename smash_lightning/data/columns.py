"""Which columns of a table hold images and labels, and which number is the label of each row?

The Hugging Face hub's schema: an image is a struct of its file's bytes and its path; a label is a number, whose name
the schema's metadata holds as JSON under `huggingface` (`ClassLabel` of the library `datasets`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from smash_lightning.data.layout import split_words
from smash_lightning.data.source import listed

Label = int | str | None


@dataclass(frozen=True)
class Table:
    """One shard or split: its name in messages, its schema, and a column's values batch by batch."""

    name: str
    schema: pa.Schema
    column: Callable[[str], Iterator[pa.Array]]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read, whether labels are text (or else integers), and class names where the schema has them.

    Args:
        image: name of the column.
        label: name of the column.
        text: whether labels are text.
        names: of the classes.
    """

    image: str
    label: str
    text: bool
    names: tuple[str, ...] | None


def find_columns(table: Table, image: str | None, label: str | None) -> Columns:
    """The columns with these names, or else those that follow from their types.

    Raises:
        ValueError: there is no such column, or several fit.
    """
    schema = table.schema
    images, integers, texts, others = (
        [field.name for field in schema if fits(field.type) and not re.fullmatch(r"__index_level_\d+__", field.name)]
        for fits in (_holds_images, pa.types.is_integer, _is_text, _is_boolean_or_float)
    )
    named = [name for name in integers if _schema_names(schema, name)]
    image = _column(table, "image", image, images, images)
    label = _column(table, "label", label, integers + texts + others, named or integers + texts or others)
    return Columns(image, label, label in texts, None if label in texts else _schema_names(schema, label))


def read_labels(table: Table, columns: Columns) -> list[Label]:
    """The labels of a table as integers or text; None where one is missing.

    Raises:
        ValueError: the table's columns are of other types, or it has other class names; or a label is a fraction.
    """
    if find_columns(table, columns.image, columns.label) != columns:
        raise ValueError(
            f"{table.name} has labels of another type, or other class names, than the first: keep one kind"
        )
    values = chain.from_iterable(array.to_pylist() for array in table.column(columns.label))
    return [_label(table, row, value) for row, value in enumerate(values)]


def has_labels(labels: Iterable[Label]) -> bool:
    """Whether there is a label other than the hub's -1, which marks an image without one."""
    return any(label not in (None, -1) for label in labels)


def find_classes(table: Table, columns: Columns, labels: Sequence[Label]) -> tuple[str, ...]:
    """Names of the classes: those of the schema, or else all labels of the training images.

    Raises:
        ValueError: there are too many for labels, fewer than two, or they are names of splits.
    """
    classes = columns.names
    if classes is None and pa.types.is_boolean(table.schema.field(columns.label).type):
        classes = ("false", "true")
    elif classes is None:
        texts = sorted({label for label in labels if isinstance(label, str)})
        count = len(texts) or max((label for label in labels if isinstance(label, int)), default=0) + 1
        if count > len(labels) / 2:
            raise ValueError(
                f"column {columns.label} of {table.name} makes {count} classes of {len(labels)} images: "
                "dataset.source.label=NAME names that of labels"
            )
        classes = tuple(texts or map(str, range(count)))
    if not labels or len(classes) < 2:
        raise ValueError(f"{table.name} and its like hold {len(labels)} images in {len(classes)} classes: too few")
    if all(split_words(name) for name in classes) and "train" in set.union(*map(split_words, classes)):
        raise ValueError(f"the classes {listed(classes)} are names of splits: dataset=folder reads images in folders")
    return classes


def numbered(table: Table, labels: Sequence[Label], numbers: Mapping[Label, int]) -> Iterator[int]:
    """The number of each label's class.

    Raises:
        ValueError: a label is missing, or is none of the classes.
    """
    for row, label in enumerate(labels):
        if label is None or label not in numbers:
            what = "no label" if label is None else f"label {label}, which is none of the {len(numbers)} classes"
            raise ValueError(f"row {row} of {table.name} has {what}: leave it out, or choose dataset.source.label=NAME")
        yield numbers[label]


def _column(table: Table, option: str, name: str | None, fitting: Sequence[str], likely: Sequence[str]) -> str:
    choose, names = f"dataset.source.{option}=NAME", ", ".join(table.schema.names)
    if name is not None:
        if name not in table.schema.names:
            raise ValueError(f"{table.name} has no column {name}, only {names}: {choose} names one")
        if name not in fitting:
            kind = table.schema.field(name).type
            raise ValueError(f"column {name} of {table.name} is {kind}: {choose} names that of {option}s")
        return name
    if not likely:
        kinds = {"image": "bytes, or a struct with bytes", "label": "integers, text, or true and false"}[option]
        raise ValueError(f"{table.name} has no column of {option}s ({kinds}), only {names}")
    if len(likely) > 1:
        fields = ", ".join(likely)
        raise ValueError(f"{table.name} has several columns that may hold {option}s, {fields}: {choose} names one")
    return likely[0]


def _schema_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
        return tuple(str(name) for name in names) or None
    except (KeyError, TypeError, ValueError):  # most metadata of a column does not concern classes
        return None


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_images(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_boolean_or_float(kind: pa.DataType) -> bool:
    return pa.types.is_boolean(kind) or pa.types.is_floating(kind)


def _label(table: Table, row: int, value: Any) -> Label:
    if not isinstance(value, float):
        return int(value) if isinstance(value, bool) else value
    if math.isnan(value):  # pandas' mark of a missing number
        return None
    if not value.is_integer():
        raise ValueError(f"row {row} of {table.name} has the label {value}: labels are whole numbers or text")
    return int(value)
