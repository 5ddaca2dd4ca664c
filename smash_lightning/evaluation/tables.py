"""The tables of a run folder: CSV files with a row per record, as pandas frames.

A table may have more columns than its kind names; they are kept, after the known ones. Empty cells are NaN in columns
of numbers, 0 in groups and "" in columns of text.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smash_lightning.files import atomic_write
from smash_lightning.run_folder import PER_HYPERNET, RunFolder

GROUPS = ("shortlist", "stratified", "random", "preset")  # reasons for a standalone training, columns of 0 and 1
OLD_COLUMNS = {"key", "origin", "arm", "rival", "val_loss_by_hypernet"}


@dataclass(frozen=True, slots=True)
class Cell:
    """The type of a column's cells: a parser of texts, its name in errors, the value of an empty cell, and a dtype."""

    parse: Callable[[str], Any]
    name: str
    empty: Any
    dtype: type


TEXT = Cell(str, "a text", "", str)
NUMBER = Cell(lambda text: float(text or "nan"), "a number", math.nan, np.float64)
WHOLE = Cell(int, "a whole number", math.nan, np.int64)
FLAG = Cell({"": 0, "0": 0, "1": 1}.__getitem__, "0 or 1", 0, np.int64)


class TableKind:
    """The known columns of a table in their order.

    Columns `val_loss_0`, `val_loss_1`, ... of single HyperNets are known too, and follow `val_loss`.

    Args:
        required: columns that a file must have; the others are empty where they are missing.
        columns: all of them, with the type of their cells.
    """

    def __init__(self, required: str, **columns: Cell) -> None:
        self.columns, self.required = columns, frozenset(required.split())

    def cell(self, column: str) -> Cell | None:
        """Type of a column's cells; None where the column is unknown."""
        return NUMBER if PER_HYPERNET.fullmatch(column) else self.columns.get(column)

    def ordered(self, columns: Iterable[str]) -> list[str]:
        """Known columns in their order, then the unknown ones of `columns`."""
        given = list(columns)
        known = list(self.columns)
        if "val_loss" in known:
            place = known.index("val_loss") + 1
            known[place:place] = hypernet_columns(given)
        return known + [column for column in given if column not in known]


RANKING = TableKind(
    "fingerprint strategy smash_score val_error val_loss params macs ops",
    **dict.fromkeys(("fingerprint", "strategy", "parent"), TEXT),
    **dict.fromkeys(("smash_score", "val_error", "val_loss", "ensemble_error"), NUMBER),
    **dict.fromkeys(("images", "params", "macs", "ops"), WHOLE),
    seconds=NUMBER,
)
"""`ranking.csv`: a row per architecture that was scored with generated weights, best first.

fingerprint: of the architecture, whose JSON is in architectures.jsonl.
strategy: random, perturb, markov, ...
parent: fingerprint of the architecture that the strategy changed; empty for a random one.
smash_score: what ranks, lower is better; by default the rank by loss plus a rank by size.
val_error, val_loss: validation error (%) and cross-entropy (nats), means over the HyperNets.
val_loss_0, val_loss_1, ...: validation cross-entropy with each HyperNet, nats.
ensemble_error: validation error (%) of the mean prediction of all architectures scored so far.
images: validation images that were scored.
params, macs, ops: parameters, multiply-accumulates of one image, and number of ops of the standalone network.
seconds: elapsed time of scoring with all HyperNets.
"""

RETRAINED = TableKind(
    "fingerprint seed true_error true_loss",
    **{"fingerprint": TEXT, "seed": WHOLE},
    **dict.fromkeys(GROUPS, FLAG),
    **dict.fromkeys(("true_error", "true_error_top5", "true_loss"), NUMBER),
    **{"epochs": WHOLE, "seconds": NUMBER, "failure": TEXT},
)
"""`retrained.csv`: a row per standalone training.

seed: of initialization and data order.
shortlist, stratified, random, preset: 1 where the architecture is in the group.
true_error, true_error_top5, true_loss: test error (%), top-5 test error (%, empty for fewer than six classes) and test
    cross-entropy (nats); empty where the training failed.
failure: why it failed; empty otherwise.
"""

BASELINES = TableKind(
    "fingerprint baseline prediction",
    **dict.fromkeys(("fingerprint", "baseline"), TEXT),
    **dict.fromkeys(("prediction", "seconds", "training_seconds"), NUMBER),
)
"""`baselines.csv`: a row per architecture and baseline.

prediction: lower predicts a lower test loss; may be infinite; empty where there is none.
seconds, training_seconds: elapsed time of this prediction, and of what was trained once for all architectures.
"""

SETTLING = TableKind(
    "hypernet epoch fingerprint val_loss", hypernet=WHOLE, epoch=WHOLE, fingerprint=TEXT, val_loss=NUMBER
)
"""`settling.csv`: validation loss (nats) of the held-out architectures by HyperNet and epoch of the search."""

HISTORY = TableKind("fingerprint seed step epoch_loss", fingerprint=TEXT, seed=WHOLE, step=WHOLE, epoch_loss=NUMBER)
"""`training_history.csv`: training loss (nats) of each epoch of each standalone training."""

TABLES = {"ranking": RANKING, "retrained": RETRAINED, "baselines": BASELINES, "settling": SETTLING}


def read_table(path: Path, kind: TableKind) -> pd.DataFrame:
    """Reads a table. A last line that was cut off by an interruption is dropped.

    Raises:
        ValueError: the file is missing, is of an earlier version, lacks a column, or holds a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    header, *rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))) or [[]]
    if OLD_COLUMNS & set(header) or path.with_name("rivals.csv").exists():
        raise ValueError(f"{path} was written by an earlier version, whose tables cannot be read: repeat the run")
    if missing := [column for column in kind.columns if column in kind.required and column not in header]:
        raise ValueError(f"{path}: column {', '.join(missing)} is missing")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path}, line {line}: {len(row)} values for {len(header)} columns")
    cells = {column: [row[place] for row in rows] for place, column in enumerate(header)}
    return _frame(kind, {column: _parsed(path, kind, column, texts) for column, texts in cells.items()}, len(rows))


def read_if_exists(path: Path, kind: TableKind) -> pd.DataFrame:
    """A table, or one without rows where the file is missing; raises as `read_table`."""
    return read_table(path, kind) if path.exists() else _frame(kind, {}, 0)


def read_ranking(folder: RunFolder) -> pd.DataFrame:
    """The table `ranking.csv` of a run, best first; raises ValueError where there is none, or as `read_table`."""
    if not folder.ranking.exists():
        raise ValueError(f"there is no ranking in {folder.path}: name a run that has one with checkpoint=FOLDER")
    return read_table(folder.ranking, RANKING).sort_values("smash_score", kind="stable", ignore_index=True)


def read_retrained(folder: RunFolder) -> pd.DataFrame:
    """The table `retrained.csv` of a run; raises ValueError where there is none, or as `read_table`."""
    if not folder.retrained.exists():
        raise ValueError(f"nothing was retrained in {folder.path}: name a run with trainings with checkpoint=FOLDER")
    return read_table(folder.retrained, RETRAINED)


def write_table(
    path: Path, kind: TableKind, rows: pd.DataFrame | Sequence[Mapping[str, Any]], extra: Iterable[str] = ()
) -> pd.DataFrame:
    """Replaces a whole table at once, so that the file is never half written; returns what was written.

    Columns that `rows` lack are empty; `extra` are further columns of numbers, for a table that is still without rows.
    """
    given = pd.DataFrame(rows)
    columns = {str(column): given[column].tolist() for column in given}
    frame = _frame(kind, {name: [math.nan] * len(given) for name in extra} | columns, len(given))
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(frame.columns)
        writer.writerows(map(_text, row) for row in frame.itertuples(index=False))
    return frame


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Adds one row to a table that `write_table` wrote; columns of the file that `row` lacks stay empty.

    Raises:
        ValueError: the file lacks a column of `row`.
    """
    with path.open("r+", encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
        if unknown := row.keys() - set(header):
            raise ValueError(f"{path} has no column {', '.join(sorted(unknown))}")
        file.seek(0, io.SEEK_END)
        csv.writer(file, lineterminator="\n").writerow(_text(row.get(column, "")) for column in header)


def hypernet_columns(columns: Iterable[str]) -> list[str]:
    """Those of `columns` with the validation loss of a single HyperNet, in the order of the HyperNets."""
    return sorted(filter(PER_HYPERNET.fullmatch, columns), key=lambda name: int(name.removeprefix("val_loss_")))


def _parsed(path: Path, kind: TableKind, column: str, texts: Sequence[str]) -> list[Any]:
    cell = kind.cell(column)
    if cell is None:
        return _guessed(texts)
    values = []
    for line, text in enumerate(texts, start=2):
        try:
            optional = not text and column not in kind.required
            values.append(cell.empty if optional else cell.parse(text))
        except (KeyError, ValueError):
            raise ValueError(f"{path}, line {line}, column {column}: {text!r} is not {cell.name}") from None
    return values


def _guessed(texts: Sequence[str]) -> list[Any]:
    """Cells of an unknown column: whole numbers or numbers where all of them are, else texts."""
    for cell in (WHOLE, NUMBER):
        try:
            return [cell.parse(text) for text in texts]
        except ValueError:
            pass
    return list(texts)


def _frame(kind: TableKind, columns: Mapping[str, list[Any]], rows: int) -> pd.DataFrame:
    """All columns in their order; those that are missing are empty."""
    filled = {}
    for name in kind.ordered(columns):
        cell = kind.cell(name)
        if cell is None:
            filled[name] = pd.Series(columns[name])
            continue
        values = columns.get(name, [cell.empty] * rows)
        incomplete = cell is WHOLE and any(value != value for value in values)  # NaN is no whole number
        filled[name] = pd.Series(values, dtype=np.float64 if incomplete else cell.dtype)
    return pd.DataFrame(filled)


def _text(value: Any) -> Any:
    """A value for the csv module: every digit of a float, nothing for NaN."""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else repr(float(value))
    return value
