"""The tables of a run folder: CSV files with a row per record, as pandas frames.

A table may have more columns than its kind names; they are kept, after the known ones. Empty cells are NaN in columns
of numbers, 0 in groups and "" in columns of text.
"""

import csv
import io
import math
import reprlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smash_lightning.files import atomic_write, named, read_text
from smash_lightning.run_folder import PER_HYPERNET, RunFolder

GROUPS = ("shortlist", "stratified", "random", "preset")  # reasons for a standalone training, columns of 0 and 1
GREEDY = "greedy"  # likewise, a column of runs with several rounds alone
PERCENT = ("true_error", "true_error_top5", "val_error", "ensemble_error")
FINITE = ("true_loss", "seconds", "training_seconds", "predicted_sd")  # of at least 0
NOT_NEGATIVE = ("val_loss", "epoch_loss")  # infinite where a HyperNet or a training diverged
# By the type of a column's cells, of which bool is 0 and 1: the name in errors, and empty cells that are not NaN.
NAMES = {float: "a number", int: "a whole number", bool: "0 or 1"}
LARGEST = 2**53  # whole number, as larger ones are not exact in a column with empty cells
EMPTY: dict[type | None, Any] = {str: "", bool: 0}


class TableKind:
    """The known columns of a table in their order, with the type of their cells.

    Columns `val_loss_0`, `val_loss_1`, ... of single HyperNets are known too, and follow `val_loss`. A file must have
    the columns of the `key`, in which no two rows may be equal, and the `required` ones; the others are empty where
    they are missing. A column `greedy`, if any, holds 0 and 1.
    """

    def __init__(self, key: str, required: str, **columns: type) -> None:
        self.columns, self.key = columns, key.split()
        self.required = [*self.key, *required.split()]

    def cell(self, column: str) -> type | None:
        """Type of a column's cells; None where the column is unknown."""
        if column == GREEDY:
            return bool
        return float if PER_HYPERNET.fullmatch(column) else self.columns.get(column)

    def ordered(self, columns: Iterable[str]) -> list[str]:
        """Known columns in their order, then the unknown ones of `columns`."""
        given, known = list(columns), list(self.columns)
        if "val_loss" in known:
            position = known.index("val_loss") + 1
            known[position:position] = hypernet_columns(given)
        return list(dict.fromkeys(known + given))


RANKING = TableKind(
    "fingerprint",
    "strategy smash_score val_error val_loss params macs ops",
    **dict.fromkeys(("fingerprint", "strategy", "parent"), str),
    **dict.fromkeys(("smash_score", "val_error", "val_loss", "ensemble_error"), float),
    **dict.fromkeys(("images", "params", "macs", "ops"), int),
    **dict.fromkeys(("seconds", "predicted_loss", "predicted_sd"), float),
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
predicted_loss, predicted_sd: calibrated prediction of the mean test loss, nats, and the std of its error;
    empty until ground truths are known.
"""

RETRAINED = TableKind(
    "fingerprint seed",
    "true_error true_loss",
    **{"fingerprint": str, "seed": int},
    **dict.fromkeys(GROUPS, bool),
    **dict.fromkeys(("true_error", "true_error_top5", "true_loss"), float),
    **{"epochs": int, "seconds": float, "failure": str},
)
"""`retrained.csv`: a row per standalone training.

seed: of initialization and data order.
shortlist, stratified, random, preset: 1 where the architecture is in the group.
true_error, true_error_top5, true_loss: test error (%), top-5 test error (%, empty for fewer than six classes) and test
    cross-entropy (nats); empty where the training failed.
seconds: elapsed time; that of seeds which were trained side by side is divided evenly among them.
failure: why it failed; empty otherwise.
greedy: with `retrain.rounds` above 1, 1 where the calibrated prediction selected the architecture for the shortlist; no
    coefficient is computed over such rows.
"""

BASELINES = TableKind(
    "fingerprint baseline",
    "prediction",
    **dict.fromkeys(("fingerprint", "baseline"), str),
    **dict.fromkeys(("prediction", "seconds", "training_seconds"), float),
)
"""`baselines.csv`: a row per architecture and baseline.

prediction: lower predicts a lower test loss; may be infinite; empty where there is none.
seconds, training_seconds: elapsed time of this prediction, and of what was trained once for all architectures.
"""

GROUND_TRUTHS = TableKind(
    "",
    "pool data space recipe fingerprint representative true_loss val_loss params",
    **dict.fromkeys(("pool", "data", "space", "recipe", "fingerprint"), str),
    representative=bool,
    **dict.fromkeys(("true_loss", "true_error", "smash_score", "val_error", "val_loss"), float),
    **dict.fromkeys(("params", "macs", "ops"), int),
    architecture=str,
)
"""`ground_truths.csv`: a row per architecture that was trained and scored, from which later runs learn.

pool: digest of the ranking: within one pool, all were scored by the same HyperNets.
data, space, recipe: what the images, the candidates and the standalone training were; each ends with a digest.
representative: 1 where it was drawn without regard to its score.
true_loss, true_error: test loss (nats) and error (%), means over the seeds that did not fail.
architecture: as JSON.
Further columns are numbers: true_loss_0, ... with each seed, val_loss_0, ... with each HyperNet, predictions of the
baselines as baseline_NAME, and the counts of `describe`.
"""

SETTLING = TableKind(
    "", "hypernet epoch fingerprint val_loss", hypernet=int, epoch=int, fingerprint=str, val_loss=float
)
"""`settling.csv`: validation loss (nats) of the held-out architectures by HyperNet and epoch of the search."""

HISTORY = TableKind("", "fingerprint seed step epoch_loss", fingerprint=str, seed=int, step=int, epoch_loss=float)
"""`training_history.csv`: training loss (nats) of each epoch of each standalone training."""


def read_table(path: Path, kind: TableKind) -> pd.DataFrame:
    """Reads a table. A last line that was cut off by an interruption is dropped.

    Raises:
        ValueError: the file is missing, lacks a column, as those of an earlier version do, or holds a wrong value.
    """
    text = read_text(path)
    whole = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    try:
        header, *rows = list(csv.reader(io.StringIO(whole, newline=""))) or [[]]
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None
    if missing := [column for column in kind.required if column not in header]:
        raise ValueError(f"{path}: column {', '.join(missing)} is missing; repeat the run of an earlier version")
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: column {reprlib.repr(Counter(header).most_common(1)[0][0])} occurs twice")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path}, line {line}: {len(row)} values for {len(header)} columns")
    texts = pd.DataFrame(rows, columns=header, dtype=str)
    if kind.key and (again := texts.duplicated(kind.key)).any():
        line, of = int(again.argmax()), " ".join(texts.loc[again, kind.key].iloc[0])
        raise ValueError(f"{path}, line {line + 2}: a second row of {reprlib.repr(of)}: remove one of them")
    return _complete(kind, pd.DataFrame({name: _parsed(path, kind, texts[name]) for name in header}))


def read_if_exists(path: Path, kind: TableKind) -> pd.DataFrame:
    """A table, or one without rows where the file is missing; raises as `read_table`."""
    return read_table(path, kind) if path.exists() else _complete(kind, pd.DataFrame())


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
    frame = _complete(kind, given.assign(**{name: math.nan for name in extra if name not in given}))
    with atomic_write(path) as partial:
        frame.to_csv(partial, index=False, lineterminator="\n")
    return frame


def append_rows(path: Path, *rows: Mapping[str, Any]) -> None:
    """Adds rows at once to a table that `write_table` wrote; columns of the file that a row lacks stay empty.

    Raises:
        ValueError: the file lacks a column of a row.
    """
    with named(path), path.open("r+", encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
        if unknown := {name for row in rows for name in row} - set(header):
            raise ValueError(f"{path} has no column {', '.join(sorted(unknown))}")
        file.seek(0, io.SEEK_END)
        file.write(pd.DataFrame(rows, columns=header).to_csv(header=False, index=False, lineterminator="\n"))


def hypernet_columns(columns: Iterable[str]) -> list[str]:
    """Those of `columns` with the validation loss of a single HyperNet, in the order of the HyperNets."""
    return sorted(filter(PER_HYPERNET.fullmatch, columns), key=lambda name: int(name.removeprefix("val_loss_")))


def _parsed(path: Path, kind: TableKind, texts: "pd.Series[str]") -> "pd.Series[Any]":
    """The values of a column; an unknown one has numbers where all of its texts are numbers or empty."""
    cell, column = kind.cell(str(texts.name)), texts.name
    if cell is str:
        return texts
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = numbers.isna() & (texts != "")
    if cell is None:
        return texts if wrong.any() else numbers
    if cell is bool:
        wrong, numbers = ~texts.isin(["", "0", "1"]), numbers.fillna(0)
    if cell is int:
        wrong = (numbers % 1 != 0) & ((texts != "") | (column in kind.required))  # NaN is no whole number
        wrong |= numbers.abs() > LARGEST
    low, high, bounds = _bounds(str(column), cell)
    outside = (numbers < low) | (numbers > high)
    if (wrong | outside).any():
        line = int((wrong | outside).argmax())
        what = NAMES[cell] if wrong[line] else bounds
        raise ValueError(f"{path}, line {line + 2}, column {column}: {reprlib.repr(texts[line])} is not {what}")
    return numbers


def _bounds(column: str, cell: type) -> tuple[float, float, str]:
    """The smallest and the largest number that a known column can hold, and both in words."""
    if column in PERCENT:
        return 0, 100, "from 0 to 100"
    if cell is int or column in FINITE:
        return 0, sys.float_info.max, "finite and at least 0"
    if column in NOT_NEGATIVE or PER_HYPERNET.fullmatch(column):
        return 0, math.inf, "at least 0"
    return -math.inf, math.inf, ""


def _complete(kind: TableKind, given: pd.DataFrame) -> pd.DataFrame:
    filled = {}
    for name in kind.ordered(map(str, given)):
        cell = kind.cell(name)
        column = given[name] if name in given else pd.Series(math.nan, given.index)
        if cell in EMPTY:
            column = column.astype(object).where(column.notna(), EMPTY[cell])
        whole = cell in (int, bool) and not column.isna().any()
        filled[name] = column if cell is None else column.astype(int if whole else str if cell is str else float)
    return pd.DataFrame(filled, given.index).reset_index(drop=True)
