"""The tables that a study reads: what was scored, what was trained, what baselines say. Plain CSV, one row per record."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from smash_lightning.files import atomic_write

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Scored:
    """A row of `ranking.csv`: one architecture with generated weights.

    Args:
        fingerprint: names the architecture; its JSON stands in `architectures.jsonl`.
        origin: how it was proposed: random, perturb, markov, ...
        parent: fingerprint of the architecture that it was made from; empty for a random one.
        smash_score: what ranks, lower is better; the validation loss unless the options of the ranking say otherwise.
        val_error: validation error, %, mean over the HyperNets.
        val_loss: validation cross-entropy, nats, mean over the HyperNets.
        ensemble_error: validation error, %, of the mean prediction of all architectures scored so far.
        images: validation images that were scored.
        params: trainable parameters of the ordinary network.
        macs: multiply-accumulates of one image.
        ops: number of ops.
        val_loss_by_hypernet: validation loss with each HyperNet, joined by ";".
        seconds: wall-clock time of scoring it, with all HyperNets.
    """

    fingerprint: str
    strategy: str
    parent: str
    smash_score: float
    val_error: float
    val_loss: float
    ensemble_error: float
    images: int
    params: int
    macs: int
    ops: int
    val_loss_by_hypernet: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Retrained:
    """A row of `retrained.csv`: one ordinary training.

    Args:
        fingerprint: the architecture.
        seed: seed of initialisation and data order.
        arm: why it was trained: top, spread, random; joined by "+" where several hold.
        true_error: test error, %; NaN where the training failed.
        true_loss: test cross-entropy, nats; NaN where the training failed.
        epochs: epochs trained.
        seconds: wall-clock time.
        failure: why it failed; empty otherwise.
    """

    fingerprint: str
    seed: int
    arm: str
    true_error: float
    true_loss: float
    epochs: int
    seconds: float
    failure: str


@dataclass(frozen=True, slots=True)
class Predicted:
    """A row of `baselines.csv`: what one baseline of the score says of one architecture.

    Args:
        fingerprint: the architecture.
        baseline: the baseline's name, such as synflow; names are free, but those of the ranking's columns are taken.
        value: lower predicts a lower true loss; may be infinite, NaN counts as none.
        seconds: wall-clock time of this value.
        training_seconds: what was trained once for all architectures before; 0 for most baselines.
    """

    fingerprint: str
    baseline: str
    value: float
    seconds: float
    training_seconds: float


Record = TypeVar("Record", Scored, Retrained, Predicted)
Row = TypeVar("Row", bound="DataclassInstance")


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Reads a table. A last line that was cut off by an interruption is left out.

    Raises:
        ValueError: the file is missing, has other columns, or a value that is not of the column's type.
    """
    types = {"str": str, "int": int, "float": float}
    columns = {field.name: types[str(field.type)] for field in fields(kind)}
    try:
        text = path.read_text()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if not rows or rows[0] != list(columns):
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}")
    records = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns):
            raise ValueError(f"{path}, line {number}: {len(row)} values for {len(columns)} columns")
        try:
            records.append(kind(*(convert(value) for convert, value in zip(columns.values(), row, strict=True))))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return records


def write_records(path: Path, records: Iterable[Row], kind: type[Row]) -> None:
    """Writes a whole table at once: either the old file stands or the new one, never half of it."""
    with atomic_write(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(kind)])
        writer.writerows(asdict(record).values() for record in records)


def append_record(path: Path, record: Scored | Retrained | Predicted) -> None:
    """Adds one row to a table that `write_records` began."""
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(asdict(record).values())
