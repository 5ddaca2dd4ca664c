"""Results of a run without the times in them."""

import csv
import json
from pathlib import Path
from typing import Any


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a table by column, without seconds."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{column: value for column, value in row.items() if not column.endswith("seconds")} for row in rows]


def figures(path: Path) -> Any:
    """A JSON file without seconds, at any depth."""
    return _without_seconds(json.loads(path.read_text()))


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_seconds(inner) for key, inner in value.items() if not key.endswith("seconds")}
    return [_without_seconds(inner) for inner in value] if isinstance(value, list) else value
