"""What a finished study shows in the loggers, and what an ordinary training shows there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.evaluation.bootstrap import Estimate
from smash_lightning.evaluation.comparison import PredictorComparison
from smash_lightning.evaluation.correlation import Correlation
from smash_lightning.evaluation.labels import label
from smash_lightning.evaluation.picture import score_name
from smash_lightning.evaluation.sample import SMASH_SCORE, join
from smash_lightning.evaluation.tables import Retrained, Scored
from smash_lightning.report.board import Training
from smash_lightning.report.tracker import Tracker, Value
from smash_lightning.stages.experiment import RunFolder
from smash_lightning.stages.shown import Looks

CONTEST = {  # columns of the contest's table by their names in `correlation.json`
    "spearman": "Spearman",
    "delta_spearman": "SMASH minus it",
    "given_params": "given parameters",
    "concordance": "equal size",
    "delta_tau_size_matched": "SMASH minus it, equal size",
    "regret": "regret, nats",
    "precision": "precision",
}
BEST = 3  # networks that are kept as an artifact


def track(
    source: RunFolder,
    folder: RunFolder,
    tracker: Tracker,
    scored: Sequence[Scored],
    retrained: Sequence[Retrained],
    correlation: Correlation,
    looks: Looks,
) -> None:
    """Hands the tracker all that stands in `report.html`, and the page itself.

    Args:
        source: the run that the tables are of.
        folder: where page and pictures are; the same run, or a later one.
        tracker: gets them.
        scored: the ranking, best first.
        retrained: the ordinary trainings.
        correlation: what the study found.
        looks: what is shown beside it.
    """
    tracker.table("architectures", [f.name for f in fields(Scored)], [list(asdict(s).values()) for s in scored])
    tracker.table("trainings", [f.name for f in fields(Retrained)], [list(asdict(r).values()) for r in retrained])
    tracker.gallery("drawings", looks.columns, looks.rows, looks.drawings)
    tracker.table("costs", *looks.costs)
    _scatters(tracker, scored, retrained)
    _contest(tracker, correlation)
    _settling(tracker, looks)
    for name in ("correlation.png", "baselines.png", "pareto.png", "architecture.svg", "settling.png"):
        if (folder.path / name).exists():
            tracker.image(name.replace(".", "_"), folder.path / name)
    tracker.page("report", folder.path / "report.html")
    tracker.summary(_figures(correlation) | looks.figures)
    made = [source.baselines, folder.path / "correlation.json", folder.path / "report.html"]
    made_from = [("ranking", source.path), ("retrained", source.path)]
    tracker.artifact("study", "study", [path for path in made if path.exists()], made_from)


def training(
    architecture: Architecture,
    image_spec: ImageSpec,
    record: Retrained,
    history: Sequence[tuple[Mapping[str, float], int]],
) -> Training:
    """One ordinary training, as a run of its own shows it."""
    size = cost(architecture, image_spec)
    config = {
        "fingerprint": record.fingerprint,
        "seed": record.seed,
        "arm": record.arm,
        "epochs": record.epochs,
        "params": size.params,
        "macs": size.macs,
        "ops": size.ops,
        "architecture": json.loads(architecture.to_json()),
    }
    summary = {"true_error": record.true_error, "true_loss": record.true_loss, "seconds": record.seconds}
    return Training(
        f"{record.fingerprint}-{record.seed}",
        config,
        history,
        summary | ({"failure": record.failure} if record.failure else {}),
        top="shortlist" in record.arm.split("+"),
        failed=bool(record.failure),
    )


def keep_best(folder: RunFolder, tracker: Tracker, retrained: Sequence[Retrained], source: RunFolder) -> None:
    """Hands the tracker the table of trainings and the networks with the lowest test losses."""
    done = sorted((row for row in retrained if not row.failure), key=lambda row: row.true_loss)
    networks = [path for row in done if (path := folder.network(row.fingerprint, row.seed)).exists()]
    tracker.artifact("retrained", "model", [folder.retrained, *networks[:BEST]], [("ranking", source.path)])


def _scatters(tracker: Tracker, scored: Sequence[Scored], retrained: Sequence[Retrained]) -> None:
    sample = join(scored, retrained)
    arms = {record.fingerprint: record.arm for record in retrained}
    for truth, unit, score, name in (
        ("true_loss", "nats", SMASH_SCORE, score_name(sample)),
        ("true_error", "%", "val_error", "validation error with generated weights, %"),
    ):
        tracker.scatter(
            f"{score}_against_{truth}",
            "SMASH score against truth",
            fingerprint=sample.fingerprints,
            score=sample.columns[score].tolist(),
            truth=sample.truth(truth).tolist(),
            standard_error=sample.standard_error(truth).tolist(),
            arm=[arms[fingerprint] for fingerprint in sample.fingerprints],
            x=name,
            y=f"truth: {truth}, {unit}",
        )


def _contest(tracker: Tracker, correlation: Correlation) -> None:
    contest, ceiling = correlation.contest, correlation.loss.reliability.ceiling
    tracker.table("baselines", *_contest_in_numbers(contest))
    for column, title in (("spearman", "Agreement with the true loss"), ("concordance", "The same at equal size")):
        found = {label(name): getattr(figures, column) for name, figures in contest.predictors.items()}
        if column == "spearman":
            found["noise ceiling"] = ceiling
        rows = [(name, one.value, one.low, one.high) for name, one in found.items() if one is not None]
        if rows:
            tracker.intervals(f"baselines_{column}", title, rows, CONTEST[column])


def _settling(tracker: Tracker, looks: Looks) -> None:
    tracker.table("settling", looks.settling[0], looks.settling[1])
    for hypernet in dict.fromkeys(row[0] for row in looks.settling[1]):
        points = [(name, epoch, place) for one, epoch, name, _, place in looks.settling[1] if one == hypernet]
        title = f"How the order of the held-out architectures settled, HyperNet {hypernet}"
        tracker.lines(f"ranks_hypernet{hypernet}", title, points, "epoch", "place by validation loss")


def _contest_in_numbers(contest: PredictorComparison) -> tuple[list[str], list[list[Value]]]:
    """Columns and rows: every estimate as value, low and high."""
    columns = ["predictor", *(f"{name}{end}" for name in CONTEST for end in ("", "_low", "_high"))]
    rows: list[list[Value]] = []
    for name, figures in contest.predictors.items():
        row: list[Value] = [name]
        for estimate in (getattr(figures, column) for column in CONTEST):
            row += [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
        rows.append([*row, figures.seconds, figures.training_seconds])
    return [*columns, "seconds", "training_seconds"], rows


def _figures(correlation: Correlation) -> dict[str, float]:
    loss, contest = correlation.loss, correlation.contest
    estimates: dict[str, Estimate | None] = {
        "spearman": loss.scores[SMASH_SCORE].spearman,
        "kendall": loss.scores[SMASH_SCORE].kendall,
        "pearson": loss.scores[SMASH_SCORE].pearson,
        "noise_ceiling": loss.reliability.ceiling,
        "spearman_given_params": loss.given_params,
        "spearman_given_sizes": loss.given_sizes,
        "spearman_above_goal": contest.above_goal,
        "concordance_at_equal_size": contest.predictors[SMASH_SCORE].concordance,
        "best_fifth_by_score": loss.best_fifth[SMASH_SCORE],
        "best_fifth_by_params": loss.best_fifth["params"],
    }
    for name, baseline in loss.sizes.items():
        estimates[f"spearman_{name}"] = baseline.coefficients.spearman
    figures = {"architectures_compared": float(correlation.architectures)}  # "architectures" is a table
    for name, estimate in estimates.items():
        if estimate is not None:
            figures |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: value for name, value in figures.items() if math.isfinite(value)}
