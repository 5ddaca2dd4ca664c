"""Builds pictures and page of a run from the files of its folder, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from smash_lightning.files import atomic_write
from smash_lightning.report import figures, frames
from smash_lightning.report.console import agreement_rows, summary
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.labels import cost_text, count, duration, estimate_text, label, listed, omitted_text
from smash_lightning.report.page import Figure, Section, Table, render
from smash_lightning.report.run_data import RunData, read_run
from smash_lightning.report.style import Chart, save
from smash_lightning.report.verdict import best_fraction, next_steps, sentences

SHOWN = 20  # rows of the ranking that the page shows unfolded
DRAWN = 5  # of the best architectures, in full
ROWS = 2_000  # of a folded table; the files hold all
DRAWINGS = 20_000_000  # characters of the drawings that appear at points, before they are compressed
PREDICTORS = {
    "spearman": "Spearman",
    "delta_spearman": "SMASH minus it",
    "partial_spearman": "given parameters",
    "size_matched_tau": "tau, size-matched",
    "delta_tau_size_matched": "SMASH minus it, size-matched",
    "regret": "regret, nats",
    "precision": "precision",
}
"""Columns of a predictor in correlation.json, and their headings."""


def build(folder: Path) -> list[Path]:
    """Writes the pictures of a run and report.html into its folder; settling.png needs settling.csv.

    Returns:
        What was written.

    Raises:
        ValueError: a file that is needed is missing, or the run is of an earlier version.
    """
    run = read_run(folder)
    table = frames.architectures(run)
    charts = run_charts(run, table)
    written = []
    for name, chart in charts.items():
        save(chart, folder / f"{name}.png")
        written.append(folder / f"{name}.png")
    page = render(f"SMASH on {run.data.get('name', folder.name)}", _sections(run, table, charts), _points(run, table))
    best = run.ranking["fingerprint"].iloc[0]
    title = f"The best of {len(run.ranking)} architectures by score: {best}"
    drawing = architecture_svg(run.architectures[best], run.image_spec, title)
    for name, text in (("architecture.svg", drawing), ("report.html", page)):
        with atomic_write(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def read_charts(folder: Path) -> dict[str, Chart]:
    """The charts of the run in a folder, by name; raises as `build`."""
    run = read_run(folder)
    return run_charts(run, frames.architectures(run))


def run_charts(run: RunData, table: pd.DataFrame) -> dict[str, Chart]:
    """The charts of a run by name; `settling` only where a HyperNet was followed."""
    charts = {"correlation": _scatter(run, table), "baselines": _forest(run), "pareto": _pareto(table)}
    if len(run.settling) and (found := frames.settling_frames(run.settling, int(run.settling["hypernet"].min()))):
        note = "Held-out architectures, scored by the first HyperNet while it was trained. Band: 95 %."
        charts["settling"] = figures.settling(
            *found, title="Losses and their order while a HyperNet is trained", note=note
        )
    return charts


def _scatter(run: RunData, table: pd.DataFrame) -> Chart:
    points = frames.scatter_frame(table)
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
        details=frames.DETAILS,
        line=frames.fitted_line(points, run.correlation["seed"]),
    )


def _forest(run: RunData) -> Chart:
    comparison, ceiling = run.correlation["comparison"], run.correlation["loss"]["reliability"].get("ceiling")
    panels = (
        f"Spearman's rho, all {comparison['architectures']} architectures",
        f"Kendall's tau, {comparison['pairs']:,} pairs within {comparison['band']:.0%} in size",
    )
    return figures.forest(
        frames.predictor_frame(comparison, panels),
        x="agreement with the test loss",
        title="Predictors of the test loss",
        note="Bars: 95 % intervals. "
        + ("" if ceiling is None else "Green: noise ceiling, the limit of any predictor."),
        ceiling=None if ceiling is None else pd.DataFrame([{end: ceiling[end] for end in ("value", "low", "high")}]),
        details={"cost": "cost of each + once"},
    )


def _pareto(table: pd.DataFrame) -> Chart:
    return figures.pareto(
        table[[column for column in frames.DETAILS if column in table]].assign(y=table["smash_score"]),
        x={"params": "parameters", "macs": "multiply-accumulates"},
        y="SMASH score (lower is better)",
        title="Score against cost",
        details=frames.DETAILS,
    )


def _points(run: RunData, table: pd.DataFrame) -> dict[str, str]:
    """Small drawings of the architectures in the charts, the trained ones first."""
    order = [*table.loc[table["seeds"].gt(0), "fingerprint"], *table["fingerprint"]]
    drawings, size = {}, 0
    for name in dict.fromkeys(order):
        if size < DRAWINGS and name in run.architectures:
            drawings[name] = architecture_svg(run.architectures[name], run.image_spec, name, legend=False)
            size += len(drawings[name])
    return drawings


def _sections(run: RunData, table: pd.DataFrame, charts: Mapping[str, Chart]) -> list[Section]:
    sections = [_summary(run, table, charts), _baselines(run, charts), _coefficients(run), _best(run, table)]
    if "settling" in charts:
        alt = "Validation losses of held-out architectures by epoch, and the agreement of their order with the last one"
        figure = Figure("settling", charts["settling"], alt)
        sections.append(Section("Did the order of the scores converge?", figures=[figure]))
    figure = Figure("pareto", charts["pareto"], "Score of every architecture against its parameters and MACs")
    return [
        *sections,
        Section("What does a better score cost?", figures=[figure]),
        Section("Architectures", tables=[_ranking(table[:SHOWN], "The best by score"), _ranking(table, "All", True)]),
        Section("Standalone trainings", tables=[_folded("All", run.retrained)]),
        Section("What it cost", tables=[_costs(run)]),
        Section(
            "How it was run",
            _circumstances(run),
            texts=[("Configuration", yaml.safe_dump(dict(run.config), sort_keys=False))],
        ),
    ]


def _summary(run: RunData, table: pd.DataFrame, charts: Mapping[str, Chart]) -> Section:
    correlation = run.correlation
    trained = table[table["chosen"].isin(frames.CHOSEN[1:3])].sort_values("true_loss")
    untrained = table.loc[table["seeds"].isna(), "fingerprint"]
    caption = (
        "Each point is an architecture; the bars are standard errors over seeds. The sample was drawn without regard "
        "to the score, the shortlist by it. A click on a group in the legend hides it."
    )
    counts = correlation["counts"]
    facts = [
        ("Spearman of score and test loss", estimate_text(correlation["loss"]["scores"]["smash_score"]["spearman"])),
        ("noise ceiling", estimate_text(correlation["loss"]["reliability"].get("ceiling"))),
        ("architectures scored", f"{len(run.ranking):,}"),
        ("trained standalone", f"{counts['architectures']} ({count(counts['trainings'], 'training')})"),
    ]
    return Section(
        "Does the score predict what training gives?",
        sentences(correlation),
        next_steps(correlation, untrained[:3].tolist(), None if trained.empty else trained["fingerprint"].iloc[0]),
        figures=[Figure("correlation", charts["correlation"], "SMASH score against mean test loss", caption)],
        facts=facts,
    )


def _baselines(run: RunData, charts: Mapping[str, Chart]) -> Section:
    comparison = run.correlation["comparison"]
    rows = []
    for name, one in comparison["predictors"].items():
        row: dict[str, Any] = {"predictor": label(name)}
        for column, heading in PREDICTORS.items():
            empty = name == "smash_score" and column.startswith("delta")
            row[heading] = "" if empty else estimate_text(one[column], 4 if column == "regret" else 2)
        rows.append(row | {"cost of each + once": cost_text(one["seconds"], one["training_seconds"])})
    explained = (
        "Differences are paired; the strongest of many baselines owes a part of its lead to noise. Size-matched: "
        f"Kendall's tau-b over pairs of architectures whose parameters differ by at most {comparison['band']:.0%}. "
        "Regret: mean test loss of the fifth that a predictor selects minus that of the true best fifth. Precision: "
        f"share of its fifth that is in the true one. {omitted_text(comparison['omitted'])}"
    )
    caption = f"The same in numbers over {comparison['architectures']} architectures, with 95 % bootstrap intervals"
    figure = Figure("baselines", charts["baselines"], "Agreement of the score and of every baseline with the test loss")
    return Section(
        "Does a baseline predict better?",
        [explained.rstrip()],
        figures=[figure],
        tables=[Table(caption, pd.DataFrame(rows))],
    )


def _coefficients(run: RunData) -> Section:
    rows = []
    for measure, agreement in (("test loss", run.correlation["loss"]), ("test error", run.correlation["error"])):
        sizes = {name: one["coefficients"] for name, one in agreement["sizes"].items()}
        three = {label(name): one for name, one in (agreement["scores"] | sizes).items()}
        others = {name: {"spearman": one} for name, one in agreement_rows(agreement).items() if name not in three}
        for name, one in (three | others).items():
            cells = {
                kind.capitalize(): estimate_text(one[kind]) if kind in one else ""
                for kind in ("spearman", "kendall", "pearson")
            }
            rows.append({"ground truth": measure, "predictor": name} | cells)
    caption = f"Agreement with the ground truth over {run.correlation['architectures']} architectures, 95 % intervals"
    texts = [("As printed to the terminal", summary(run.correlation))]
    return Section(
        "In numbers", [best_fraction(run.correlation)], tables=[Table(caption, pd.DataFrame(rows))], texts=texts
    )


def _best(run: RunData, table: pd.DataFrame) -> Section:
    drawings = []
    for row in table[:DRAWN].to_dict("records"):
        name = row["fingerprint"]
        text = f"{name} ({row['strategy']}): score {row['smash_score']:.4g}, {row['params']:,} parameters"
        text += "" if math.isnan(row["true_loss"]) else f", test loss {row['true_loss']:.4g} nats"
        drawings.append((text, architecture_svg(run.architectures[name], run.image_spec, name)))
    return Section("The best architectures by score", drawings=drawings)


def _ranking(table: pd.DataFrame, caption: str, folded: bool = False) -> Table:
    columns = [column for column in frames.DETAILS if column in table]
    shown = table[columns].astype({"chosen": str}).rename(columns=frames.DETAILS)
    return _folded(caption, shown) if folded else Table(caption, shown)


def _folded(caption: str, frame: pd.DataFrame) -> Table:
    part = f", the first {ROWS:,} of them" if len(frame) > ROWS else ""
    return Table(f"{caption} {len(frame):,}{part}", frame[:ROWS], folded=True)


def _costs(run: RunData) -> Table:
    hypernets = run.correlation["comparison"]["predictors"]["smash_score"]["training_seconds"]
    scored = int(run.ranking.columns.str.startswith("val_loss_").sum())
    stages: list[tuple[str, int, float]] = [("scores", len(run.ranking), float(run.ranking["seconds"].sum()))]
    stages.append(("standalone trainings", len(run.retrained), float(run.retrained["seconds"].sum())))
    if hypernets is not None:
        stages.insert(0, ("HyperNets", scored, hypernets))
    rows = [
        {"stage": stage, "number": number, "each": duration(seconds / max(number, 1)), "in all": duration(seconds)}
        for stage, number, seconds in stages
    ]
    return Table("Elapsed time, added up over processes", pd.DataFrame(rows))


def _circumstances(run: RunData) -> list[str]:
    data, paragraphs = run.data, []
    if data:
        unit = "pixels" if len(data["size"]) == 2 else "voxels"
        views = f", averaged over {data['views']} views" if data["views"] > 1 else ""
        paragraphs.append(
            f"{data['name']}: {data['train']:,} training, {data['validation']:,} validation and {data['test']:,} test "
            f"images of {' x '.join(map(str, data['size']))} {unit}, {count(len(data['classes']), 'class')} "
            f"({listed(data['classes'])}). Scores come from the validation images, ground truth from the test images"
            f"{views}. {' '.join(data['notes'])}".rstrip()
        )
    if run.config:
        names = ("search.hypernets", "search.epochs", "retrain.epochs", "retrain.seeds", "seed")
        hypernets, epochs, retrain, seeds, seed = (run.option(name, 0) for name in names)
        extra = ", validation images included" if run.option("retrain.use_validation") else ""
        paragraphs.append(
            f"{count(hypernets, 'HyperNet')} of {count(epochs, 'epoch')}; standalone trainings of "
            f"{count(retrain, 'epoch')} with {count(seeds, 'seed')} each{extra}. Seed {seed}."
        )
    return paragraphs
