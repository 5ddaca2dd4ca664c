"""A sweep's picture shows what it is given, where it belongs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smash_lightning.report.sweep_figure import LINES, Place, SweepPanel, sweep_figure

NAN = math.nan


def drawn(panel: SweepPanel, **more: object) -> tuple[Figure, Axes]:
    figure = sweep_figure([panel], y_label="Spearman", title="t", note="n", **more)  # type: ignore[arg-type]
    figure.canvas.draw()
    return figure, figure.axes[0]


def place(value: float | str, mean: float, *jobs: float) -> Place:
    return Place(value, tuple((job, job - 0.1, job + 0.1) for job in jobs), (mean, NAN, NAN))


def line(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return np.asarray(found.get_xdata(), dtype=float), np.asarray(found.get_ydata(), dtype=float)


def test_means_stand_at_their_values_and_jobs_between_them() -> None:
    places = [place(32, 0.2, 0.1, 0.3), place(64, 0.5, 0.5), place(128, 0.6, 0.55, 0.65)]
    _, axes = drawn(SweepPanel("width", (32, 64, 128), {"score": places}, {"ceiling": (0.9, NAN, 0.8)}))
    x, y = line(axes, "score")
    assert x == pytest.approx([32, 64, 128])
    assert y == pytest.approx([0.2, 0.5, 0.6])
    assert axes.get_xscale() == "log"
    assert line(axes, "ceiling")[1] == pytest.approx([0.9, NAN, 0.8], nan_ok=True)
    jobs = sorted(
        (float(one.get_xdata()[0]), float(one.get_ydata()[0])) for one in axes.lines if len(one.get_xdata()) == 1
    )
    assert [y for _, y in jobs] == pytest.approx([0.1, 0.3, 0.5, 0.55, 0.65])
    nearest = [min((32, 64, 128), key=lambda value: abs(math.log(value / x))) for x, _ in jobs]
    assert nearest == [32, 32, 64, 128, 128]
    assert len({x for x, _ in jobs}) == 5, "none hides another"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32", "64", "128"]


def test_lines_stand_beside_each_other() -> None:
    lines = {name: [place(1, 0.1), place(2, 0.2)] for name in "abc"}
    _, axes = drawn(SweepPanel("epochs", (1, 2), lines, {}))
    xs = [line(axes, name)[0] for name in "abc"]
    assert axes.get_xscale() == "linear"
    assert xs[0][0] < xs[1][0] < xs[2][0] < xs[0][1]
    assert xs[1] == pytest.approx([1, 2])


def test_categories_are_named_and_not_joined() -> None:
    panel = SweepPanel("data", ("digits", "$x"), {"s": [place("digits", 0.1), place("$x", 0.4)]}, {"c": (1, 1)}, False)
    _, axes = drawn(panel)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["digits", "$x"]
    for one in axes.lines:
        if one.get_label() in ("s", "c"):
            assert one.get_linestyle() == "None"


def test_many_numbers_are_named_now_and_then() -> None:
    values = tuple(float(n) for n in range(1, 41))
    panel = SweepPanel("x", values, {"s": [place(v, NAN, 0.1) for v in values]}, {}, joined=False)
    _, axes = drawn(panel)
    assert 2 <= len(axes.get_xticks()) <= 6


def test_the_axis_ends_where_measuring_does() -> None:
    wide = [Place(1, (), (0.5, -3.0, 4.0)), Place(2, (), (0.5, 0.4, 0.6))]
    _, axes = drawn(SweepPanel("x", (1, 2), {"s": wide}, {}))
    low, high = axes.get_ylim()
    assert -1.1 < low < -1
    assert 1 < high < 1.1


def test_panels_share_their_axis_and_one_legend() -> None:
    panels = [
        SweepPanel(name, (1, 2), {"s": [place(1, 0.1), place(2, y)]}, {})
        for name, y in (("a", 0.2), ("b", 0.9), ("c", 0))
    ]
    figure = sweep_figure(panels, y_label="y", title="t")
    assert [axes.get_xlabel() for axes in figure.axes] == ["a", "b", "c"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["s"]


def test_more_lines_than_can_be_told_apart_are_refused() -> None:
    lines = {str(number): [place(1, 0.1)] for number in range(len(LINES) + 1)}
    with pytest.raises(ValueError, match=r"7 lines in one panel cannot be told apart: draw 6 or fewer"):
        sweep_figure([SweepPanel("x", (1,), lines, {})], y_label="y", title="t")
