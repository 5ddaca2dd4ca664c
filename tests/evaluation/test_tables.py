from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from smash_lightning.evaluation.tables import Predicted, Retrained, append_record, read_records, write_records

ROWS = [
    Retrained(f"r{place}", place, "shortlist+stratified", 1.5 * place, 0.1 * place, 2, 0.25, "") for place in range(3)
]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "retrained.csv"
    for rows in (ROWS, [], ROWS[:1]):
        write_records(path, rows, Retrained)
        assert read_records(path, Retrained) == rows
    assert list(tmp_path.iterdir()) == [path]


def test_rivals_may_be_infinite_or_missing(tmp_path: Path) -> None:
    rows = [Predicted("a", "synflow", value, 0.5, 0.0) for value in (math.inf, -1.5, math.nan)]
    write_records(tmp_path / "baselines.csv", rows[:1], Predicted)
    for row in rows[1:]:
        append_record(tmp_path / "baselines.csv", row)
    again = read_records(tmp_path / "baselines.csv", Predicted)
    assert again[:2] == rows[:2]
    assert math.isnan(again[2].value)
    header = (tmp_path / "baselines.csv").read_text().splitlines()[0]
    assert header == "fingerprint,baseline,value,seconds,training_seconds"


def test_a_table_stands_as_it_was_when_a_row_cannot_be_made(tmp_path: Path) -> None:
    def broken() -> Iterator[Retrained]:
        yield ROWS[2]
        raise ValueError("no further row")

    path = tmp_path / "retrained.csv"
    write_records(path, ROWS[:2], Retrained)
    with pytest.raises(ValueError, match="no further row"):
        write_records(path, broken(), Retrained)
    assert read_records(path, Retrained) == ROWS[:2]
    assert list(tmp_path.iterdir()) == [path]
