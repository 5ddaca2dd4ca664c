"""What a finished study shows: the pictures, one page that holds all of it, and the same in the loggers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np

from smash_lightning.architecture import Skeleton
from smash_lightning.dataset.decode import listed
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.page import Drawing, Facts, Paragraphs, Picture, Preformatted, Section, Table, report_page
from smash_lightning.report.plots import settling_figure
from smash_lightning.report.tracker import Tracker
from smash_lightning.study.bootstrap import Estimate
from smash_lightning.study.correlation import Correlation
from smash_lightning.study.picture import picture
from smash_lightning.study.records import Retrained, Scored
from smash_lightning.study.sample import join
from smash_lightning.study.summary import summary
from smash_lightning.study.verdict import figure
from smash_lightning.tasks.experiment import Experiment, RunFolder
from smash_lightning.tasks.search import settling
from smash_lightning.training import RetrainOptions

SHOWN = 20  # rows of the ranking that a page shows unfolded
CLASSES = 12  # names of classes that a page lists
SETTLING = "How the scores settled"


def show(
    experiment: Experiment,
    tracker: Tracker,
    scored: Sequence[Scored],
    retrained: Sequence[Retrained],
    correlation: Correlation,
) -> None:
    """Writes `correlation.png`, `architecture.svg`, `settling.png` and `report.html`, and hands all to the tracker."""
    folder, source = experiment.folder, experiment.source_folder()
    picture(scored, retrained, correlation).savefig(folder.path / "correlation.png")
    best = source.read_architectures()[scored[0].fingerprint]
    title = f"The best of {len(scored)} architectures by score: {scored[0].fingerprint}"
    drawing = architecture_svg(best, experiment.data.skeleton, title)
    (folder.path / "architecture.svg").write_text(drawing)
    _write_settling(source, folder)
    page = _page(experiment, scored, retrained, correlation, drawing)
    (folder.path / "report.html").write_text(page)
    _track(folder, tracker, scored, retrained, correlation)


def _write_settling(source: RunFolder, folder: RunFolder) -> None:
    paths = source.hypernets()
    history = settling(paths[0]) if paths else []
    if history:
        epochs, losses = zip(*history, strict=True)
        settling_figure(epochs, np.array(losses)).savefig(folder.path / "settling.png")


def _page(
    experiment: Experiment,
    scored: Sequence[Scored],
    retrained: Sequence[Retrained],
    correlation: Correlation,
    drawing: str,
) -> str:
    folder, data = experiment.folder.path, experiment.data
    loss = correlation.loss
    facts = Facts(
        (
            ("Spearman of score and test loss", figure(loss.scores["val_loss"].spearman)),
            ("noise ceiling", figure(loss.reliability.ceiling)),
            ("architectures scored", str(len(scored))),
            ("trained normally", f"{correlation.counts.architectures}, {correlation.counts.trainings} trainings"),
        )
    )
    chart = Picture(
        (folder / "correlation.png").read_bytes(),
        "Score with generated weights against mean test loss, with the correlation of score and of simple baselines",
        "Each point is an architecture; bars are standard errors over seeds. Right: Spearman with 95 % intervals, and "
        "in green the noise ceiling, which no predictor can pass but by chance.",
    )
    sections = [
        Section("May this score be believed?", (Paragraphs(correlation.verdict.sentences), facts, chart)),
        Section(
            "In figures", (_coefficients(correlation), Preformatted(summary(correlation), "As printed", folded=True))
        ),
        Section("The best architecture by score", (Drawing(drawing, "Memory-bank diagram of the best architecture"),)),
    ]
    if (folder / "settling.png").exists():
        caption = "Held-out architectures, scored with the first HyperNet while it trained."
        settled = Picture((folder / "settling.png").read_bytes(), SETTLING, caption)
        sections.append(Section(SETTLING, (settled,)))
    sections += [
        Section("Architectures", (_ranking(scored[:SHOWN], "The best by score"), _ranking(scored, "All", folded=True))),
        Section("Ordinary trainings", (_trainings(retrained),)),
        Section("How it was run", (_setting(experiment), _configuration(experiment))),
    ]
    return report_page(f"SMASH on {data.name}", sections)


def _coefficients(correlation: Correlation) -> Table:
    rows = []
    for truth, comparison in (("test loss", correlation.loss), ("test error", correlation.error)):
        named = {"SMASH, validation loss": comparison.scores["val_loss"]}
        named["SMASH, validation error"] = comparison.scores["smash_score"]
        for name, label in (("params", "parameters"), ("macs", "MACs"), ("ops", "number of ops")):
            named[label] = comparison.baselines[name].coefficients
        for label, three in named.items():
            rows.append((truth, label, figure(three.spearman), figure(three.kendall), figure(three.pearson)))
        rows.append((truth, "SMASH given parameters", figure(comparison.given_params), "", ""))
        rows.append((truth, "SMASH given these sizes", figure(comparison.given_sizes), "", ""))
        rows.append((truth, "noise ceiling", figure(comparison.reliability.ceiling), "", ""))
    caption = f"Agreement with the truth over {correlation.architectures} architectures, with 95 % bootstrap intervals"
    return Table(("truth", "predictor", "Spearman", "Kendall", "Pearson"), tuple(rows), caption)


def _ranking(scored: Sequence[Scored], caption: str, *, folded: bool = False) -> Table:
    columns = ("fingerprint", "origin", "validation error, %", "validation loss", "parameters", "MACs", "ops")
    rows = tuple((s.fingerprint, s.origin, s.smash_score, s.val_loss, s.params, s.macs, s.ops) for s in scored)
    return Table(columns, rows, caption, folded)


def _trainings(retrained: Sequence[Retrained]) -> Table:
    columns = ("fingerprint", "seed", "arm", "test error, %", "test loss", "failure")
    rows = tuple((r.fingerprint, r.seed, r.arm, r.true_error, r.true_loss, r.failure) for r in retrained)
    return Table(columns, rows, f"All {len(rows)} trainings", folded=True)


def _setting(experiment: Experiment) -> Paragraphs:
    data, search, retrain = experiment.data, experiment.search, experiment.retrain
    return Paragraphs(
        (
            f"{data.name}: {len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test "
            f"images of {' x '.join(map(str, data.skeleton.size))} {_unit(data.skeleton)}, {len(data.classes)} "
            f"classes ({listed(data.classes, CLASSES)}). Scores come from the validation images, true losses and "
            f"errors from the test images{_poses(data.views)}. {' '.join(data.sets.notes)}".rstrip(),
            f"{_count(search.hypernets, 'HyperNet')} of {_count(search.epochs, 'epoch')}; the chosen architectures "
            f"were trained {_count(retrain.epochs, 'epoch')} with {_count(retrain.seeds, 'seed')} each"
            f"{_learned_from(retrain)}. Seed {experiment.seed}.",
        )
    )


def _unit(skeleton: Skeleton) -> str:
    return "pixels" if skeleton.dimensions == 2 else "voxels"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _poses(views: int) -> str:
    return f", where predictions are averaged over {views} poses" if views > 1 else ""


def _learned_from(retrain: RetrainOptions) -> str:
    return ", validation images included" if retrain.use_validation else ""


def _configuration(experiment: Experiment) -> Preformatted:
    path = experiment.folder.path / "config.yaml"
    return Preformatted(path.read_text() if path.exists() else "", "Configuration", folded=True)


def _track(
    folder: RunFolder,
    tracker: Tracker,
    scored: Sequence[Scored],
    retrained: Sequence[Retrained],
    correlation: Correlation,
) -> None:
    tracker.table("architectures", [f.name for f in fields(Scored)], [list(asdict(s).values()) for s in scored])
    sample = join(scored, retrained)
    arms = {record.fingerprint: record.arm for record in retrained}
    for truth, score, unit in (("true_loss", "val_loss", "nats"), ("true_error", "smash_score", "%")):
        tracker.scatter(
            f"{score}_against_{truth}",
            "SMASH score against truth",
            fingerprint=sample.fingerprints,
            score=sample.columns[score].tolist(),
            truth=sample.truth(truth).tolist(),
            standard_error=sample.standard_error(truth).tolist(),
            arm=[arms[name] for name in sample.fingerprints],
            x=f"score: {score}, {unit}",
            y=f"truth: {truth}, {unit}",
        )
    for name in ("correlation.png", "architecture.svg", "settling.png"):
        if (folder.path / name).exists():
            tracker.image(name.replace(".", "_"), folder.path / name)
    tracker.page("report", folder.path / "report.html")
    tracker.summary(_figures(correlation))
    names = ("ranking.csv", "architectures.jsonl", "retrained.csv", "correlation.json")
    tracker.artifact("ranking", "ranking", [folder.path / name for name in names if (folder.path / name).exists()])


def _figures(correlation: Correlation) -> dict[str, float]:
    loss = correlation.loss
    estimates: dict[str, Estimate | None] = {
        "spearman": loss.scores["val_loss"].spearman,
        "kendall": loss.scores["val_loss"].kendall,
        "pearson": loss.scores["val_loss"].pearson,
        "noise_ceiling": loss.reliability.ceiling,
        "spearman_given_params": loss.given_params,
        "spearman_given_sizes": loss.given_sizes,
        "best_fifth_by_score": loss.best_fifth["val_loss"],
        "best_fifth_by_params": loss.best_fifth["params"],
    }
    for name, baseline in loss.baselines.items():
        estimates[f"spearman_{name}"] = baseline.coefficients.spearman
    figures = {"architectures": float(correlation.architectures)}
    for name, estimate in estimates.items():
        if estimate is not None:
            figures |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: value for name, value in figures.items() if math.isfinite(value)}
