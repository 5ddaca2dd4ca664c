"""Does c matter? HyperNets get a corrupted c, and architectures stay as they are (paper, section 4).

corruption.csv: a row per `input` (own, noise SIGMA, swapped or empty c) and architecture: scores, and the test loss
`true_loss` (nats) where it is known.
corruption.json: for each of the `inputs` mean `val_loss` and `val_error`, their paired differences to the own c
(`delta_...`), `order`: Spearman of the losses with those of the own c, `spearman` with the test losses, and its paired
difference `delta_spearman`.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from smash_lightning.analyses import frame
from smash_lightning.architecture import Architecture
from smash_lightning.encoding import EMPTY
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.hypernet import ConditionalWeightSource
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.labels import count
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Score, Scorer
from smash_lightning.stages.experiment import Experiment

OWN, SWAPPED, EMPTIED = "own", "swapped", "empty"
PANELS = {
    "spearman": "Spearman with test loss",
    "delta_val_loss": "loss minus own, nats",
    "delta_val_error": "error minus own, %",
    "order": "Spearman with own scores",
}
# Returns a tensor of the shape of the architecture's c.
Corruption = Callable[[ConditionalWeightSource, Architecture], Tensor]


def corruption(
    experiment: Experiment, tracker: Tracker, *, architectures: frame.AtLeastFive, levels: Sequence[NonNegativeFloat]
) -> float | None:
    """Scores architectures of an earlier run; conf/task/corruption.yaml explains the options.

    Returns:
        By how much the validation loss is higher with the c of another architecture, nats; None where undefined.
    """
    scorer, *_ = frame.conditional_scorer(experiment, "corruption")
    exists = experiment.source_folder().retrained.exists()
    test_losses = frame.load_trained(experiment, least=0).by_name() if exists else {}
    pool = frame.random_candidates(experiment, architectures, preferred=test_losses)
    cases = corruptions(pool, levels, experiment.seed)
    jobs = [(name, architecture) for name in cases for architecture in pool]
    score = partial(score_corrupted, scorer, cases)
    scores = frame.run_jobs(score, jobs, experiment.engine, "scoring", lambda job: f"{job[1].fingerprint}, {job[0]} c")
    table = pd.DataFrame(
        {"input": name, "fingerprint": architecture.fingerprint} | frame.score_columns(score)
        for (name, architecture), score in zip(jobs, scores, strict=True)
    )
    table["true_loss"] = table["fingerprint"].map(test_losses)
    effects = compare(table, experiment.evaluation.bootstrap, experiment.seed)
    known = sum(one.fingerprint in test_losses for one in pool)
    panels = frame.panels(effects, {key: label for key, label in PANELS.items() if known or key != "spearman"})
    drawn = {label: line for label, line in panels.items() if "error" not in label}
    note = f"{len(pool)} architectures, {known} test losses, {count(len(scorer.hypernets), 'HyperNet')}; {frame.BARS}"
    picture = frame.Picture("Scores with a corrupted c", note, x="")
    what = "Loss with the c of another architecture less that with its own, nats"
    answers = [(what, effects[SWAPPED]["delta_val_loss"])]
    results: dict[str, Any] = {"architectures": len(pool), "with_test_loss": known, "inputs": effects}
    return frame.publish(experiment, "corruption", table, results, drawn, picture, answers, printed=panels)


def noisy(sigma: float, seed: int, source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
    """Gaussian noise of std `sigma` in all entries of c (1 and -1), in one direction for all `sigma`."""
    c = source.encode(architecture)
    noise = torch.randn(c.shape, generator=generator(Stream.CORRUPTION, seed, architecture.fingerprint))
    return c + sigma * noise.to(c)


def swapped(others: Mapping[str, Architecture], source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
    """The c of another architecture, its last slices cut off or empty ones added."""
    slices, other = source.encode(architecture).shape[-1], source.encode(others[architecture.fingerprint])
    return F.pad(other, (0, slices - other.shape[-1]), value=EMPTY)  # a negative number cuts


def emptied(source: ConditionalWeightSource, architecture: Architecture) -> Tensor:
    """An empty c."""
    return torch.full_like(source.encode(architecture), EMPTY)


def corruptions(pool: Sequence[Architecture], levels: Sequence[float], seed: int) -> dict[str, Corruption]:
    """By name, no corruption first; the c of each architecture is once that of another one."""
    others = {one.fingerprint: other for one, other in zip(pool, [*pool[1:], pool[0]], strict=True)}
    noise = {f"noise {sigma:g}": partial(noisy, sigma, seed) for sigma in sorted(set(levels)) if sigma}
    return {OWN: partial(noisy, 0.0, seed), **noise, SWAPPED: partial(swapped, others), EMPTIED: emptied}


def corrupted(source: ConditionalWeightSource, corruption: Corruption) -> ConditionalWeightSource:
    """A copy with the same parameters, which generates weights from a corrupted c."""
    other = copy.copy(source)
    other.encode = partial(corruption, source)  # type: ignore[method-assign]  # of this copy alone
    return other


def score_corrupted(scorer: Scorer, cases: Mapping[str, Corruption], job: tuple[str, Architecture]) -> Score:
    """The score of an architecture by the same HyperNets with a corrupted c."""
    case, architecture = job
    hypernets = [
        replace(one, weights=corrupted(one.weights, cases[case]))  # type: ignore[arg-type]  # conditional, as the caller has checked
        for one in scorer.hypernets
    ]
    return Scorer(hypernets, scorer.data, policy=scorer.policy, seed=scorer.seed, noises=scorer.noises)(architecture)


def compare(table: pd.DataFrame, resamples: int, seed: int) -> dict[str, dict[str, Estimate | None]]:
    """The estimates of corruption.json by input, the first of which is the base; all have the same architectures."""
    parts = {str(name): part for name, part in table.groupby("input", sort=False)}
    own = next(iter(parts.values()))
    known = own["true_loss"].notna().to_numpy()
    every, some = Bootstrap(len(own), resamples, seed), Bootstrap(int(known.sum()), resamples, seed)
    base, target = own["val_loss"].to_numpy(), own["true_loss"].to_numpy(dtype=float)[known]

    def with_target(column: Floats, weights: Floats) -> Floats:
        return spearman(column, target, weights)

    effects: dict[str, dict[str, Estimate | None]] = {}
    for name, part in parts.items():
        loss, error = part["val_loss"].to_numpy(), part["val_error"].to_numpy()
        effects[name] = {
            "val_loss": frame.estimate(every, frame.mean, loss),
            "val_error": frame.estimate(every, frame.mean, error),
            "spearman": frame.estimate(some, with_target, loss[known]),
        }
        if part is not own:
            effects[name] |= {
                "delta_val_loss": frame.estimate(every, frame.mean, loss - base),
                "delta_val_error": frame.estimate(every, frame.mean, error - own["val_error"].to_numpy()),
                "order": every.estimate(partial(spearman, loss, base)),
                "delta_spearman": frame.estimate(some, with_target, loss[known], base[known]),
            }
    return effects
