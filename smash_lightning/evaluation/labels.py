"""What predictors are called, and what they cost, in tables and charts."""

from __future__ import annotations

from collections.abc import Mapping

from smash_lightning.evaluation.sample import SMASH_SCORE, TOGETHER

LABELS = {
    SMASH_SCORE: "SMASH score",
    "val_loss": "SMASH, validation loss",
    "val_error": "SMASH, validation error",
    TOGETHER: "SMASH + parameters",
    "params": "parameters",
    "macs": "MACs",
    "ops": "number of ops",
    "unconditional": "unconditional HyperNet",
    "untrained": "untrained HyperNet",
}


def label(name: str) -> str:
    """A predictor's name for readers; baselines that the study does not know keep their own."""
    return LABELS.get(name, name.replace("_", " "))


def left_out(missing: Mapping[str, int], architectures: int) -> str:
    """Which baselines do not count, as they lack a value for so many of the architectures; empty if all do."""
    named = [f"{label(name)} ({count} of {architectures})" for name, count in missing.items()]
    return f"Left out, as values are missing: {', '.join(named)}." if named else ""


def cost(seconds: float | None, training_seconds: float | None) -> str:
    """What a predictor costs: each value, and what was trained once before, as in '0.36 s + 40 s'."""
    each = duration(seconds)
    return each if training_seconds == 0 else f"{each} + {duration(training_seconds)}"


def duration(seconds: float | None) -> str:
    """Seconds to two digits, minutes and hours from where they are easier to read; '?' where unknown."""
    if seconds is None:
        return "?"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_two_digits(seconds / length)} {unit}"
    return f"{_two_digits(seconds)} s"


def _two_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 9.5 or number < 5e-4 else f"{float(f'{number:.2g}'):g}"
