"""Random changes of texts, JSON and tables, and whether what was read is what was written."""

import csv
import io
import json
import math
import random
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import pandas as pd

TEXTS = ["", " ", "x", "null", "true", "nan", "-inf", "é\u2028\u202e\0", "😀", '"', "'", "\\", "\r", "a\nb", "../.."]
TEXTS += ["1_0", "x" * 50_000, "[" * 3_000, "{" * 3_000, "9" * 5_000, "${seed}", "%s{0}", "0x10", "1e3", "1.0", "٣"]
TEXTS += [" 3", "a,b"]
NUMBERS = [0, -1, 1, 2, 3, 7, 64, 0.5, -0.0, 1.0, 1e-300, 1e20, 1e308, math.inf, math.nan, 65_536, 65_537, 2**31]
NUMBERS += [2**53 + 1, 2**64, 10**40, 10**4_000]
VALUES: list[Any] = [None, True, False, [], {}, [[]], {"": 0}, [0] * 20_000, [[1]] * 5_000, {"a": {"b": [1]}}]


def anything(rng: random.Random) -> Any:
    """Any value."""
    return json.loads(json.dumps(rng.choice(rng.choice([TEXTS, NUMBERS, VALUES]))))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a plain value with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def changed(value: Any, rng: random.Random) -> Any:
    """A plain value of which up to three parts are replaced, removed, repeated or copied."""
    whole = [json.loads(json.dumps(value))]
    for _ in range(rng.choice([1, 1, 2, 3])):
        whole = whole or [None]
        (container, key), (other, place) = rng.choices(list(places(whole)), k=2)
        action = rng.choice(["set", "step", "remove", "repeat", "copy", "add"])
        if action == "remove":
            del container[key]
        elif action == "step" and type(container[key]) is int:
            container[key] += rng.choice([-2, -1, 1, 2])
        elif action == "repeat" and isinstance(container, list):
            more = 2_000 if rng.random() < 0.1 and len(json.dumps(container[key])) < 300 else 1
            container[key:key] = [json.loads(json.dumps(container[key])) for _ in range(more)]
        elif action == "copy":
            container[key] = json.loads(json.dumps(other[place]))
        elif action == "add" and isinstance(container, dict):
            container[str(anything(rng))] = anything(rng)
        else:
            container[key] = anything(rng)
    return whole[0] if whole else None


def changed_text(text: str, rng: random.Random) -> str:
    """A text that is cut, or in which a part is removed, repeated, moved or replaced."""
    start, size = rng.randrange(len(text) + 1), rng.choice([1, 1, 5, 1_000])
    part, rest = text[start : start + size], text[start + size :]
    ends = ["", rest, 2 * part + rest, part * 500 + rest, rest + part, str(anything(rng)) + rest]
    return text[:start] + rng.choice(ends)


def changed_json(text: str, rng: random.Random) -> str:
    """A JSON text with a changed value; one of eight is changed as a text."""
    written = json.dumps(changed(json.loads(text), rng), ensure_ascii=rng.random() < 0.5)
    return changed_text(written, rng) if rng.random() < 0.125 else written


def changed_table(text: str, rng: random.Random) -> str:
    """A table with changed cells, rows or columns; one of eight is changed as a text."""
    rows: Any = list(csv.reader(io.StringIO(text)))
    turned = rng.random() < 0.5
    lines = changed(list(zip_longest(*rows)) if turned else rows, rng)
    rows = [each if isinstance(each, list) else [each] for each in (lines if isinstance(lines, list) else [lines])]
    file = io.StringIO()
    written = csv.writer(file, lineterminator=rng.choice(["\n", "\r\n"]))
    written.writerows(zip_longest(*rows, fillvalue="") if turned else rows)
    return changed_text(file.getvalue(), rng) if rng.random() < 0.125 else file.getvalue()


def loaded(text: str) -> Any:
    """The value of a JSON text in which no key occurs twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "a key twice"
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


def is_part(written: Any, read: Any) -> bool:
    """Whether all that was written was read, with its type; `read` may have defaults in addition."""
    if isinstance(written, dict):
        return isinstance(read, dict) and all(key in read and is_part(written[key], read[key]) for key in written)
    if isinstance(written, list):
        return isinstance(read, list) and len(written) == len(read) and all(map(is_part, written, read))
    return type(written) is type(read) and (written == read or (written != written and read != read))


def same_cells(text: str, table: pd.DataFrame, by_score: bool) -> bool:
    """Whether a table has the cells of a text, in order of the score or of the text; empty ones are NaN or 0."""
    header, *rows = csv.reader(io.StringIO(text[: max(text.rfind("\n"), text.rfind("\r")) + 1], newline=""))
    if by_score:
        scores = [float(row[header.index("smash_score")] or "nan") for row in rows]
        rows = [rows[at] for at in sorted(range(len(rows)), key=lambda at: (math.isnan(scores[at]), scores[at]))]

    def same(cell: str, value: Any) -> bool:
        if isinstance(value, str):
            return cell == value
        number = math.nan if cell == "" else float(cell)
        return number == value or (number != number and (value != value or value == 0))

    written = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    return len(rows) == len(table) and all(all(map(same, cells, table[name])) for name, cells in written.items())
