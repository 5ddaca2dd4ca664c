"""Panels that share their rows."""

from __future__ import annotations

import io
import warnings

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from smash_lightning.report.panels import Panel, interval_panels

NAMES = ["own", "noise of 1", "another's"]
LOSS = Panel("Loss", "nats", {"noise of 1": (0.012, 0.01, 0.014), "another's": (0.02, -0.01, 0.03)})
ORDER = Panel("Order", "rho", {"own": (0.6, 0.4, 0.8), "noise of 1": None, "another's": (0.1, -0.2, 0.3)})


def drawn(figure: Figure) -> list[Axes]:
    """Rendering is where matplotlib complains; warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file := io.BytesIO(), format="svg")
    assert len(file.getvalue()) > 5_000
    return figure.axes


def bars(axes: Axes) -> dict[float, list[float]]:
    """Ends of the horizontal bars by their row."""
    lines = [line.get_data() for line in axes.get_lines()]
    return {float(y[0]): [float(end) for end in x] for x, y in lines if len(x) == 2 and y[0] == y[1]}


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_every_panel_has_its_bars_in_the_common_rows() -> None:
    left, right = drawn(interval_panels(NAMES, [LOSS, ORDER], title="Does it matter?", note="3 of them"))
    assert bars(left) == {1: [0.01, 0.014], 2: [-0.01, 0.03]}
    assert bars(right) == {0: [0.4, 0.8], 2: [-0.2, 0.3]}
    assert [tick.get_text() for tick in left.get_yticklabels()] == NAMES
    assert left.get_ylim() == right.get_ylim() == (2.5, -0.5), "from top to bottom"
    assert (left.get_xlabel(), right.get_xlabel()) == ("nats", "rho")


def test_figures_are_told_in_words_and_undefined_ones_are_not_the_same_as_missing_ones() -> None:
    left, right = drawn(interval_panels(NAMES, [LOSS, ORDER], title="Does it matter?"))
    assert texts(left) == ["0.012 [0.010, 0.014]", "0.020 [\N{MINUS SIGN}0.010, 0.030]"]
    assert texts(right) == ["0.60 [0.40, 0.80]", "undefined", "0.10 [\N{MINUS SIGN}0.20, 0.30]"]


def test_one_panel_and_long_notes() -> None:
    figure = interval_panels(NAMES, [ORDER], title="Alone", note="very long " * 30)
    assert len(drawn(figure)) == 1
    heading = figure.get_suptitle()
    assert heading.startswith("Alone\n")
    assert max(map(len, heading.splitlines())) <= 130
