"""A workspace on Weights & Biases as code: made once for all runs of a project.

    python -m smash_lightning.report.dashboard --entity ACCOUNT --project smash_lightning [--dry-run]

saves a workspace, which needs a login; with --dry-run it prints it as JSON and needs none.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from smash_lightning.report.wandb_run import SCATTER, has_key

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


def workspace(entity: str, project: str) -> Any:
    """Sections of panels, and the runs grouped by search and job type."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    def line(metric: str, title: str) -> Any:
        return wr.LinePlot(title=title, metric_regex=f"^{metric}$", x="Step", title_x="step")

    scatter = wr.CustomChart(
        query={"summaryTable": {"tableKey": f"{SCATTER}_table"}},
        chart_name="wandb/scatter/v0",
        chart_fields={"x": "smash_score", "y": "true_error"},
        chart_strings={"title": "SMASH score and test error, %"},
    )
    numbers = [wr.ScalarChart(title=title, metric=wr.SummaryMetric(name)) for name, title in SUMMARY.items()]
    panels = {
        "Verdict": [*numbers, scatter, wr.MediaBrowser(media_keys=PICTURES, num_columns=2)],
        **{section: [line(*one) for one in some.items()] for section, some in LINES.items()},
        "Tables": [wr.WeavePanelSummaryTable(table_name=name) for name in TABLES],
    }
    sections = [ws.Section(name=name, panels=some, is_open=True) for name, some in panels.items()]
    runs = ws.RunsetSettings(groupby=[ws.Metric("Group"), ws.Metric("JobType")])
    return ws.Workspace(entity=entity, project=project, name="SMASH", sections=sections, runset_settings=runs)


def main(arguments: Sequence[str]) -> None:
    """Saves or prints it; a missing package or login ends the program."""
    parser = argparse.ArgumentParser(prog="python -m smash_lightning.report.dashboard", description=__doc__)
    parser.add_argument("--entity", required=True, help="user or team")
    parser.add_argument("--project", required=True)
    parser.add_argument("--dry-run", action="store_true", help="print it as JSON")
    given = parser.parse_args(arguments)
    try:
        made = workspace(given.entity, given.project)
    except ImportError:
        parser.error("it needs wandb-workspaces: install it with pip install 'smash-lightning[dashboards]'")
    if given.dry_run:
        print(json.dumps(asdict(made), indent=2))
        return
    if not has_key():
        parser.error("saving needs a login: run `wandb login`, or set WANDB_API_KEY; --dry-run needs neither")
    made.save()
    print(made.url)


if __name__ == "__main__":
    main(sys.argv[1:])
