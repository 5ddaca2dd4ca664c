"""Words and numbers as tables, pictures and sentences show them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import pandas as pd

Estimate = Mapping[str, float]  # `value`, `low` and `high` as in correlation.json
LABELS = {
    "smash_score": "SMASH score",
    "calibrated": "calibrated prediction",
    "val_loss": "SMASH, validation loss",
    "val_error": "SMASH, validation error",
    "smash_score+params": "SMASH + parameters",
    "params": "parameters",
    "macs": "MACs",
    "ops": "number of ops",
    "unconditional": "unconditional HyperNet",
    "untrained": "untrained HyperNet",
}


def label(name: str) -> str:
    """A predictor's name for readers; a baseline without an entry keeps its own name."""
    return LABELS.get(name, name.replace("_", " "))


def estimate_text(estimate: Estimate | None, decimals: int = 2) -> str:
    """An estimate with its interval, as in '0.57 [0.35, 0.74]'; 'undefined' for None."""
    if estimate is None:
        return "undefined"
    return interval_text(estimate["value"], estimate["low"], estimate["high"], decimals)


def interval_text(value: float, low: float, high: float, decimals: int = 2) -> str:
    """The same for three numbers; 'undefined' for NaN, and the value alone where the interval is."""
    if math.isnan(value):
        return "undefined"
    texts = tuple(f"{number:z.{decimals}f}".replace("-", "\N{MINUS SIGN}") for number in (value, low, high))
    return texts[0] if math.isnan(low) else "{} [{}, {}]".format(*texts)


def decimals_for(values: "pd.Series[float]", digits: int) -> int:
    """Decimals that show so many digits of the middle of positive values; 2 where there are none."""
    middle = values[values > 0].median()
    return 2 if math.isnan(middle) else min(max(digits - 1 - math.floor(math.log10(middle)), 0), 8)


def side(estimate: Estimate | None) -> str:
    """Position of an interval relative to zero: above, below or around (also where it is undefined)."""
    if estimate is None or estimate["low"] <= 0 <= estimate["high"]:
        return "around"
    return "above" if estimate["low"] > 0 else "below"


def omitted_text(omitted: Mapping[str, Any]) -> str:
    """The baselines that are not compared, with the reason of each; empty if there are none."""
    named = "; ".join(f"{label(name)} ({reason})" for name, reason in omitted.items())
    return f"Not compared: {named}." if named else ""


def cost_text(seconds: float | None, training_seconds: float | None) -> str:
    """Cost of a predictor: of each prediction, and of what is trained once before, as in '0.36 s + 40 s'."""
    each = duration(seconds)
    return each if training_seconds == 0 else f"{each} + {duration(training_seconds)}"


def duration(seconds: float | None) -> str:
    """Seconds with two digits, minutes and hours where those are easier to read; '?' where unknown."""
    if seconds is None or math.isnan(seconds):
        return "?"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_two_digits(seconds / length)} {unit}"
    return f"{_two_digits(seconds)} s"


def count(number: int, noun: str) -> str:
    """A number with its noun, as in '3 HyperNets'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names with commas; of more than `limit` the first ones and the number of the others."""
    every = list(names)
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def _two_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 9.5 or number < 5e-4 else f"{float(f'{number:.2g}'):g}"


def templates(**options: Any) -> jinja2.Environment:
    """The templates of this folder, which know the functions above as filters."""
    loader = jinja2.PackageLoader("smash_lightning.report", "")
    made = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, **options)
    made.filters |= {"count_of": count, "estimate": estimate_text, "label": label}
    made.filters |= {"listed": listed, "omitted": omitted_text, "side": side}
    return made
