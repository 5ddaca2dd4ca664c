"""Charts and workspace on Weights & Biases as code: made once for all runs of a project.

    python -m smash_lightning.report.dashboard --entity ACCOUNT --project smash_lightning [--charts FOLDER] [--dry-run]

publishes the charts of the finished run in FOLDER (later runs draw them with `logger.wandb.charts=ACCOUNT`) and saves a
workspace, which needs a login; with --dry-run it prints both as JSON and needs none.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import wandb

from smash_lightning.report.build import read_charts
from smash_lightning.report.style import specification
from smash_lightning.report.wandb_run import has_key

LINES = {  # metrics as the stages log them
    "HyperNets": {
        "hypernet[0-9]+/loss": "Training loss, nats",
        "hypernet[0-9]+/error": "Training error, %",
        "hypernet[0-9]+/fixed_val_loss": "Validation loss of held-out architectures, mean",
        "hypernet[0-9]+/images_per_second": "Throughput, images a second",
        "hypernet[0-9]+/gradient_norm": "Gradient norm",
    },
    "Ranking": {
        "ranking/val_loss": "Validation loss with generated weights, nats",
        "ranking/ensemble_error": "Error of the ensemble so far, %",
    },
    "Standalone trainings": {"retrained/true_loss": "Test loss, nats", "retrained/true_error": "Test error, %"},
}
SUMMARY = {"spearman": "Spearman of score and test loss", "noise_ceiling": "Noise ceiling"}
PICTURES = ["report_html", "correlation_png", "baselines_png", "pareto_png", "settling_png", "architecture_svg"]
TABLES = ["ranking", "retrained", "baselines", "settling"]


def chart_name(name: str) -> str:
    """A chart's name under an account."""
    return f"smash-{name}"


def split_specification(plain: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame]:
    """A specification that W&B draws over a logged table, without data, names and order of one run; and its data."""
    main = max(plain["datasets"], key=lambda name: len(plain["datasets"][name]))  # the frame that it was made from

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            if value == {"name": main}:
                return {"name": "wandb"}
            kept = {key: changed(one) for key, one in value.items() if key not in ("domain", "datasets")}
            return {key: one for key, one in kept.items() if not (key == "sort" and isinstance(one, list))}
        return [changed(one) for one in value] if isinstance(value, list) else value

    others = {name: rows for name, rows in plain["datasets"].items() if name != main}
    generic = changed(plain) | {"title": "${string:title}", "datasets": others}
    return generic, pd.DataFrame(plain["datasets"][main])


def workspace(entity: str, project: str, charts: Sequence[str] = ()) -> Any:
    """Sections of panels, and the runs grouped by search and job type; `charts` are published under the account."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    def chart(name: str) -> Any:
        query = {"summaryTable": {"tableKey": f"{name}_chart_table"}}
        return wr.CustomChart(query=query, chart_name=f"{entity}/{chart_name(name)}", chart_strings={"title": name})

    def line(metric: str, title: str) -> Any:
        return wr.LinePlot(title=title, metric_regex=f"^{metric}$", x="Step", title_x="step")

    numbers = [wr.ScalarChart(title=title, metric=wr.SummaryMetric(name)) for name, title in SUMMARY.items()]
    panels = {
        "Verdict": [*numbers, *map(chart, charts), wr.MediaBrowser(media_keys=PICTURES, num_columns=2)],
        **{section: [line(*one) for one in some.items()] for section, some in LINES.items()},
        "Tables": [wr.WeavePanelSummaryTable(table_name=name) for name in TABLES],
    }
    sections = [ws.Section(name=name, panels=some, is_open=True) for name, some in panels.items()]
    runs = ws.RunsetSettings(groupby=[ws.Metric("Group"), ws.Metric("JobType")])
    return ws.Workspace(entity=entity, project=project, name="SMASH", sections=sections, runset_settings=runs)


def main(arguments: Sequence[str]) -> None:
    """Publishes and saves, or prints; a missing package or login ends the program."""
    parser = argparse.ArgumentParser(prog="python -m smash_lightning.report.dashboard", description=__doc__)
    parser.add_argument("--entity", required=True, help="user or team")
    parser.add_argument("--project", required=True)
    parser.add_argument("--charts", type=Path, help="folder of a finished run, whose charts are published")
    parser.add_argument("--dry-run", action="store_true", help="print both as JSON")
    given = parser.parse_args(arguments)
    found = {} if given.charts is None else read_charts(given.charts)
    charts = {name: split_specification(specification(chart))[0] for name, chart in found.items()}
    try:
        made = workspace(given.entity, given.project, list(charts))
    except ImportError:
        parser.error("it needs wandb-workspaces: install it with pip install 'smash-lightning[dashboards]'")
    if given.dry_run:
        print(json.dumps({"charts": charts, "workspace": asdict(made)}, indent=2))
        return
    if not has_key():
        parser.error("saving needs a login: run `wandb login`, or set WANDB_API_KEY; --dry-run needs neither")
    for name, plain in charts.items():
        own = {"entity": given.entity, "name": chart_name(name), "display_name": f"SMASH: {name}", "spec": plain}
        print(wandb.Api().create_custom_chart(**own, spec_type="vega2", access="private"))
    made.save()
    print(made.url)


if __name__ == "__main__":
    main(sys.argv[1:])
