"""Each figure is one specification that holds its data, for files, pages and W&B."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smash_lightning.report.figures import encoding, forest, lines, on_front, pareto, scatter
from smash_lightning.report.style import save, specification

GROUPS = pd.Categorical(["shortlist", "sample", "sample"], ["sample", "shortlist", "preset"])
POINTS = pd.DataFrame(
    {"x": [1.0, 2.0, 3.0], "y": [2.0, 1.0, 3.0], "low": [1.0, np.nan, 2.0], "high": [3.0, np.nan, 4.0]}
)
VALUES = st.one_of(st.integers(0, 4).map(float), st.sampled_from([math.inf, -math.inf, math.nan]))
ROWS = pd.DataFrame(
    [("score", 0.5, 0.2, 0.8), ("depth", np.nan, np.nan, np.nan)], columns=["name", "value", "low", "high"]
)
LABELS: dict[str, Any] = {"x": "score", "y": "test loss (nats)", "title": "A title"}
OTHERS: dict[str, Any] = {"note": "Bars: 95 %", "legend": "trained as", "details": {"fingerprint": "architecture"}}


def data(chart: Any) -> list[dict[str, Any]]:
    """The rows of the main data set."""
    return max(specification(chart)["datasets"].values(), key=len)


def svg(chart: Any) -> str:
    return vl_convert.vegalite_to_svg(specification(chart))


def test_points_have_groups_bars_and_a_line() -> None:
    line = pd.DataFrame({"x": [1.0, 3.0], "y": [1.0, 3.0], "low": [0.5, 2.0], "high": [2.0, 4.0]})
    frame = POINTS.assign(group=GROUPS, fingerprint=["a", "b", "c"])
    details = {"fingerprint": "architecture", "no": "no"}
    chart = scatter(frame, **LABELS, **OTHERS | {"details": details}, line=line)
    rows = data(chart)
    assert [row["kind"] for row in rows] == ["point"] * 3 + ["line"] * 2
    assert (rows[1]["low"], rows[1]["high"]) == (1.0, 1.0), "no bar where there is no interval"
    drawn = svg(chart)
    for words in ("A title", "Bars: 95 %", "score", "test loss (nats)", "trained as", "sample", "shortlist"):
        assert words in drawn
    assert "preset" not in drawn, "a group without points has no entry"
    found = json.dumps(specification(chart))
    assert '"title": "architecture"' in found
    assert '"field": "no"' not in found
    assert "trained as" not in svg(scatter(frame[1:], **LABELS, **OTHERS)), "one group needs no legend"


def test_rows_keep_their_order_and_panels_share_them() -> None:
    chart = forest(ROWS.assign(panel=""), x="Spearman", title="A title", note="Bars: 95 %")
    drawn = svg(chart)
    assert drawn.index(">score<") < drawn.index(">depth<")
    for words in ("0.50 [0.20, 0.80]", "undefined", "Spearman", "Bars: 95 %"):
        assert words in drawn
    assert {row["kind"] for row in data(chart)} == {"estimate", "reference"}
    both = pd.concat([ROWS.assign(panel="all"), ROWS.assign(panel="pairs")])
    ceiling = {"value": 0.9, "low": 0.8, "high": 0.95}
    chart = forest(both.assign(highlighted=both["name"] == "score"), x="x", title="t", ceiling=ceiling)
    found = [(row["panel"], row["value"]) for row in data(chart) if row["kind"] == "ceiling"]
    assert found == [("all", 0.9)], "only the first panel has the ceiling"
    drawn = svg(chart)
    assert (drawn.count(">score<"), drawn.count(">0.50 [0.20, 0.80]<")) == (1, 2)


def test_lines_have_bars_at_their_side() -> None:
    frame = pd.concat([POINTS.assign(series="first"), POINTS.assign(series="second")])
    chart = lines(frame, x="width", y="Spearman", title="t", log_x=True)
    places = pd.DataFrame(data(chart))
    first, second = (places[places["series"] == name]["place"].to_numpy() for name in ("first", "second"))
    assert (first < second).all()
    assert np.allclose(np.sqrt(first * second), POINTS["x"]), "around the true place, on a logarithmic axis"
    assert "second" in svg(chart)
    alone = pd.DataFrame(data(lines(POINTS.assign(series="all"), **LABELS)))
    assert (alone["place"] == POINTS["x"]).all()
    with pytest.raises(ValueError, match="9 groups in one figure cannot be distinguished"):
        lines(pd.concat([POINTS.assign(series=str(i)) for i in range(9)]), **LABELS)


def test_the_front_holds_what_no_other_one_improves_on() -> None:
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0, np.nan], "params": [3, 1, 2, 0], "macs": [1, 1, 1, 1]})
    frame["preset"] = False
    chart = pareto(frame, x={"params": "parameters", "macs": "MACs"}, y="score", title="t", details={})
    rows = pd.DataFrame(data(chart))
    assert rows[rows["panel"] == "parameters"]["front"].tolist() == [True, True, False, False]
    assert rows[rows["panel"] == "MACs"]["front"].tolist() == [True, False, False, False]
    assert list(rows["group"][:4]) == ["on the front", "on the front", "others", "others"]
    assert "preset" not in svg(chart), "a group without points has no entry"
    frame["preset"] = [False, True, False, False]
    chart = pareto(frame, x={"params": "parameters", "macs": "MACs"}, y="score", title="t", details={})
    assert [row["group"] for row in data(chart)][:4] == ["on the front", "preset", "others", "others"]
    assert "preset" in svg(chart)


def test_a_picture_is_large_and_many_rows_are_no_limit(tmp_path: Path) -> None:
    many = pd.DataFrame({"x": range(6000), "y": range(6000), "low": 0.0, "high": 1.0, "series": "all"})
    chart = lines(many, **LABELS)
    assert len(data(chart)) == 6000
    save(specification(chart), tmp_path / "chart.png")
    assert Image.open(tmp_path / "chart.png").width > 1000


def test_an_encoding_has_all_channels_in_order_and_the_names_of_ops() -> None:
    cells = pd.DataFrame([("read 1", 0, 8), ("start", 0, 8)], columns=["channel", "first", "last"])
    weights = pd.DataFrame([(0, 1, 0, 1, -0.5), (1, 2, 0, 1, 0.25)], columns=["first", "last", "row", "end", "value"])
    drawn = svg(
        encoding(cells, weights, pd.DataFrame({"op": ["1.0"], "first": [0]}), ["start", "read 0", "read 1"], title="c")
    )
    assert drawn.index(">start<") < drawn.index(">read 0<") < drawn.index(">read 1<")
    assert ">1.0<" in drawn


def slow_front(scores: Sequence[float], costs: Sequence[float]) -> set[int]:
    def dominates(i: int, j: int) -> bool:
        no_worse = scores[i] <= scores[j] and costs[i] <= costs[j]
        return no_worse and (scores[i] < scores[j] or costs[i] < costs[j])

    points = [i for i in range(len(scores)) if scores[i] == scores[i] and costs[i] == costs[i]]
    return {j for j in points if not any(dominates(i, j) for i in points)}


@given(points=st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_the_front_is_undominated(points: list[tuple[float, float]]) -> None:
    scores, costs = np.array(points, dtype=float).reshape(-1, 2).T
    assert set(np.flatnonzero(on_front(scores, costs))) == slow_front(scores.tolist(), costs.tolist())
