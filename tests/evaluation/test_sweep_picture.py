"""Which picture a sweep gets, and what it says of its marks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from smash_lightning.evaluation.aggregate import Outcome, grouped
from smash_lightning.evaluation.bootstrap import Estimate
from smash_lightning.evaluation.sweep import SweepJob
from smash_lightning.evaluation.sweep_picture import draw_sweep, explained


def outcomes(options: Mapping[str, Sequence[Any]]) -> list[Outcome]:
    found = []
    for number, values in enumerate(itertools.product(*options.values())):
        job = SweepJob(Path(str(number)), {}, dict(zip(options, values, strict=True)))
        estimate = Estimate(0.02 * number, 0.02 * number - 0.1, 0.02 * number + 0.1, 200)
        params = Estimate(0.3, 0.2, 0.4, 200)
        found.append(
            Outcome(job, 24, {"smash_score": estimate, "params": params, "macs": None}, Estimate(0.9, 0.8, 1.0, 200))
        )
    return found


def drawn(options: Mapping[str, Sequence[Any]]) -> tuple[Figure, str]:
    jobs, varied = outcomes(options), [name for name in options if name != "seed"]
    groups = grouped(jobs, varied)
    return draw_sweep(jobs, groups, varied), explained(jobs, groups, varied)


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def y_of(figure: Figure, label: str) -> list[float]:
    return [float(y) for line in figure.axes[0].lines if line.get_label() == label for y in line.get_ydata()]


def test_one_option_is_the_axis_and_seeds_are_averaged() -> None:
    figure, words = drawn({"width": [2, 1], "seed": [0, 1, 2]})
    assert [axes.get_xlabel() for axes in figure.axes] == ["width"]
    assert y_of(figure, "SMASH score") == pytest.approx([0.02 * 4, 0.02 * 1]), "numbers rise"
    assert y_of(figure, "parameters") == pytest.approx([0.3, 0.3])
    assert y_of(figure, "noise ceiling") == pytest.approx([0.9, 0.9])
    assert "over 24 architectures" in words
    assert "means over 3 seeds, with 95 % t-intervals" in words


def test_a_second_option_gives_lines_and_numbers_get_the_axis() -> None:
    figure, words = drawn({"kind": ["a", "b"], "width": [1, 2], "seed": [0, 1]})
    assert [axes.get_xlabel() for axes in figure.axes] == ["width"]
    assert labels(figure) == ["kind=a", "kind=b", "noise ceiling", "parameters", "MACs"]
    assert y_of(figure, "kind=b") == pytest.approx([0.02 * 4.5, 0.02 * 6.5])
    assert "means over 2 seeds; so few carry no interval" in words


@pytest.mark.parametrize(
    "options", [{"a": [1, 2], "b": [1, 2], "c": ["x", "y"]}, {"a": list(range(9)), "b": list(range(7))}]
)
def test_more_than_lines_can_show_gets_a_panel_each(options: dict[str, list[Any]]) -> None:
    figure, words = drawn(options)
    assert [axes.get_xlabel() for axes in figure.axes] == list(options)
    assert "means over all jobs of that value" in words


@pytest.mark.parametrize("options", [{"seed": [3, 4]}, {"width": [1, 2]}, {}])
def test_where_nothing_is_averaged_each_job_has_its_own_interval(options: dict[str, list[Any]]) -> None:
    figure, words = drawn(options)
    assert words == "Each mark is a job, with its 95 % bootstrap interval over 24 architectures."
    assert [axes.get_xlabel() for axes in figure.axes] == [next(iter(options), "seed")]
    assert y_of(figure, "SMASH score") == pytest.approx([0.0, 0.02] if options else [0.0])
