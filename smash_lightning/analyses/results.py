"""What does an investigation leave behind? A table, its figures, a picture, and words."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from smash_lightning.evaluation.bootstrap import Estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.tables import write_records
from smash_lightning.report.figure_style import Interval
from smash_lightning.report.intervals import decimals_for
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LINE = 110  # characters


def save_results(
    experiment: Experiment,
    tracker: Tracker,
    name: str,
    rows: Sequence[DataclassInstance],
    figures: DataclassInstance,
    picture: Figure,
    words: str,
) -> None:
    """Writes NAME.csv, NAME.json and NAME.png into the run folder, hands them to the tracker, and prints `words`.

    Args:
        experiment: its folder is written to.
        tracker: gets table, figures, picture and files.
        name: of the investigation.
        rows: measurements, one row each, all of one kind; at least one.
        figures: what they say, with intervals.
        picture: the same drawn.
        words: the same in a few lines.
    """
    folder, kind = experiment.folder.path, type(rows[0])
    table, told, drawn = (folder / f"{name}.{suffix}" for suffix in ("csv", "json", "png"))
    write_records(table, rows, kind)
    plain = asdict(figures)
    told.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n")
    picture.savefig(drawn)
    tracker.table(name, [field.name for field in fields(kind)], [list(asdict(row).values()) for row in rows])
    tracker.image(f"{name}_png", drawn)
    tracker.summary(numbers(plain, name))
    tracker.artifact(name, "investigation", [table, told])
    print(words)


def numbers(value: Any, name: str) -> dict[str, float]:
    """Every number in plain values by its path; an estimate goes by its own, and its ends by that and low or high."""
    if isinstance(value, Mapping):
        if value.keys() == {field.name for field in fields(Estimate)}:
            return {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        parts = [numbers(inner, f"{name}/{key}") for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        parts = [numbers(inner, f"{name}/{place}") for place, inner in enumerate(value)]
    else:
        known = isinstance(value, int | float) and math.isfinite(value)
        return {name: float(value)} if known else {}
    return {path: number for part in parts for path, number in part.items()}


def interval(estimate: Estimate | None) -> Interval | None:
    """An estimate as pictures take it."""
    return None if estimate is None else (estimate.value, estimate.low, estimate.high)


def mean(column: Floats, weights: Floats) -> Floats:
    """The mean of a column (n,) in each resample, (r,), as in `study.coefficients`."""
    return weights @ column / weights.sum(-1)


def digits(*estimates: Estimate | None) -> int:
    """Decimals that show these figures and the width of their intervals."""
    return decimals_for([found for estimate in estimates if (found := interval(estimate)) is not None])


def wrapped(sentence: str) -> list[str]:
    """A sentence as lines of a terminal."""
    return textwrap.wrap(sentence, LINE)


def which(estimate: Estimate | None, *, above: str, below: str, around: str) -> str:
    """The words that fit, by where an interval lies relative to zero."""
    if estimate is None:
        return around
    return above if estimate.low > 0 else below if estimate.high < 0 else around


def counted(number: int, thing: str) -> str:
    """A number of things, as in '3 HyperNets'."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
