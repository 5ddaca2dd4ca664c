"""What page and loggers show beside the study: the best architectures drawn, the order as it settled, what all cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from scipy.stats import rankdata

from smash_lightning.evaluation.tables import Retrained, Scored
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.page import Drawing, Section, Table
from smash_lightning.report.tracker import Value
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import fixed_architectures, settling
from smash_lightning.training import load_checkpoint

DRAWN = 20  # from the top of the ranking
SETTLING = ("HyperNet", "epoch", "fingerprint", "validation loss", "place")
COSTS = ("stage", "how many", "seconds each", "seconds in all", "steps a second", "images a second")

Rows = list[tuple[Value, ...]]
Settled = tuple[int, int, str, float, float]


@dataclass(frozen=True, slots=True)
class Looks:
    """Tables and drawings.

    Args:
        columns: of the architectures that are drawn.
        rows: of them, best first.
        drawings: of them, as SVG.
        settling: columns and rows: the held-out architectures' losses and places while the HyperNets learned.
        costs: columns and rows: a row per stage.
        figures: of all that, for a summary.
    """

    columns: tuple[str, ...]
    rows: Rows
    drawings: list[str]
    settling: tuple[tuple[str, ...], list[Settled]]
    costs: tuple[tuple[str, ...], Rows]
    figures: dict[str, float]

    def drawn(self) -> Section:
        """The drawings, each unfolded by a line that says what the architecture is."""
        parts = []
        for row, drawing in zip(self.rows, self.drawings, strict=True):
            name, strategy, arm, _, loss, params, truth = row
            text = f"{name} ({strategy}): validation loss {loss:.4g}, {params:,} parameters"
            text += f", test loss {truth:.4g}" if truth is not None else ""
            parts.append(Drawing(drawing, f"{text}{', shortlist' if 'top' in str(arm) else ''}", folded=True))
        return Section("The best, drawn", tuple(parts))

    def settled(self) -> Table:
        """How the order settled, in figures."""
        return Table(
            self.settling[0], tuple(self.settling[1]), "The held-out architectures with every HyperNet", folded=True
        )

    def cost(self) -> Section:
        """What the stages cost."""
        caption = "Wall-clock time, added up over processes; images of training, or of scoring"
        return Section("What it cost", (Table(self.costs[0], tuple(self.costs[1]), caption),))


def looks_of(
    experiment: Experiment, scored: Sequence[Scored], retrained: Sequence[Retrained], hypernets: Sequence[Path]
) -> Looks:
    """Gathers it.

    Args:
        experiment: its source folder holds the architectures.
        scored: the ranking, best first.
        retrained: the ordinary trainings.
        hypernets: checkpoints of the HyperNets that scored; none where they are lost.
    """
    shortlist = {row.fingerprint for row in retrained if "shortlist" in row.arm.split("+")}
    chosen = [row for place, row in enumerate(scored) if place < DRAWN or row.fingerprint in shortlist]
    arms = {row.fingerprint: row.arm for row in retrained}
    truths = {name: _mean([r.true_loss for r in retrained if r.fingerprint == name]) for name in arms}
    architectures = experiment.source_folder().read_architectures()
    rows: Rows = [
        (
            s.fingerprint,
            s.strategy,
            arms.get(s.fingerprint, ""),
            s.smash_score,
            s.val_loss,
            s.params,
            truths.get(s.fingerprint),
        )
        for s in chosen
    ]
    named = [(architectures[s.fingerprint], s.fingerprint) for s in chosen]
    drawings = [architecture_svg(architecture, experiment.data.image_spec, name) for architecture, name in named]
    columns = ("fingerprint", "strategy", "arm", "smash_score", "validation loss", "parameters", "test loss")
    costs = _costs(experiment, scored, retrained, hypernets)
    last = next(reversed(architectures))  # they are written in the order in which they were scored
    ensemble = next((s.ensemble_error for s in scored if s.fingerprint == last), math.nan)
    figures = {"ensemble_error": ensemble} | {f"seconds_{row[0]}": float(row[3] or 0.0) for row in costs}
    figures |= {f"images_per_second_{row[0]}": float(row[5]) for row in costs if row[5] is not None}
    settled = _settled(experiment, hypernets)
    return Looks(columns, rows, drawings, (SETTLING, settled), (COSTS, costs), figures)


def _settled(experiment: Experiment, hypernets: Sequence[Path]) -> list[Settled]:
    names = [architecture.fingerprint for architecture in fixed_architectures(experiment)]
    rows: list[Settled] = []
    for index, path in enumerate(hypernets):
        for epoch, losses in settling(path):
            if len(losses) == len(names):
                places = rankdata([math.inf if math.isnan(loss) else loss for loss in losses]).tolist()
                rows += [(index, epoch, *one) for one in zip(names, losses, places, strict=True)]
    return rows


def _costs(
    experiment: Experiment, scored: Sequence[Scored], retrained: Sequence[Retrained], hypernets: Sequence[Path]
) -> Rows:
    data, search = experiment.data, experiment.search
    trained = [row for row in retrained if not row.failure]
    learned = len(data.train) + len(data.validation) * experiment.retrain.use_validation
    saved = [load_checkpoint(path, "smash") for path in hypernets]
    steps, per_step = [int(one["global_step"]) for one in saved], data.batch_size * search.architectures_per_step
    epochs = sum(row.epochs for row in trained)
    looked = sum(row.images * len(row.val_loss_by_hypernet.split(";")) for row in scored)
    return [
        _cost("HyperNets", [float(one["smash"]["seconds"]) for one in saved], sum(steps), sum(steps) * per_step),
        _cost("scores", [row.seconds for row in scored], None, looked),
        _cost("trainings", [row.seconds for row in trained], epochs * (learned // data.batch_size), epochs * learned),
    ]


def _cost(stage: str, seconds: Sequence[float], steps: int | None, images: int) -> tuple[Value, ...]:
    total = sum(seconds)
    if not total:
        return stage, len(seconds), None, None, None, None
    return stage, len(seconds), mean(seconds), total, None if steps is None else steps / total, images / total


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return mean(finite) if finite else None
