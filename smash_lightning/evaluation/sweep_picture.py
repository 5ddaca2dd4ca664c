"""A sweep in a picture: hands its figures to `report`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from smash_lightning.evaluation.aggregate import LEAST, SEED, Group, Outcome, Value, average, mean_of, numeric, ordered
from smash_lightning.report.figure_style import Interval
from smash_lightning.report.sweep_figure import LINES, Place, SweepPanel, sweep_figure

SCORE = "SMASH score"
FEW = 8  # values of an option; a mean for each of more would show noise, as in a random search


def draw_sweep(outcomes: Sequence[Outcome], groups: Sequence[Group], options: Sequence[str]) -> Figure:
    """`sweep.png`: the score's Spearman by one option, a line for each value of a second one; of more, a panel each."""
    if not options:
        panels = [_by_job(outcomes)]
    elif (pair := _pair(outcomes, options)) is not None:
        panels = [_by_group(outcomes, groups, options, *pair)]
    else:
        panels = [_by_option(outcomes, option) for option in options]
    title = f"Agreement of score and truth over {len(outcomes)} {'job' if len(outcomes) == 1 else 'jobs'}"
    return sweep_figure(
        panels, y_label="Spearman with test loss", title=title, note=explained(outcomes, groups, options)
    )


def explained(outcomes: Sequence[Outcome], groups: Sequence[Group], options: Sequence[str]) -> str:
    """What the marks and bars of the picture are, and how many stand behind them."""
    architectures = _span({outcome.architectures for outcome in outcomes})
    behind = f"over {architectures} architectures"
    counts = {group.score.count for group in groups}
    if options and _pair(outcomes, options) is None:
        return f"Small marks: jobs of {architectures} architectures. Large: means over all jobs of that value."
    if not options or counts == {1}:
        return f"Each mark is a job, with its 95 % bootstrap interval {behind}."
    text = f"Small marks: jobs, with 95 % bootstrap intervals {behind}. Large: means over {_span(counts)} seeds"
    return f"{text}, with 95 % t-intervals." if max(counts) >= LEAST else f"{text}; so few carry no interval."


def _pair(outcomes: Sequence[Outcome], options: Sequence[str]) -> tuple[str, str | None] | None:
    """The option of the axis and that of the lines; None where there are too many to draw so."""
    values = {option: _values(outcomes, option) for option in options}
    # The axis goes to numbers, and then to the option with more values.
    axis, *rest = sorted(options, key=lambda option: (not numeric(values[option]), -len(values[option])))
    if len(rest) > 1 or any(len(values[option]) > len(LINES) for option in rest):
        return None
    return axis, rest[0] if rest else None


def _by_group(
    outcomes: Sequence[Outcome], groups: Sequence[Group], options: Sequence[str], axis: str, other: str | None
) -> SweepPanel:
    lines: dict[str, list[Place]] = {}
    for group in groups:
        of = dict(zip(options, group.values, strict=True))
        name = SCORE if other is None else f"{other}={of[other]}"
        jobs = tuple(_interval(outcome) for outcome in group.outcomes)
        mean = group.score
        # One job is its own mean, and drawn once.
        place = (
            Place(of[axis], (), jobs[0]) if len(jobs) == 1 else Place(of[axis], jobs, (mean.value, mean.low, mean.high))
        )
        lines.setdefault(name, []).append(place)
    values = _values(outcomes, axis)
    rank = {value: place for place, value in enumerate(values)}
    rising = {name: sorted(places, key=lambda place: rank[place.value]) for name, places in lines.items()}
    return SweepPanel(axis, values, rising, _references(outcomes, axis, values), numeric(values))


def _by_option(outcomes: Sequence[Outcome], option: str) -> SweepPanel:
    values = _values(outcomes, option)
    places = []
    for value in values:
        jobs = [outcome for outcome in outcomes if outcome.value_of(option) == value]
        scores = [outcome.score.value for outcome in jobs]
        mean = average(scores).value if len(values) <= FEW else math.nan
        places.append(Place(value, tuple(map(_bare, scores)), _bare(mean)))
    references = _references(outcomes, option, values)
    return SweepPanel(option, values, {SCORE: places}, references, joined=len(values) <= FEW and numeric(values))


def _by_job(outcomes: Sequence[Outcome]) -> SweepPanel:
    """Where nothing but the seed was varied."""
    seeds = [str(outcome.value_of(SEED)) for outcome in outcomes]
    label, names = (SEED, seeds) if len(set(seeds)) == len(seeds) else ("job", [o.job.name for o in outcomes])
    places = [Place(name, (), _interval(outcome)) for name, outcome in zip(names, outcomes, strict=True)]
    references = {
        "noise ceiling": [mean_of([outcome.ceiling]) for outcome in outcomes],
        "parameters": [mean_of([outcome.spearman.get("params")]) for outcome in outcomes],
        "MACs": [mean_of([outcome.spearman.get("macs")]) for outcome in outcomes],
    }
    return SweepPanel(label, tuple(names), {SCORE: places}, references, joined=False)


def _references(outcomes: Sequence[Outcome], option: str, values: Sequence[Value]) -> dict[str, list[float]]:
    """Ceiling and sizes, as means over all jobs of a value."""
    found: dict[str, list[float]] = {"noise ceiling": [], "parameters": [], "MACs": []}
    for value in values:
        jobs = [outcome for outcome in outcomes if outcome.value_of(option) == value]
        found["noise ceiling"].append(mean_of(job.ceiling for job in jobs))
        found["parameters"].append(mean_of(job.spearman.get("params") for job in jobs))
        found["MACs"].append(mean_of(job.spearman.get("macs") for job in jobs))
    return found


def _values(outcomes: Sequence[Outcome], option: str) -> tuple[Value, ...]:
    return tuple(ordered(outcome.value_of(option) for outcome in outcomes))


def _interval(outcome: Outcome) -> Interval:
    return outcome.score.value, outcome.score.low, outcome.score.high


def _bare(value: float) -> Interval:
    """Without a bar."""
    return value, math.nan, math.nan


def _span(counts: set[int]) -> str:
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
