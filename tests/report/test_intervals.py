import io
import warnings

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from smash_lightning.report.figure_style import BLUE, GREEN, GREY, WIDTH
from smash_lightning.report.intervals import baselines_figure, interval_lines, interval_rows

NAN = float("nan")
SERIES = {
    "conditional": [(32.0, 0.4, 0.3, 0.5), (8.0, 0.2, 0.1, 0.3), (128.0, 0.5, 0.35, 0.6)],
    "shared": [(8.0, 0.3, 0.2, 0.4), (32.0, NAN, NAN, NAN), (128.0, 0.45, 0.4, 0.5)],
}
ROWS = {"early stopping": (0.8, 0.6, 0.9), "SMASH score": (0.5, 0.3, 0.7), "ops": None}
ALIKE = {"early stopping": (0.3, 0.1, 0.5), "SMASH score": (0.4, 0.2, 0.6), "ops": None}
COSTS = {"early stopping": "2.4 s", "SMASH score": "0.36 s + 40 s", "ops": "0 s"}
LABELS = {"x_label": "width", "y_label": "rho", "title": "Does it help?"}


def drawn(figure):
    """Rendering is where matplotlib complains; warnings are errors. Returns the texts that are seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file := io.BytesIO(), format="svg")
    assert len(file.getvalue()) > 5_000
    return figure


def bars(axes):
    """Ends of vertical bars by their place."""
    lines = [line for line in axes.collections if isinstance(line, LineCollection)]
    return [segment for line in lines for segment in line.get_segments() if len(segment)]  # of NaN it has none


def rows_of(axes):
    """(row, value, low, high, colour) of a forest."""
    found = {}
    for line in axes.get_lines():
        x, y = (np.asarray(data, dtype=float) for data in line.get_data())
        if len(x) == 2 and y[0] == y[1]:
            found[int(y[0])] = [*x, line.get_color()]
        elif len(x) == 1:
            found[int(y[0])] = [float(x[0]), *found[int(y[0])]]
    return {row: tuple(figures) for row, figures in found.items()}


@pytest.mark.parametrize("log_x", [False, True])
def test_lines_show_every_point_with_its_interval_in_order(log_x):
    axes = drawn(interval_lines(SERIES, **LABELS, log_x=log_x)).axes[0]
    assert [line.get_label() for line in axes.get_lines()] == list(SERIES)
    for line, points in zip(axes.get_lines(), SERIES.values(), strict=True):
        x, value = line.get_data()
        expected = sorted(points)
        assert x == pytest.approx([point[0] for point in expected], rel=0.35), "moved a little aside at most"
        assert np.array_equal(value, [point[1] for point in expected], equal_nan=True)
        assert (np.diff(x) > 0).all()
    ends = sorted(tuple(bar[:, 1]) for bar in bars(axes))
    assert ends == sorted(point[2:] for points in SERIES.values() for point in points if np.isfinite(point[1]))
    assert axes.get_xticks().tolist() == [8, 32, 128]
    assert axes.get_xscale() == ("log" if log_x else "linear")


@pytest.mark.parametrize("log_x", [False, True])
def test_bars_of_two_series_do_not_hide_each_other_nor_reach_the_next_value(log_x):
    axes = drawn(interval_lines(SERIES, **LABELS, log_x=log_x)).axes[0]
    first, second = (line.get_xdata() for line in axes.get_lines())
    assert (first < second).all()
    assert (second[:-1] < first[1:]).all()


def test_values_that_all_but_coincide_are_told_apart_and_named_once():
    lines = {name: [(x, 0.5, 0.4, 0.6) for x in (744, 5624, 93_125, 97_625, 671_264)] for name in ("one", "other")}
    axes = drawn(interval_lines(lines, **LABELS, log_x=True)).axes[0]
    assert axes.get_xticks().tolist() == [744, 5624, 93_125, 671_264]
    first, second = (np.log(line.get_xdata()) for line in axes.get_lines())
    assert (second - first > 0.004 * (first[-1] - first[0])).all()


def test_one_series_stands_at_its_values_without_a_legend():
    figure = drawn(interval_lines({"all": SERIES["conditional"]}, **LABELS))
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [8, 32, 128]
    assert not figure.legends
    assert len(drawn(interval_lines(SERIES, **LABELS)).legends) == 1


def test_title_and_note_stand_above():
    axes = interval_lines(SERIES, **LABELS, note="bars: 95 %").axes[0]
    assert axes.get_title(loc="left") == "Does it help?\nbars: 95 %"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "rho")


def test_many_values_have_ticks_of_their_own_choice():
    points = [(float(x), 0.1 * x, 0.0, 1.0) for x in range(40)]
    assert len(drawn(interval_lines({"all": points}, **LABELS)).axes[0].get_xticks()) < 15


def test_lines_of_nothing_are_drawn():
    drawn(interval_lines({}, **LABELS))
    drawn(interval_lines({"none": []}, **LABELS, log_x=True))


def test_lines_refuse_what_cannot_be_read():
    with pytest.raises(ValueError, match="9 lines in one figure"):
        interval_lines({str(i): SERIES["shared"] for i in range(9)}, **LABELS)
    with pytest.raises(ValueError, match=r"width: a logarithmic axis cannot show 0\.0"):
        interval_lines({"all": [(0.0, 0.1, 0.0, 0.2)]}, **LABELS, log_x=True)


def test_rows_show_value_and_interval_beside_the_reference():
    axes = drawn(interval_rows(ROWS, x_label="rho", title="Rows", note="n = 3", reference=0.25)).axes[0]
    assert rows_of(axes) == {0: (0.8, 0.6, 0.9, BLUE), 1: (0.5, 0.3, 0.7, BLUE)}
    assert next(line.get_xdata() for line in axes.get_lines() if len(set(line.get_ydata())) == 2) == [0.25, 0.25]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "early stopping\n0.80 [0.60, 0.90]",
        "SMASH score\n0.50 [0.30, 0.70]",
        "ops\nundefined",
    ]
    top, bottom = axes.get_ylim()[::-1]
    assert top < bottom, "the first row stands at the top"
    assert axes.get_title(loc="left") == "Rows\nn = 3"


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((-0.0123, -0.0201, -0.0019), "\u22120.012 [\u22120.020, \u22120.002]"),
        ((0.5, 0.5, 0.5), "0.50 [0.50, 0.50]"),
        ((312.0, 290.0, 333.0), "312 [290, 333]"),
    ],
)
def test_rows_have_the_digits_that_their_intervals_deserve(interval, shown):
    axes = drawn(interval_rows({"a": interval}, x_label="nats", title="t")).axes[0]
    assert axes.get_yticklabels()[0].get_text() == f"a\n{shown}"


def test_rows_of_nothing_are_drawn():
    drawn(interval_rows({}, x_label="rho", title="Nothing"))


def baselines(**changes):
    parts = {"highlighted": "SMASH score", "ceiling": (0.92, 0.87, 0.96), "titles": ("Over all", "Alike")}
    return drawn(baselines_figure(ROWS, ALIKE, COSTS, **(parts | changes)))


def test_rivals_stand_side_by_side_with_the_score_in_colour():
    left, right = baselines().axes
    assert rows_of(left) == {0: (0.8, 0.6, 0.9, GREY), 1: (0.5, 0.3, 0.7, BLUE)}
    assert rows_of(right) == {0: (0.3, 0.1, 0.5, GREY), 1: (0.4, 0.2, 0.6, BLUE)}
    names = left.get_yticklabels()
    assert [name.get_text() for name in names] == list(ROWS)
    assert [name.get_fontweight() for name in names] == ["normal", "bold", "normal"]
    assert left.get_ylim() == right.get_ylim()


def test_rivals_have_their_costs_and_the_undefined_a_word():
    left, right = baselines().axes
    texts = {(text.get_text().strip(), round(text.get_position()[1])) for text in right.texts}
    assert {(cost, row) for row, cost in enumerate(COSTS.values())} <= texts
    assert ("undefined", 2) in texts
    assert [text.get_text().strip() for text in left.texts] == ["undefined"]


def test_the_ceiling_is_drawn_where_it_holds():
    left, right = baselines().axes
    assert left.get_title(loc="right") == "noise ceiling 0.92"
    assert any(line.get_color() == GREEN and line.get_xdata() == [0.92, 0.92] for line in left.get_lines())
    assert not any(line.get_color() == GREEN for line in right.get_lines())
    assert baselines(ceiling=None).axes[0].get_title(loc="right") == ""


def test_names_of_a_users_rivals_are_text_and_long_notes_wrap():
    names = ["SMASH score", "cost_$x$ and $", "a"]
    tables = [dict(zip(names, table.values(), strict=True)) for table in (ROWS, ALIKE, COSTS)]
    note = "Left out: " + ", ".join(f"baseline {i} (3 of 60)" for i in range(20))
    figure = drawn(
        baselines_figure(*tables, highlighted="SMASH score", ceiling=None, titles=("Over all", "Alike"), note=note)
    )
    lines = figure.get_supxlabel().split("\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 130
    assert " ".join(lines) == note


def test_text_is_never_too_small_to_read():
    """At least 11 points in a figure of the report's width, which is shown at a little over half its size."""
    for figure in (
        baselines(note="a note"),
        interval_rows(ROWS, x_label="x", title="t"),
        interval_lines(SERIES, **LABELS),
    ):
        texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")) if text.get_text()]
        assert len(texts) >= 5
        assert min(text.get_fontsize() for text in texts) >= 11
        assert figure.get_figwidth() <= WIDTH


def test_figures_leave_no_global_state():
    baselines()
    assert pyplot.get_fignums() == []
