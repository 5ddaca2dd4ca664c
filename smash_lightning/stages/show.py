"""What a finished study shows: the pictures, one page that holds all of it, and the same in the loggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smash_lightning.architecture import ImageSpec
from smash_lightning.data.decode import listed
from smash_lightning.evaluation.comparison import PredictorComparison
from smash_lightning.evaluation.correlation import Correlation
from smash_lightning.evaluation.labels import label, left_out
from smash_lightning.evaluation.picture import baselines_picture, picture
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.summary import summary
from smash_lightning.evaluation.tables import Retrained, Scored
from smash_lightning.evaluation.verdict import figure
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.front import front_figure
from smash_lightning.report.page import Drawing, Facts, Paragraphs, Picture, Preformatted, Section, Table, report_page
from smash_lightning.report.plots import settling_figure
from smash_lightning.report.tracker import Tracker, Value
from smash_lightning.scoring import pareto_front
from smash_lightning.stages.collect import find_hypernets
from smash_lightning.stages.experiment import Experiment, RunFolder
from smash_lightning.stages.search import settling
from smash_lightning.stages.shown import Looks, looks_of
from smash_lightning.stages.track import CONTEST, track
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
    """Writes five pictures, of which `settling.png` needs a HyperNet, and `report.html`; hands all to the tracker."""
    folder, source = experiment.folder, experiment.source_folder()
    picture(scored, retrained, correlation).savefig(folder.path / "correlation.png")
    baselines_picture(correlation).savefig(folder.path / "baselines.png")
    best = source.read_architectures()[scored[0].fingerprint]
    title = f"The best of {len(scored)} architectures by score: {scored[0].fingerprint}"
    drawing = architecture_svg(best, experiment.data.image_spec, title)
    (folder.path / "architecture.svg").write_text(drawing)
    hypernets = find_hypernets(source)
    looks = looks_of(experiment, scored, retrained, hypernets)
    _write_settling(hypernets, folder)
    _write_front(scored, folder)
    page = _page(experiment, scored, retrained, correlation, drawing, looks)
    (folder.path / "report.html").write_text(page)
    track(source, folder, tracker, scored, retrained, correlation, looks)


def _write_front(scored: Sequence[Scored], folder: RunFolder) -> None:
    score = [row.smash_score for row in scored]
    costs = {"parameters": [float(row.params) for row in scored], "MACs": [float(row.macs) for row in scored]}
    fronts = {name: pareto_front(score, cost) for name, cost in costs.items()}
    front_figure(score, costs, fronts, label="what ranks, lower is better").savefig(folder.path / "pareto.png")


def _write_settling(paths: Sequence[Path], folder: RunFolder) -> None:
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
    looks: Looks,
) -> str:
    folder, data = experiment.folder.path, experiment.data
    loss = correlation.loss
    facts = Facts(
        (
            ("Spearman of score and test loss", figure(loss.scores[SMASH_SCORE].spearman)),
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
        Section("Does a baseline do better?", _contest(folder / "baselines.png", correlation.contest)),
        Section(
            "In figures", (_coefficients(correlation), Preformatted(summary(correlation), "As printed", folded=True))
        ),
        Section("The best architecture by score", (Drawing(drawing, "Memory-bank diagram of the best architecture"),)),
        looks.drawn(),
    ]
    if (folder / "settling.png").exists():
        caption = "Held-out architectures, scored with the first HyperNet while it trained."
        settled = Picture((folder / "settling.png").read_bytes(), SETTLING, caption)
        sections.append(Section(SETTLING, (settled, *((looks.settled(),) if looks.settling[1] else ()))))
    front = Picture((folder / "pareto.png").read_bytes(), "Score of every architecture against its cost")
    sections += [
        Section("What does a better score cost?", (front,)),
        Section("Architectures", (_ranking(scored[:SHOWN], "The best by score"), _ranking(scored, "All", folded=True))),
        Section("Ordinary trainings", (_trainings(retrained),)),
        looks.cost(),
        Section("How it was run", (_setting(experiment), _configuration(experiment))),
    ]
    return report_page(f"SMASH on {data.name}", sections)


def _contest(png: Path, contest: PredictorComparison) -> tuple[Picture, Table, Paragraphs]:
    alike = f"{contest.pairs} pairs of architectures whose parameters differ by at most {contest.band:.0%}"
    chart = Picture(
        png.read_bytes(),
        "Agreement of the score and of every baseline with the test loss, over all architectures and at equal size",
        f"Agreement with the mean test loss: left over all architectures, right over the {alike}.",
    )
    rows: list[tuple[Value, ...]] = []
    for name, figures in contest.predictors.items():
        shown: list[Value] = [label(name)]
        for column in CONTEST:
            empty = name == SMASH_SCORE and column.startswith("delta_spearman")
            shown.append("" if empty else figure(getattr(figures, column), 4 if column == "regret" else 2))
        rows.append((*shown, figures.seconds, figures.training_seconds))
    columns = ("predictor", *CONTEST.values(), "seconds each", "seconds once")
    caption = f"The same in figures over {contest.architectures} architectures, with 95 % bootstrap intervals"
    explained = (
        "Differences are paired; of many baselines the strongest owes a part of its lead to chance. Equal size: Kendall's "
        f"tau-b over the {alike}. Regret: mean test loss of the fifth that a predictor picks minus that of the true "
        "best fifth. Precision: share of its fifth that is in the true one. "
        f"{left_out(contest.left_out, contest.architectures)}"
    )
    return chart, Table(columns, tuple(rows), caption), Paragraphs((explained.rstrip(),))


def _coefficients(correlation: Correlation) -> Table:
    rows = []
    for truth, comparison in (("test loss", correlation.loss), ("test error", correlation.error)):
        sizes = {name: baseline.coefficients for name, baseline in comparison.sizes.items()}
        for name, three in (correlation.scores(comparison) | sizes).items():
            rows.append((truth, label(name), figure(three.spearman), figure(three.kendall), figure(three.pearson)))
        rows.append((truth, "SMASH given parameters", figure(comparison.given_params), "", ""))
        rows.append((truth, "SMASH given these sizes", figure(comparison.given_sizes), "", ""))
        rows.append((truth, "noise ceiling", figure(comparison.reliability.ceiling), "", ""))
    caption = f"Agreement with the truth over {correlation.architectures} architectures, with 95 % bootstrap intervals"
    return Table(("truth", "predictor", "Spearman", "Kendall", "Pearson"), tuple(rows), caption)


def _ranking(scored: Sequence[Scored], caption: str, *, folded: bool = False) -> Table:
    columns: tuple[str, ...] = ("fingerprint", "strategy", "validation error, %", "validation loss")
    columns += ("parameters", "MACs", "ops")
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (s.fingerprint, s.strategy, s.val_error, s.val_loss, s.params, s.macs, s.ops) for s in scored
    )
    if any(s.smash_score != s.val_loss for s in scored):  # or a column would stand there twice
        columns = (*columns, "what ranks")
        rows = tuple((*row, s.smash_score) for row, s in zip(rows, scored, strict=True))
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
            f"images of {' x '.join(map(str, data.image_spec.size))} {_unit(data.image_spec)}, {len(data.classes)} "
            f"classes ({listed(data.classes, CLASSES)}). Scores come from the validation images, true losses and "
            f"errors from the test images{_poses(data.views)}. {' '.join(data.sets.notes)}".rstrip(),
            f"{_count(search.hypernets, 'HyperNet')} of {_count(search.epochs, 'epoch')}; the chosen architectures "
            f"were trained {_count(retrain.epochs, 'epoch')} with {_count(retrain.seeds, 'seed')} each"
            f"{_learned_from(retrain)}. Seed {experiment.seed}.",
        )
    )


def _unit(image_spec: ImageSpec) -> str:
    return "pixels" if image_spec.dimensions == 2 else "voxels"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _poses(views: int) -> str:
    return f", where predictions are averaged over {views} poses" if views > 1 else ""


def _learned_from(retrain: RetrainOptions) -> str:
    return ", validation images included" if retrain.use_validation else ""


def _configuration(experiment: Experiment) -> Preformatted:
    path = experiment.folder.path / "config.yaml"
    return Preformatted(path.read_text() if path.exists() else "", "Configuration", folded=True)
