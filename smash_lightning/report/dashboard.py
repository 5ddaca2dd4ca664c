"""Workspace and report on Weights & Biases as code: the panels of a project, made once for all of its runs.

    python -m smash_lightning.report.dashboard --entity ACCOUNT --project smash_lightning [--charts ACCOUNT] [--dry-run]

saves both under an account, which needs a login; with --dry-run it prints what it would save, as JSON, and needs none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from smash_lightning.report.chart import reference
from smash_lightning.report.wandb_mode import has_key
from smash_lightning.report.wandb_trainings import JOB_TYPE

NAME = "SMASH"
MISSING = "the dashboard needs the package wandb-workspaces: install it with pip install 'smash-lightning[dashboards]'"
# Names as the tasks log them.
SCATTERS = {
    "key_against_true_loss": "Score against the true loss",
    "smash_score_against_true_error": "Validation error with generated weights against the true error",
}
INTERVALS = {
    "baselines_spearman": "Agreement of every predictor with the true loss",
    "baselines_concordance": "The same between architectures of nearly equal size",
}
HYPERNETS = {
    "loss": "Training loss, nats",
    "error": "Training error, %",
    "fixed_val_loss": "Validation loss of held-out architectures, mean",
    "images_per_second": "Throughput, images a second",
    "gradient_norm": "Gradient norm",
}
RANKING = {
    "val_loss": "Validation loss with generated weights, nats",
    "ensemble_error": "Error of the ensemble so far, %",
}
SUMMARY = {
    "spearman": "Spearman of score and true loss",
    "noise_ceiling": "Noise ceiling",
    "ensemble_error": "Error of the ensemble, %",
    "images_per_second_HyperNets": "HyperNets: images a second",
}
PICTURES = ["correlation_png", "baselines_png", "pareto_png", "settling_png", "architecture_svg", "report"]
TABLES = ["drawings", "architectures", "trainings", "baselines", "settling", "costs"]


def panels(charts: str | None) -> dict[str, list[Any]]:
    """The panels by section.

    Args:
        charts: account under which our charts are published; None for W&B's ready ones.
    """
    import wandb_workspaces.reports.v2 as wr

    def over(name: str, kind: str, **texts: str) -> Any:
        chart, fields = reference(kind, charts)
        query = {"summaryTable": {"tableKey": f"{name}_table"}}
        return wr.CustomChart(query=query, chart_name=chart, chart_fields=fields, chart_strings=texts)

    def line(prefix: str, name: str, title: str) -> Any:
        regex = f"^{prefix}/{name}$"
        return wr.LinePlot(title=title, metric_regex=regex, x="Step", title_x="step")

    return {
        "May this score be believed?": [
            *(wr.ScalarChart(title=title, metric=wr.SummaryMetric(name)) for name, title in SUMMARY.items()),
            *(over(name, "scatter", title=title, x="score", y="truth") for name, title in SCATTERS.items()),
            *(over(name, "intervals", title=title, x="agreement") for name, title in INTERVALS.items()),
            wr.MediaBrowser(media_keys=PICTURES, num_columns=2),
        ],
        "HyperNets": [line("hypernet[0-9]+", name, title) for name, title in HYPERNETS.items()]
        + [over("ranks_hypernet0", "lines", title="How the order settled, first HyperNet", x="epoch", y="place")],
        "Ranking": [line("ranking", name, title) for name, title in RANKING.items()],
        "Ordinary trainings": [
            wr.LinePlot(title="Training loss, mean of an epoch", x="step", y=["epoch_loss"], groupby="config.arm"),
            wr.ScatterPlot(title="True loss by size", x=wr.Config("params"), y=wr.SummaryMetric("true_loss")),
        ],
        "Tables": [wr.WeavePanelSummaryTable(table_name=name) for name in TABLES],
    }


def workspace(entity: str, project: str, charts: str | None = None) -> Any:
    """The workspace: sections of panels beside the runs, which are grouped by search and by what they do."""
    import wandb_workspaces.workspaces as ws

    sections = [ws.Section(name=name, panels=some, is_open=True) for name, some in panels(charts).items()]
    runs = ws.RunsetSettings(groupby=[ws.Metric("Group"), ws.Metric("JobType")])
    return ws.Workspace(entity=entity, project=project, name=NAME, sections=sections, runset_settings=runs)


def report(entity: str, project: str, charts: str | None = None) -> Any:
    """The report: the same panels under headings, of searches and of ordinary trainings apart."""
    import wandb_workspaces.reports.v2 as wr

    searches = wr.Runset(entity, project, name="searches", filters=f"JobType != '{JOB_TYPE}'")
    trainings = wr.Runset(entity, project, name="ordinary trainings", filters=f"JobType = '{JOB_TYPE}'")
    blocks: list[Any] = [wr.TableOfContents()]
    for name, some in panels(charts).items():
        runs = trainings if name == "Ordinary trainings" else searches
        blocks += [wr.H1(name), wr.PanelGrid(runsets=[runs], panels=some)]
    text = "Scores with generated weights against what ordinary training makes of the same architectures."
    return wr.Report(project=project, entity=entity, title=NAME, description=text, blocks=blocks, width="fluid")


def plain(made: Any) -> Any:
    """A workspace, a report or a part of them in plain values: its kind and what was said about it."""
    if is_dataclass(made):
        said = {
            field.name: plain(getattr(made, field.name)) for field in fields(made) if not field.name.startswith("_")
        }
        return {"kind": type(made).__name__} | {
            name: value for name, value in said.items() if value not in (None, "", [], {})
        }
    if isinstance(made, list | tuple):
        return [plain(one) for one in made]
    if isinstance(made, dict):
        return {str(name): plain(value) for name, value in made.items()}
    return made


def main(arguments: Sequence[str]) -> None:
    """Saves both, or prints them.

    Raises:
        SystemExit: a package, a login or the connection is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m smash_lightning.report.dashboard", description=__doc__)
    parser.add_argument("--entity", required=True, help="user or team")
    parser.add_argument("--project", required=True)
    parser.add_argument("--charts", help="account under which smash_lightning.report.chart published our charts")
    parser.add_argument("--dry-run", action="store_true", help="print both as JSON")
    given = parser.parse_args(arguments)
    try:
        made = {make.__name__: make(given.entity, given.project, given.charts) for make in (workspace, report)}
    except ImportError:
        sys.exit(f"error: {MISSING}")
    if given.dry_run:
        print(json.dumps(plain(made), indent=2))
        return
    if not has_key():
        sys.exit("error: saving needs a login: run `wandb login`, or set WANDB_API_KEY; --dry-run needs neither")
    for name, one in made.items():
        try:
            one.save()
        except Exception as error:  # of many libraries: of the network, of GraphQL, of W&B
            sys.exit(f"error: the {name} could not be saved: {' '.join(str(error).split())}")
        print(one.url)


if __name__ == "__main__":
    main(sys.argv[1:])
