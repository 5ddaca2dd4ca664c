"""Each figure is one specification that holds its data, for files, pages and W&B."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from smash_lightning.report.figures import forest, interval_text, lines, pareto, save, scatter, settling, specification
from smash_lightning.report.figures.style import decimals_for

POINTS = pd.DataFrame(
    {"x": [1.0, 2.0, 3.0], "y": [2.0, 1.0, 3.0], "low": [1.0, np.nan, 2.0], "high": [3.0, np.nan, 4.0]}
)
ROWS = pd.DataFrame(
    [("score", 0.5, 0.2, 0.8), ("depth", np.nan, np.nan, np.nan)], columns=["name", "value", "low", "high"]
)
LABELS = {"x": "score", "y": "test loss (nats)", "title": "A title"}


def data(chart: Any) -> list[dict[str, Any]]:
    """The rows of the main data set."""
    return max(specification(chart)["datasets"].values(), key=len)


def titles(chart: Any) -> str:
    return json.dumps(specification(chart), ensure_ascii=False)


def drawn(chart: Any, path: Path) -> str:
    """The chart as SVG text."""
    save(chart, path / "chart.svg")
    return (path / "chart.svg").read_text()


def test_points_have_groups_bars_and_a_line(tmp_path: Path) -> None:
    groups = pd.Categorical(["shortlist", "sample", "sample"], ["sample", "shortlist", "preset"])
    line = pd.DataFrame({"x": [1.0, 3.0], "y": [1.0, 3.0], "low": [0.5, 2.0], "high": [2.0, 4.0]})
    frame = POINTS.assign(group=groups, fingerprint=["a", "b", "c"])
    chart = scatter(
        frame, **LABELS, legend="trained as", details={"fingerprint": "architecture", "no": "no"}, line=line
    )
    rows = data(chart)
    assert [row["kind"] for row in rows] == ["point"] * 3 + ["line"] * 2
    assert (rows[1]["low"], rows[1]["high"]) == (1.0, 1.0), "no bar where there is no interval"
    svg = drawn(chart, tmp_path)
    for words in ("A title", "score", "test loss (nats)", "trained as", "sample", "shortlist"):
        assert words in svg
    assert "preset" not in svg, "a group without points has no entry"
    assert '"title": "architecture"' in titles(chart)
    assert '"field": "no"' not in titles(chart)
    assert "trained as" not in drawn(scatter(POINTS, **LABELS), tmp_path), "one group needs no legend"


def test_rows_keep_their_order_and_say_what_is_undefined(tmp_path: Path) -> None:
    chart = forest(ROWS, x="Spearman", title="A title", note="Bars: 95 %")
    svg = drawn(chart, tmp_path)
    assert svg.index(">score<") < svg.index(">depth<")
    for words in ("0.50 [0.20, 0.80]", "undefined", "Spearman", "Bars: 95 %"):
        assert words in svg
    assert {row["kind"] for row in data(chart)} == {"estimate", "reference"}
    assert {row["kind"] for row in data(forest(ROWS, x="x", title="t", reference=None))} == {"estimate"}


def test_panels_share_rows_and_only_the_first_has_the_ceiling(tmp_path: Path) -> None:
    both = pd.concat([ROWS.assign(panel="all"), ROWS.assign(panel="pairs")])
    ceiling = pd.DataFrame([{"value": 0.9, "low": 0.8, "high": 0.95}])
    chart = forest(both.assign(highlighted=both["name"] == "score"), x="x", title="t", ceiling=ceiling)
    found = [(row["panel"], row["value"]) for row in data(chart) if row["kind"] == "ceiling"]
    assert found == [("all", 0.9)]
    svg = drawn(chart, tmp_path)
    assert (svg.count(">score<"), svg.count(">0.50 [0.20, 0.80]<")) == (1, 2)


def test_lines_have_bars_at_their_side(tmp_path: Path) -> None:
    frame = pd.concat([POINTS.assign(series="first"), POINTS.assign(series="second")])
    chart = lines(frame, x="width", y="Spearman", title="t", legend="seed", log_x=True, log_y=True, reference=2.0)
    places = pd.DataFrame(data(chart))
    first, second = (places[places["series"] == name]["place"].to_numpy() for name in ("first", "second"))
    assert (first < second).all()
    assert np.allclose(np.sqrt(first * second), POINTS["x"]), "around the true place, on a logarithmic axis"
    assert "seed" in drawn(chart, tmp_path)
    assert (pd.DataFrame(data(lines(POINTS[["x", "y"]], **LABELS)))["place"] == POINTS["x"]).all()


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot show x = 0"):
        lines(POINTS.assign(x=[0, 1, 2]), **LABELS, log_x=True)
    many = pd.concat([POINTS.assign(series=str(i), group=str(i)) for i in range(9)])
    for figure in (lines, scatter):
        with pytest.raises(ValueError, match="9 groups in one figure cannot be distinguished"):
            figure(many, **LABELS)
    with pytest.raises(ValueError, match=r"is written as \.png"):
        save(scatter(POINTS, **LABELS), tmp_path / "chart.pdf")


def test_the_front_holds_what_no_other_one_improves_on() -> None:
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0, np.nan], "params": [3, 1, 2, 0], "macs": [1, 1, 1, 1]})
    rows = pd.DataFrame(data(pareto(frame, x={"params": "parameters", "macs": "MACs"}, y="score", title="t")))
    assert rows[rows["panel"] == "parameters"]["front"].tolist() == [True, True, False, False]
    assert rows[rows["panel"] == "MACs"]["front"].tolist() == [True, False, False, False]


def test_settling_has_losses_and_their_order(tmp_path: Path) -> None:
    losses = pd.DataFrame({"fingerprint": ["a", "b"] * 2, "epoch": [1, 1, 2, 2], "val_loss": [3.0, 2.0, 1.0, 0.5]})
    order = pd.DataFrame({"epoch": [1, 2], "value": [0.5, 1.0], "low": [0.1, 1.0], "high": [0.8, 1.0]})
    svg = drawn(settling(losses.assign(last_rank=[2, 1, 2, 1]), order, title="t"), tmp_path)
    assert "validation loss with generated weights (nats)" in svg
    assert "with the last epoch" in svg


def test_a_chart_becomes_every_kind_of_file(tmp_path: Path) -> None:
    chart = scatter(POINTS, **LABELS)
    for kind in ("png", "svg", "json", "html"):
        save(chart, tmp_path / f"chart.{kind}")
    assert Image.open(tmp_path / "chart.png").width > 1000
    assert json.loads((tmp_path / "chart.json").read_text()) == specification(chart)
    assert "<script" in (page := (tmp_path / "chart.html").read_text())
    assert 'src="http' not in page, "the scripts are in the file"


def test_many_rows_and_digits_are_no_limit() -> None:
    many = pd.DataFrame({"x": range(6000), "y": range(6000)})
    assert len(data(scatter(many, **LABELS))) == 6000
    assert decimals_for(pd.Series([0.001, 0.002])) == 4
    assert decimals_for(pd.Series([], dtype=float)) == 2
    assert interval_text(None, 0, 0) == interval_text(float("nan"), 0, 0) == "undefined"
    assert interval_text(0.12345, -0.1, 0.5, 3) == "0.123 [\N{MINUS SIGN}0.100, 0.500]"
