"""What does a change of the HyperNet, of its training or of the score do to the agreement with the ground truth?

NAME.csv: a row per variant and architecture: its scores under the variant, `true_loss` (mean test loss, nats), `params`
of the standalone network, `seconds` of the score, `training_seconds` of the variant's HyperNets, and parameters of one
of these without shared tensors, `hypernet_params`.
NAME.json: for each variant Spearman of SMASH score and test loss (`spearman`), by how much it exceeds that of the run
as it is (`delta_spearman`, paired), the same given parameters (`partial_spearman`), the mean over the losses of single
HyperNets (`single_spearman`), and the mean `agreement` between two HyperNets.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from smash_lightning.analyses import frame
from smash_lightning.evaluation.bootstrap import Bootstrap
from smash_lightning.evaluation.coefficients import Floats, mean_pairwise_spearman, partial_spearman, spearman
from smash_lightning.hypernet import TrainedHyperNet, load_hypernet
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import CandidateMetrics
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import hypernets_of
from smash_lightning.stages.search import make_scorer, search

BASE = "as the run"  # the variant that changes nothing
PANELS = {"spearman": "Spearman", "delta_spearman": f"minus {BASE!r}"}
PANELS |= {"partial_spearman": "given parameters", "single_spearman": "single HyperNets"}


@dataclass(frozen=True)
class Variant:
    """Values that differ from those of the run, by their names in the configuration.

    Args:
        hypernet: of `hypernet`, where "target" names another class; HyperNets are trained anew.
        search: of `search`; they are trained anew, unless only their number is lowered.
        ranking: of `ranking`, such as batch_norm, smash_score or noises.
    """

    hypernet: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    ranking: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, experiment: Experiment, name: str) -> Experiment:
        """The experiment with these values; ValueError where one does not exist or is of another type."""
        prefix = f"task.variants.{name}"
        changed: dict[str, Any] = {"hypernet": experiment.hypernet.with_values(self.hypernet, f"{prefix}.hypernet")}
        for group in ("search", "ranking"):
            options, values = getattr(experiment, group), getattr(self, group)
            known = [field.name for field in fields(options)]
            if unknown := values.keys() - set(known):
                named = f"{prefix}.{group}.{min(unknown)}"
                raise ValueError(f"{named}: there is no such value; known: {', '.join(known)}")
            changed[group] = replace(options, **values)
        return replace(experiment, **changed)


def variants(
    experiment: Experiment,
    tracker: Tracker,
    *,
    name: str,
    title: str,
    variants: Mapping[str, Variant],
    axis: Literal["none", "parameters"] = "none",
) -> float | None:
    """Scores the representative architectures of an earlier run under each variant.
    conf/task/capacity.yaml explains the options.

    Returns:
        The highest Spearman of a variant; None where all are undefined.
    """
    trained = frame.load_trained(experiment)
    changed = {BASE: experiment} | {key: variant.apply(experiment, key) for key, variant in variants.items()}
    hypernets = {key: _hypernets(experiment, other, key, tracker) for key, other in changed.items()}
    table = pd.concat(
        [_score(key, other, hypernets[key], trained) for key, other in changed.items()], ignore_index=True
    )
    found = compare(table, experiment.evaluation.bootstrap, experiment.seed)
    panels = frame.panels(found, PANELS)
    note, label = f"{len(trained.params)} architectures; {frame.BARS}", "Spearman with the test loss"
    drawn, picture = {panel: panels[panel] for panel in list(panels)[:2]}, frame.Picture(title, note, label)
    if axis == "parameters":
        series = {"spearman": "HyperNets averaged", "single_spearman": "mean of single HyperNets"}
        drawn = {panel: {one["hypernet_params"]: one[part] for one in found.values()} for part, panel in series.items()}
        picture = frame.Picture(title, note, "parameters of the HyperNet", label, log_x=True)
    results = {"architectures": len(trained.params), "variants": found}
    frame.publish(experiment, name, table, results, drawn, picture, printed=panels)
    return max((one["spearman"].value for one in found.values() if one["spearman"] is not None), default=None)


def _hypernets(base: Experiment, other: Experiment, name: str, tracker: Tracker) -> list[TrainedHyperNet]:
    """The run's own HyperNets where they are those of the variant; otherwise new ones."""
    # All that the training of a HyperNet depends on, but for the seeds and the data.
    own, changed = (json.dumps([asdict(e.hypernet), asdict(e.search) | {"hypernets": 0}]) for e in (base, other))
    if own == changed and other.search.hypernets <= base.search.hypernets:
        return hypernets_of(base)[: other.search.hypernets]
    digest = hashlib.sha256(changed.encode()).hexdigest()[:8]
    without_held_out = replace(other, ranking=replace(other.ranking, fixed=0))
    paths = search(without_held_out, tracker, f"variant-{digest}-", label=name)
    return [load_hypernet(path, other.space, other.data.specification()) for path in paths]


def _score(
    name: str, experiment: Experiment, hypernets: list[TrainedHyperNet], trained: frame.TrainedSample
) -> pd.DataFrame:
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, hypernets)
    pool = trained.architectures
    scores = frame.run_jobs(scorer, pool, experiment.engine, f"scoring, {name}", lambda one: one.fingerprint)
    metrics = [CandidateMetrics(s.val_error, s.val_loss, int(p)) for s, p in zip(scores, trained.params, strict=True)]
    hypernet = getattr(hypernets[0].weights, "hypernet", None)
    columns: dict[str, Any] = {
        "variant": name,
        "fingerprint": list(trained.by_name()),
        "smash_score": experiment.ranking.smash_score(metrics),
        "true_loss": trained.test_loss,
        "params": trained.params.astype(int),
        "seconds": [score.seconds for score in scores],
        "training_seconds": sum(one.seconds for one in hypernets),
        "hypernet_params": 0 if hypernet is None else sum(tensor.numel() for tensor in hypernet.parameters()),
    }
    return pd.DataFrame(columns).join(pd.DataFrame(map(frame.score_columns, scores)))


def compare(table: pd.DataFrame, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """The estimates of NAME.json by variant, the first of which is the base; all have the same architectures."""
    parts = {str(name): part for name, part in table.groupby("variant", sort=False)}
    first = next(iter(parts.values()))
    target, size = first["true_loss"].to_numpy(), -first["params"].to_numpy(dtype=float)
    bootstrap = Bootstrap(len(first), resamples, seed)

    def with_target(column: Floats, weights: Floats) -> Floats:
        return spearman(column, target, weights)

    def mean_single(columns: list[Floats], weights: Floats) -> Floats:
        return np.mean([with_target(column, weights) for column in columns], axis=0)

    found: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        score, base = part["smash_score"].to_numpy(), first["smash_score"].to_numpy()
        single = list(part.filter(regex=r"^val_loss_\d+$").dropna(axis=1).to_numpy().T)
        found[name] = {
            "spearman": frame.estimate(bootstrap, with_target, score),
            "partial_spearman": bootstrap.estimate(partial(partial_spearman, score, target, [size])),
            "single_spearman": bootstrap.estimate(partial(mean_single, single)),
            "agreement": bootstrap.estimate(partial(mean_pairwise_spearman, single)),
            "seconds": float(part["seconds"].mean()),
            "training_seconds": float(part["training_seconds"].iloc[0]),
            "hypernet_params": int(part["hypernet_params"].iloc[0]),
        }
        if part is not first:
            found[name]["delta_spearman"] = frame.estimate(bootstrap, with_target, score, base)
    return found
