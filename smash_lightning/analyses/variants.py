"""What does a change of the HyperNet, of its training or of the score do to the agreement with the truth?

Variants of one run are scored on the same architectures with the same true losses, so differences are paired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any, Literal, get_type_hints

import numpy as np
from matplotlib.figure import Figure

from smash_lightning.analyses.results import interval
from smash_lightning.architecture import Architecture
from smash_lightning.engine import Pool
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, mean_pairwise_spearman, partial_spearman, spearman
from smash_lightning.evaluation.sample import Sample, join
from smash_lightning.evaluation.tables import read_ranking, read_retrained, write_records
from smash_lightning.evaluation.verdict import figure
from smash_lightning.hypernet import HyperNetSpecification, TrainedHyperNet, load_hypernet
from smash_lightning.option_types import require_type
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.report.intervals import interval_lines, interval_rows
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import CandidateMetrics, Score
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import SIDE_BY_SIDE, hypernets_of, score_all, score_one
from smash_lightning.stages.search import make_scorer, search

BASE = "as the run"  # the variant that changes nothing
Axis = Literal["none", "parameters"]


@dataclass(frozen=True)
class Variant:
    """Values that differ from those of the run, by their names in the configuration.

    Args:
        hypernet: of `hypernet`, where "target" names another class; HyperNets are trained anew.
        search: of `search`; they are trained anew, unless only their number is lowered.
        ranking: of `ranking`, such as policy, key or noises.
    """

    hypernet: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    ranking: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, experiment: Experiment, name: str) -> Experiment:
        """The experiment with these values.

        Raises:
            ValueError: there is no such value, or it is of another type.
        """
        changed = {part: _changed(getattr(experiment, part), getattr(self, part), f"{name}.{part}") for part in PARTS}
        return replace(experiment, **changed)


PARTS = tuple(part.name for part in fields(Variant))


@dataclass(frozen=True, slots=True)
class VariantScore:
    """A row of the table: one architecture under one variant.

    Args:
        variant: its name.
        fingerprint: the architecture.
        smash_score: what ranks it among the others of this variant, lower is better.
        val_loss: validation loss, nats, mean over the HyperNets.
        val_error: validation error, %.
        val_loss_by_hypernet: validation loss with each HyperNet, joined by ";".
        true_loss: mean test loss after ordinary training, nats.
        params: parameters of the ordinary network.
        seconds: of scoring.
        training_seconds: of training this variant's HyperNets.
        hypernet_params: parameters that the 1x1 convolutions of one HyperNet come from.
    """

    variant: str
    fingerprint: str
    smash_score: float
    val_loss: float
    val_error: float
    val_loss_by_hypernet: str
    true_loss: float
    params: int
    seconds: float
    training_seconds: float
    hypernet_params: int


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What the table says of a variant.

    Args:
        spearman: of key and mean test loss.
        minus_base: how much it exceeds that of the run as it is, paired.
        given_params: the same given parameters.
        single: mean Spearman of its single HyperNets' validation losses.
        agreement: mean Spearman between two of its HyperNets; None for one.
        seconds: of a score.
        training_seconds: of training its HyperNets.
        hypernet_params: parameters of one HyperNet.
    """

    spearman: Estimate | None
    minus_base: Estimate | None
    given_params: Estimate | None
    single: Estimate | None
    agreement: Estimate | None
    seconds: float
    training_seconds: float
    hypernet_params: int


def variants(
    experiment: Experiment,
    tracker: Tracker,
    *,
    name: str,
    title: str,
    variants: Mapping[str, Variant],
    axis: Axis = "none",
) -> float | None:
    """Scores the representative architectures of an earlier run under each variant, and compares with its true losses.

    Args:
        experiment: with the options of the run; its source folder holds HyperNets, ranking and trainings.
        tracker: gets picture, table and figures.
        name: of the files: NAME.csv, NAME.json, NAME.png and, unless there is an axis, NAME_paired.png.
        title: of the pictures.
        variants: by name; the run as it is comes first, and need not be named.
        axis: "parameters" draws the coefficient against the parameters of the HyperNet.

    Returns:
        The highest Spearman that a variant has.

    Raises:
        ValueError: nothing was retrained, or a variant changes what does not exist.
    """
    source, folder = experiment.source_folder(), experiment.folder
    sample = join(read_ranking(source), read_retrained(source))
    architectures = source.read_architectures()
    names = [f for f, chosen in zip(sample.fingerprints, sample.representative, strict=True) if chosen]
    pool = [architectures[fingerprint] for fingerprint in names]
    changed = {BASE: experiment} | {key: variant.apply(experiment, key) for key, variant in variants.items()}
    rows: dict[str, list[VariantScore]] = {}
    for key, other in changed.items():
        rows[key] = _rows(key, other, _sources(experiment, other, key, tracker), pool, sample)
        write_records(folder.path / f"{name}.csv", [row for part in rows.values() for row in part], VariantScore)
    results = compare_variants(rows, experiment.evaluation.bootstrap, experiment.seed)
    plain = {"architectures": len(pool), "variants": {key: asdict(result) for key, result in results.items()}}
    (folder.path / f"{name}.json").write_text(json.dumps(plain, indent=2) + "\n")
    for suffix, drawn in _figures(results, title, len(pool), axis).items():
        path = folder.path / f"{name}{suffix}.png"
        drawn.savefig(path)
        tracker.image(path.stem, path)
    columns = [f.name for f in fields(VariantScore)]
    tracker.table(name, columns, [list(asdict(row).values()) for part in rows.values() for row in part])
    tracker.summary({f"{name}/{key}": r.spearman.value for key, r in results.items() if r.spearman is not None})
    print(_summary(results, len(pool)))
    return max((r.spearman.value for r in results.values() if r.spearman is not None), default=None)


def _changed(options: Any, values: Mapping[str, Any], name: str) -> Any:
    if isinstance(options, HyperNetSpecification):
        return options.with_values(values, f"task.variants.{name}")
    hints = get_type_hints(type(options).__init__)
    for key, value in values.items():
        if key not in hints:
            raise ValueError(f"task.variants.{name}.{key}: there is no such value; known: {', '.join(hints)}")
        require_type(f"task.variants.{name}.{key}", value, hints[key])
    return replace(options, **values)


def _sources(base: Experiment, other: Experiment, name: str, tracker: Tracker) -> list[TrainedHyperNet]:
    """The run's own HyperNets where they are what the variant asks for; otherwise they are trained."""
    count = other.search.hypernets
    if _training(base) == _training(other) and count <= base.search.hypernets:
        return hypernets_of(base)[:count]
    digest = hashlib.sha256(_training(other).encode()).hexdigest()[:8]
    silence_lightning = replace(other, ranking=replace(other.ranking, fixed=0))
    paths = search(silence_lightning, tracker, f"variant-{digest}-", label=name)
    return [load_hypernet(path, other.space, other.data.specification()) for path in paths]


def _training(experiment: Experiment) -> str:
    """All that the training of a HyperNet depends on, but for the seeds and the data."""
    return json.dumps([asdict(experiment.hypernet), asdict(experiment.search) | {"hypernets": 0}])


def _rows(
    name: str, experiment: Experiment, sources: Sequence[TrainedHyperNet], pool: Sequence[Architecture], sample: Sample
) -> list[VariantScore]:
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, sources)
    scores: list[Score] = []
    with (
        ProgressBars([f"scoring, {name}"], [len(pool)]) as bars,
        Pool(score_one, scorer, experiment.workers) as workers,
    ):
        for first in range(0, len(pool), SIDE_BY_SIDE):
            scores += score_all(workers, pool[first : first + SIDE_BY_SIDE])
            bars.show(0, len(scores))
    params = sample.columns["params"][sample.representative]
    found = [CandidateMetrics(s.val_error, s.val_loss, int(p)) for s, p in zip(scores, params, strict=True)]
    keys, truths = experiment.ranking.smash_score(found), sample.ground_truth("true_loss")[sample.representative]
    size = sum(parameter.numel() for parameter in sources[0].weights.undecayed())
    return [
        VariantScore(
            variant=name,
            fingerprint=architecture.fingerprint,
            smash_score=float(key),
            val_loss=score.val_loss,
            val_error=score.val_error,
            val_loss_by_hypernet=";".join(map(repr, score.val_losses)),
            true_loss=float(truth),
            params=figures.params,
            seconds=score.seconds,
            training_seconds=sum(one.seconds for one in sources),
            hypernet_params=size,
        )
        for architecture, score, key, truth, figures in zip(pool, scores, keys, truths, found, strict=True)
    ]


def compare_variants(rows: Mapping[str, Sequence[VariantScore]], resamples: int, seed: int) -> dict[str, VariantResult]:
    """The agreement of each variant with the truth; the first one is what the others are compared with.

    Args:
        rows: of each variant, all for the same architectures in the same order.
        resamples: of the bootstrap over architectures.
        seed: of the resamples.
    """
    first = next(iter(rows.values()))
    truth, size = np.array([row.true_loss for row in first]), -np.array([float(row.params) for row in first])
    base = np.array([row.smash_score for row in first])
    bootstrap = Bootstrap(len(first), resamples, seed)

    def lead(key: Floats, weights: Floats) -> Floats:
        return spearman(key, truth, weights) - spearman(base, truth, weights)

    def mean_single(columns: Sequence[Floats], weights: Floats) -> Floats:
        return np.mean([spearman(column, truth, weights) for column in columns], axis=0)

    results = {}
    for name, part in rows.items():
        key = np.array([row.smash_score for row in part])
        single = list(np.array([[float(loss) for loss in row.val_loss_by_hypernet.split(";")] for row in part]).T)
        results[name] = VariantResult(
            spearman=bootstrap.estimate(partial(spearman, key, truth)),
            minus_base=None if part is first else bootstrap.estimate(partial(lead, key)),
            given_params=bootstrap.estimate(partial(partial_spearman, key, truth, [size])),
            single=bootstrap.estimate(partial(mean_single, single)),
            agreement=bootstrap.estimate(partial(mean_pairwise_spearman, single)),
            seconds=float(np.mean([row.seconds for row in part])),
            training_seconds=part[0].training_seconds,
            hypernet_params=part[0].hypernet_params,
        )
    return results


def _figures(results: Mapping[str, VariantResult], title: str, count: int, axis: Axis) -> dict[str, Figure]:
    note = f"{count} architectures; bars are 95 % bootstrap intervals over architectures"
    if axis == "parameters":
        lines = {
            label: sorted((float(r.hypernet_params), *_plain(e)) for r in results.values() if (e := getattr(r, part)))
            for part, label in (("spearman", "HyperNets averaged"), ("single", "mean of single HyperNets"))
        }
        labels = {"x_label": "parameters of the HyperNet", "y_label": "Spearman with the test loss"}
        return {"": interval_lines(lines, **labels, title=title, note=note, log_x=True)}
    rows = {name: interval(result.spearman) for name, result in results.items()}
    paired = {name: interval(result.minus_base) for name, result in results.items() if name != BASE}
    paired_note = f"{note}; differences are paired"
    return {
        "": interval_rows(rows, x_label="Spearman with the test loss", title=title, note=note),
        "_paired": interval_rows(
            paired, x_label=f"Spearman minus that of {BASE!r}", title=title, note=paired_note, reference=0.0
        ),
    }


def _plain(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _summary(results: Mapping[str, VariantResult], count: int) -> str:
    lines = [f"Agreement with the test loss over {count} architectures, Spearman with [95 % interval]:"]
    width = max(len(name) for name in results) + 2
    lines.append(f"  {'':<{width}}{'':<22}{'minus ' + BASE:<22}{'given parameters':<22}single HyperNets")
    for name, r in results.items():
        paired = "" if name == BASE else figure(r.minus_base)
        cells = (figure(r.spearman), paired, figure(r.given_params), figure(r.single))
        lines.append(f"  {name:<{width}}" + "".join(f"{cell:<22}" for cell in cells).rstrip())
    return "\n".join(lines)
