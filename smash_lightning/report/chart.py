"""Charts on Weights & Biases: our own definitions, over tables that a run logs.

W&B's ready charts have neither error bars nor a fitted line. It draws a definition of one's own only if that was
published under an account, which is done once and by hand:

    python -m smash_lightning.report.chart ACCOUNT

Runs, offline ones too, then ask for them with `logger.wandb.charts=ACCOUNT`. Without that they use the ready ones,
which need no account.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import wandb

from smash_lightning.report.figure_style import BLUE, GREEN, ORANGE, PURPLE

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A kind of chart.

    Args:
        title: what people read where charts are chosen.
        columns: of the table that it stands over.
        definition: in Vega-Lite; W&B fills in ${field:...} with a column of the table, ${string:...} with a text.
        ready: W&B's own chart that comes nearest.
        fields: which columns that one shows as what.
        texts: which of its texts is which of ours.
    """

    title: str
    columns: tuple[str, ...]
    definition: Mapping[str, Any]
    ready: str
    fields: Mapping[str, str]
    texts: Mapping[str, str]


def _axis(field: str, kind: str = "quantitative", **more: Any) -> dict[str, Any]:
    scale = {"scale": {"zero": False}} if kind == "quantitative" else {}
    return {"field": f"${{field:{field}}}", "type": kind, **scale, **more}


def _tooltip(columns: Sequence[str]) -> list[dict[str, str]]:
    return [{"field": f"${{field:{column}}}", "title": column.replace("_", " ")} for column in columns]


def _definition(description: str, layer: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    start = {"$schema": SCHEMA, "description": description, "title": "${string:title}", "data": {"name": "wandb"}}
    return {**start, **more, "layer": layer}


_POINTS = ("fingerprint", "score", "truth", "standard_error", "arm")
_TRUTH, _ERROR, _ARM = (f"datum['${{field:{column}}}']" for column in _POINTS[2:])
_X, _Y = _axis("score", title="${string:x}"), _axis("truth", title="${string:y}")
_COLOUR = _axis("arm", "nominal", title="trained as", scale={"range": [BLUE, ORANGE, GREEN, PURPLE]})
_SCATTER = _definition(
    "A true figure against the score of SMASH, with standard errors and a least-squares line",
    [
        {
            "mark": {"type": "rule", "opacity": 0.6},
            "encoding": {"x": _X, "y": {**_Y, "field": "low"}, "y2": {"field": "high"}, "color": _COLOUR},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9},
            "encoding": {"x": _X, "y": _Y, "color": _COLOUR, "tooltip": _tooltip(_POINTS)},
        },
        {
            # The top were picked by their score: a line through them would flatter or hide the relation.
            "transform": [
                {"filter": f"test(/spread|random/, {_ARM})"},
                {"regression": "${field:truth}", "on": "${field:score}"},
            ],
            "mark": {"type": "line", "color": "#595959"},
            "encoding": {"x": _X, "y": _Y},
        },
    ],
    transform=[
        {"calculate": f"{_TRUTH} - {_ERROR}", "as": "low"},
        {"calculate": f"{_TRUTH} + {_ERROR}", "as": "high"},
    ],
)

_ESTIMATES = ("predictor", "value", "low", "high")
_ROW = _axis("predictor", "nominal", sort=None, title=None)
_INTERVALS = _definition(
    "The agreement of every predictor with the truth, with 95 % intervals",
    [
        {
            "mark": {"type": "rule", "color": BLUE},
            "encoding": {"x": _axis("low", title="${string:x}"), "x2": {"field": "${field:high}"}, "y": _ROW},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "color": BLUE},
            "encoding": {"x": _axis("value"), "y": _ROW, "tooltip": _tooltip(_ESTIMATES)},
        },
    ],
)

_COURSES = ("line", "x", "y")
_LINES = _definition(
    "How figures go, a line each",
    [
        {
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": _axis("x", title="${string:x}"),
                "y": _axis("y", title="${string:y}"),
                "color": _axis("line", "nominal", title=None),
                "tooltip": _tooltip(_COURSES),
            },
        }
    ],
)

CHARTS = {
    "scatter": Chart(
        "SMASH: score against truth", _POINTS, _SCATTER, "wandb/scatter/v0", {"x": "score", "y": "truth"}, {}
    ),
    "intervals": Chart(
        "SMASH: predictors with intervals",
        _ESTIMATES,
        _INTERVALS,
        "wandb/bar/v0",
        {"label": "predictor", "value": "value"},
        {},
    ),
    "lines": Chart(
        "SMASH: lines",
        _COURSES,
        _LINES,
        "wandb/lineseries/v0",
        {"lineKey": "line", "step": "x", "lineVal": "y"},
        {"xname": "x"},
    ),
}


def published_name(kind: str) -> str:
    """What a chart is called under an account."""
    return f"smash-{kind}"


def publish(account: str) -> list[str]:
    """Stores the definitions under an account of W&B; returns their names there, such as "account/smash-scatter".

    Raises:
        wandb.Error: no connection, or the account does not allow it.
    """
    api = wandb.Api()
    return [
        api.create_custom_chart(
            entity=account,
            name=published_name(kind),
            display_name=chart.title,
            spec_type="vega2",
            access="private",
            spec=chart.definition,
        )
        for kind, chart in CHARTS.items()
    ]


def reference(kind: str, account: str | None) -> tuple[str, dict[str, str]]:
    """Which chart draws a kind, and which of the table's columns it wants as what.

    Args:
        kind: of `CHARTS`.
        account: under which ours are published; None for W&B's ready ones.
    """
    chart = CHARTS[kind]
    if account is None:
        return chart.ready, dict(chart.fields)
    return f"{account}/{published_name(kind)}", {column: column for column in chart.columns}


def over_table(kind: str, rows: list[list[Any]], account: str | None, texts: Mapping[str, str]) -> Any:
    """A chart over a logged table.

    Args:
        kind: of `CHARTS`.
        rows: values of its columns.
        account: under which our definitions are published; None for W&B's ready charts.
        texts: "title" above the chart, and titles of the axes by their names in the definition.
    """
    chart = CHARTS[kind]
    name, fields = reference(kind, account)
    if account is None:
        texts = {"title": texts["title"]} | {theirs: texts[ours] for theirs, ours in chart.texts.items()}
    table = wandb.Table(columns=list(chart.columns), data=rows, allow_mixed_types=True)
    return wandb.plot_table(name, table, fields, dict(texts))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m smash_lightning.report.chart ACCOUNT")
    try:
        print("\n".join(publish(sys.argv[1])))
    except (wandb.Error, wandb.errors.CommError) as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")
