"""Builds pictures and page of a run from the files of its folder, and from nothing else."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from smash_lightning.files import write_text
from smash_lightning.report import figures, run_data
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.labels import count, duration, estimate_text
from smash_lightning.report.networks import comparison, trained_networks
from smash_lightning.report.page import render
from smash_lightning.report.run_data import DETAILS, RunData, read_run
from smash_lightning.report.style import Chart, save, specification
from smash_lightning.report.verdict import agreement, calibrated, next_steps, predictors

DRAWN = 5  # of the best architectures, in full
DRAWINGS = 20_000_000  # characters of the drawings that appear at points, before they are compressed


def build(folder: Path) -> None:
    """Writes the pictures of a run (see `run_charts`) and report.html into its folder.

    Raises:
        ValueError: a file that is needed is missing, or the run is of an earlier version.
    """
    run = read_run(folder)
    table = run_data.architectures(run)
    charts = {name: specification(chart) for name, chart in run_charts(run, table).items()}
    for name, chart in charts.items():
        save(chart, folder / f"{name}.png")
    best = run.ranking["fingerprint"].iloc[0]
    title = f"The best of {len(run.ranking)} architectures by score: {best}"
    texts = {
        "architecture.svg": architecture_svg(run.architectures[best], run.image_spec, title),
        "report.html": _page(run, table, charts, run.data["name"]),
    }
    for name, text in texts.items():
        write_text(folder / name, text)


def run_charts(run: RunData, table: pd.DataFrame) -> dict[str, Chart]:
    """The charts by name; `settling` where architectures were held out, `trained` where a preset was trained."""
    charts = {"correlation": _scatter(run, table), "baselines": _forest(run)}
    costs, y = {"params": "parameters", "macs": "multiply-accumulates"}, "SMASH score (lower is better)"
    scored = table[list(DETAILS)].assign(y=table["smash_score"], preset=table["preset"].gt(0))
    charts["pareto"] = figures.pareto(scored, x=costs, y=y, title="Score against cost", details=DETAILS)
    if run.retrained["preset"].any():
        trained = trained_networks(run, table)
        points = trained[list(DETAILS)].assign(y=trained["true_loss"], preset=trained["preset"].gt(0))
        y, title = "mean test loss (nats)", "Test loss against cost"
        charts["trained"] = figures.pareto(points, x=costs, y=y, title=title, details=DETAILS)
    if found := run_data.settling_frames(run.settling):
        note = "Held-out architectures, scored by the first HyperNet while it was trained. Band: 95 %."
        title = "Losses and their order while a HyperNet is trained"
        charts["settling"] = figures.settling(*found, title=title, note=note)
    return charts


def _scatter(run: RunData, table: pd.DataFrame) -> Chart:
    points = run_data.scatter_frame(table)
    loss, seeds = run.correlation["loss"], points["seeds"].max()
    rho, ceiling = loss["scores"]["smash_score"]["spearman"], loss["reliability"].get("ceiling")
    same = points["x"].eq(table.loc[points.index, "val_loss"]).all()
    return figures.scatter(
        points,
        x="validation loss with generated weights (nats)" if same else "SMASH score (lower is better)",
        y=f"test loss after training (nats), {f'mean of {seeds:.0f} seeds ± s.e.' if seeds > 1 else 'one seed'}",
        title=f"Spearman's rho {estimate_text(rho)} over the {run.correlation['architectures']} of the sample",
        note=f"Noise ceiling {estimate_text(ceiling)}. Line and band: least squares over the sample, 95 %.",
        legend="trained as",
        details=DETAILS,
        line=run_data.fitted_line(points, run.correlation["seed"]),
    )


def _forest(run: RunData) -> Chart:
    comparison, ceiling = run.correlation["comparison"], run.correlation["loss"]["reliability"].get("ceiling")
    panels = (
        f"Spearman's rho, all {comparison['architectures']} architectures",
        f"Kendall's tau, {count(comparison['pairs'], 'pair')} within {comparison['band']:.0%} in size",
    )
    note = "" if ceiling is None else "Green: noise ceiling, the limit of any predictor."
    return figures.forest(
        run_data.predictor_frame(run.correlation, panels),
        x="agreement with the test loss",
        title="Predictors of the test loss",
        note=f"Bars: 95 % intervals. {note}",
        ceiling=ceiling,
    )


def _page(run: RunData, table: pd.DataFrame, charts: Mapping[str, Any], name: str) -> str:
    trained = table[table["chosen"].isin(run_data.CHOSEN[1:3])].sort_values("true_loss")["fingerprint"]
    calibration = run.correlation.get("calibration")
    better = calibration and calibration["compared_with_loss"] == "better"
    ordered = table.sort_values("predicted_loss") if better else table
    untrained = ordered[ordered["seeds"].isna()]["fingerprint"]
    best = [
        (row, architecture_svg(run.architectures[row["fingerprint"]], run.image_spec, row["fingerprint"]))
        for row in table[:DRAWN].to_dict("records")
    ]
    return render(
        "report.html.jinja",
        f"SMASH on {name}",
        charts,
        _drawings(run, table),
        correlation=run.correlation,
        steps=next_steps(run.correlation, untrained[:3].tolist(), None if trained.empty else trained.iloc[0]),
        predictors=predictors(run.correlation["comparison"]),
        agreement=agreement(run.correlation),
        calibrated=calibrated(calibration) if calibration and calibration["spearman"] else None,
        best=best,
        ranking=table[list(DETAILS)].rename(columns=DETAILS),
        retrained=run.retrained,
        networks=comparison(run, trained_networks(run, table)),
        costs=_costs(run),
        data=run.data,
        config=run.config,
        configuration=yaml.safe_dump(dict(run.config), sort_keys=False),
    )


def _drawings(run: RunData, table: pd.DataFrame) -> dict[str, str]:
    """Small drawings of the architectures in the charts, the trained ones first."""
    drawings, size = {}, 0
    ranked = table.sort_values("seeds", kind="stable")["fingerprint"]
    given = run.retrained["fingerprint"][run.retrained["preset"] == 1]
    for name in dict.fromkeys([*given[given.isin(run.architectures)], *ranked]):
        if size < DRAWINGS:
            drawings[name] = architecture_svg(run.architectures[name], run.image_spec, name, legend=False)
            size += len(drawings[name])
    return drawings


def _costs(run: RunData) -> pd.DataFrame:
    hypernets = run.correlation["comparison"]["predictors"]["smash_score"]["training_seconds"]
    scored = int(run.ranking.columns.str.startswith("val_loss_").sum())
    stages = [
        ("HyperNets", scored, math.nan if hypernets is None else hypernets),
        ("scores", len(run.ranking), run.ranking["seconds"].sum()),
        ("standalone trainings", len(run.retrained), run.retrained["seconds"].sum()),
    ]
    rows = [
        {"stage": stage, "number": number, "each": duration(seconds / max(number, 1)), "in all": duration(seconds)}
        for stage, number, seconds in stages
    ]
    return pd.DataFrame(rows)
