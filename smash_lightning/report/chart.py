"""The chart of score against truth on Weights & Biases: our own definition, over a table that the run logs.

W&B's ready scatter has neither error bars nor colours nor a line. W&B draws a definition of one's own only if it was
published under an account, so this is done once and by hand:

    python -m smash_lightning.report.chart ENTITY

It prints the name under which runs, offline ones too, can then ask for it. Without that they use the ready scatter,
which needs no account.
"""

from __future__ import annotations

import sys
from typing import Any

import wandb

from smash_lightning.report.figure_style import BLUE, GREEN, ORANGE, PURPLE

READY = "wandb/scatter/v0"  # W&B's own; its fields are x and y
NAME = "smash-score-against-truth"
COLUMNS = ("fingerprint", "score", "truth", "standard_error", "arm")

_SCORE, _TRUTH, _ERROR, _ARM = (f"datum['${{field:{column}}}']" for column in COLUMNS[1:])
_X = {"field": "${field:score}", "type": "quantitative", "scale": {"zero": False}, "title": "${string:x}"}
_Y = {"field": "${field:truth}", "type": "quantitative", "scale": {"zero": False}, "title": "${string:y}"}
_COLOUR = {
    "field": "${field:arm}",
    "type": "nominal",
    "title": "trained as",
    "scale": {"range": [BLUE, ORANGE, GREEN, PURPLE]},
}
_TOOLTIP = [{"field": f"${{field:{column}}}", "title": column.replace("_", " ")} for column in COLUMNS]

# Vega-Lite; W&B fills in ${field:...} with a column of the table and ${string:...} with a text of the run.
DEFINITION: dict[str, Any] = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "description": "True loss against the score of SMASH, with standard errors and a least-squares line",
    "title": "${string:title}",
    "data": {"name": "wandb"},
    "transform": [
        {"calculate": f"{_TRUTH} - {_ERROR}", "as": "low"},
        {"calculate": f"{_TRUTH} + {_ERROR}", "as": "high"},
    ],
    "layer": [
        {
            "mark": {"type": "rule", "opacity": 0.6},
            "encoding": {"x": _X, "y": {**_Y, "field": "low"}, "y2": {"field": "high"}, "color": _COLOUR},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9},
            "encoding": {"x": _X, "y": _Y, "color": _COLOUR, "tooltip": _TOOLTIP},
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
}


def publish(entity: str) -> str:
    """Stores the definition under an account of W&B; returns its name there, such as "entity/name".

    Raises:
        wandb.Error: no connection, or the account does not allow it.
    """
    return wandb.Api().create_custom_chart(
        entity=entity,
        name=NAME,
        display_name="SMASH: score against truth",
        spec_type="vega2",
        access="private",
        spec=DEFINITION,
    )


def over_table(rows: list[list[Any]], chart: str, title: str, x: str, y: str) -> Any:
    """The chart over a logged table.

    Args:
        rows: values of `COLUMNS`.
        chart: `READY`, or what `publish` returned.
        title: above the chart.
        x: title of the score's axis, for a published chart.
        y: title of the truth's axis, for a published chart.
    """
    table = wandb.Table(columns=list(COLUMNS), data=rows, allow_mixed_types=True)
    if chart == READY:
        return wandb.plot_table(chart, table, {"x": "score", "y": "truth"}, {"title": title})
    return wandb.plot_table(chart, table, {column: column for column in COLUMNS}, {"title": title, "x": x, "y": y})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m smash_lightning.report.chart ENTITY")
    print(publish(sys.argv[1]))
