"""Does c matter? Architectures stay as they are, and HyperNets are told another c than theirs (paper, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from smash_lightning.analyses.corrupted_encoding import Another, Noisy, Nothing, Told, misinformed
from smash_lightning.analyses.load_run import known_truths, random_candidates, told_c
from smash_lightning.analyses.results import (
    counted,
    digits,
    interval,
    mean,
    save_results,
    which,
    wrapped,
)
from smash_lightning.architecture import Architecture
from smash_lightning.engine import Pool
from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.evaluation.verdict import figure
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.report.panels import Panel, interval_panels
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import Score, Scorer
from smash_lightning.stages.experiment import Experiment
from smash_lightning.training.messages import Send

OWN, ANOTHER, NOTHING = "its own c", "another's c", "an empty c"
DIFFERENCES = ("loss_minus_own", "error_minus_own")


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A row of `corruption.csv`: one architecture, scored by HyperNets that are told some c.

    Args:
        told: what they are told.
        sigma: size of the noise; NaN where it is not a matter of noise.
        fingerprint: the architecture.
        val_loss: validation loss, nats, mean over the HyperNets.
        val_error: validation error, %, mean over the HyperNets.
        val_loss_by_hypernet: validation loss with each HyperNet, joined by ";".
        true_loss: mean test loss after ordinary training, nats; NaN where it is not known.
    """

    told: str
    sigma: float
    fingerprint: str
    val_loss: float
    val_error: float
    val_loss_by_hypernet: str
    true_loss: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What being told some c does; differences to its own c are paired, and None for that itself.

    Args:
        loss: mean validation loss, nats.
        error: mean validation error, %.
        loss_minus_own: how much higher the loss is than with its own c.
        error_minus_own: the same of the error.
        order: Spearman of the losses with those under its own c.
        truth: Spearman of the losses with the true losses, over the architectures that have one.
        truth_minus_own: how much higher that is than under its own c.
    """

    loss: Estimate | None
    error: Estimate | None
    loss_minus_own: Estimate | None
    error_minus_own: Estimate | None
    order: Estimate | None
    truth: Estimate | None
    truth_minus_own: Estimate | None


@dataclass(frozen=True, slots=True)
class Corruption:
    """The figures of the investigation.

    Args:
        architectures: that were scored.
        with_truth: that have a true loss.
        hypernets: over which scores were averaged.
        effects: by what the HyperNets were told.
    """

    architectures: int
    with_truth: int
    hypernets: int
    effects: dict[str, Effect]


def corruption(
    experiment: Experiment, tracker: Tracker, *, architectures: int, levels: Sequence[float]
) -> float | None:
    """Scores architectures of an earlier run under true and under corrupted c, with the run's policy.

    Args:
        experiment: its source folder holds HyperNets and a ranking; true losses are used where they are there.
        tracker: gets table, picture and figures.
        architectures: at most so many random ones of the ranking, those with a true loss first.
        levels: standard deviations of the noise that is added to c.

    Returns:
        How much higher the validation loss is under the c of another architecture, nats; None where it is undefined.

    Raises:
        ValueError: there is no HyperNet that sees c, or there are too few architectures.
    """
    if not levels or min(levels) < 0 or len(set(levels)) < len(levels):
        raise ValueError(f"task.levels must be different numbers of at least 0, got {list(levels)}")
    scorer, _ = told_c(experiment, "corruption")
    truths = known_truths(experiment).by_name() if experiment.source_folder().retrained.exists() else {}
    chosen = random_candidates(experiment, architectures, "task.architectures", preferred=truths)
    rows = measure(experiment, scorer, conditions(chosen, levels, experiment.seed), chosen, truths)
    effects = compare(rows, experiment.evaluation.bootstrap, experiment.seed)
    with_truth = sum(architecture.fingerprint in truths for architecture in chosen)
    found = Corruption(len(chosen), with_truth, len(scorer.hypernets), effects)
    table = [row for part in rows.values() for row in part]
    save_results(experiment, tracker, "corruption", table, found, picture(found), words(found))
    cost = effects[ANOTHER].loss_minus_own
    return None if cost is None else cost.value


def conditions(
    architectures: Sequence[Architecture], levels: Sequence[float], seed: int
) -> dict[str, tuple[float, Told]]:
    """What the HyperNets are told, by name, with the size of the noise; its own c comes first.

    The c of another is that of the next of `architectures`, so each of them is told once.
    """
    following = [*architectures[1:], architectures[0]]
    partners = {one.fingerprint: other for one, other in zip(architectures, following, strict=True)}
    noisy = {f"noise of {sigma:g}": (sigma, Noisy(sigma, seed)) for sigma in sorted(levels) if sigma}
    others: dict[str, tuple[float, Told]] = {
        ANOTHER: (float("nan"), Another(partners)),
        NOTHING: (float("nan"), Nothing()),
    }
    return {OWN: (0.0, Noisy(0.0, seed)), **noisy, **others}


def measure(
    experiment: Experiment,
    scorer: Scorer,
    told: Mapping[str, tuple[float, Told]],
    architectures: Sequence[Architecture],
    truths: Mapping[str, float],
) -> dict[str, list[Corrupted]]:
    """Scores all architectures under everything that HyperNets are told.

    Raises:
        RuntimeError: one could not be scored.
    """
    jobs = [(name, architecture) for name in told for architecture in architectures]
    context = scorer, {name: lie for name, (_, lie) in told.items()}
    rows: dict[int, Corrupted] = {}
    with (
        ProgressBars(["scoring, told some c"], [len(jobs)]) as bars,
        Pool(score_told, context, experiment.workers) as pool,
    ):
        scored = pool.results(jobs, lambda i: f"scoring architecture {jobs[i][1].fingerprint}, told {jobs[i][0]}")
        for count, (position, outcome) in enumerate(scored, start=1):
            name, architecture = jobs[position]
            truth = truths.get(architecture.fingerprint, float("nan"))
            by_hypernet = ";".join(map(repr, outcome.val_losses))
            rows[position] = Corrupted(
                name, told[name][0], architecture.fingerprint, outcome.val_loss, outcome.val_error, by_hypernet, truth
            )
            bars.show(0, count)
    parts: dict[str, list[Corrupted]] = {name: [] for name in told}
    for position, (name, _) in enumerate(jobs):
        parts[name].append(rows[position])
    return parts


def score_told(context: tuple[Scorer, Mapping[str, Told]], job: tuple[str, Architecture], send: Send) -> Score:
    """Scores one architecture under one thing that the HyperNets are told, in a process of its own."""
    del send
    scorer, told = context
    name, architecture = job
    return misinformed(scorer, told[name])(architecture)


def compare(rows: Mapping[str, Sequence[Corrupted]], resamples: int, seed: int) -> dict[str, Effect]:
    """The effect of everything that the HyperNets are told.

    Args:
        rows: by what they are told, its own c first, all for the same architectures in the same order.
        resamples: of the bootstrap over architectures.
        seed: of the resamples.
    """
    own = next(iter(rows.values()))
    truth = np.array([row.true_loss for row in own])
    known = np.isfinite(truth)
    all_of_them, with_truth = Bootstrap(len(own), resamples, seed), Bootstrap(int(known.sum()), resamples, seed)
    own_loss, own_error = _columns(own)

    def lead(loss: Floats, weights: Floats) -> Floats:
        return spearman(loss[known], truth[known], weights) - spearman(own_loss[known], truth[known], weights)

    effects = {}
    for name, part in rows.items():
        loss, error = _columns(part)
        changed = part is not own
        effects[name] = Effect(
            loss=all_of_them.estimate(partial(mean, loss)),
            error=all_of_them.estimate(partial(mean, error)),
            loss_minus_own=all_of_them.estimate(partial(mean, loss - own_loss)) if changed else None,
            error_minus_own=all_of_them.estimate(partial(mean, error - own_error)) if changed else None,
            order=all_of_them.estimate(partial(spearman, loss, own_loss)) if changed else None,
            truth=with_truth.estimate(partial(spearman, loss[known], truth[known])),
            truth_minus_own=with_truth.estimate(partial(lead, loss)) if changed else None,
        )
    return effects


def _columns(rows: Sequence[Corrupted]) -> tuple[Floats, Floats]:
    return np.array([row.val_loss for row in rows]), np.array([row.val_error for row in rows])


def picture(found: Corruption) -> Figure:
    """Draws loss, order and agreement with the truth: `corruption.png`."""
    effects = found.effects
    changed = {name: effect for name, effect in effects.items() if name != OWN}
    panels = [
        Panel(
            "Loss, minus that with its own c",
            "validation loss (nats)",
            {name: interval(effect.loss_minus_own) for name, effect in changed.items()},
        ),
        Panel(
            "Order, against that with its own c",
            r"Spearman $\rho$ of the scores",
            {name: interval(effect.order) for name, effect in changed.items()},
        ),
    ]
    if effects[OWN].truth is not None:
        rows = {name: interval(effect.truth) for name, effect in effects.items()}
        panels.append(
            Panel(f"Agreement with the truth (n = {found.with_truth})", r"Spearman $\rho$ with test loss", rows)
        )
    note = f"{_basis(found)}; bars are 95 % bootstrap intervals over architectures"
    title = "Does c matter? What HyperNets are told, and what it does"
    return interval_panels(list(effects), panels, title=title, note=note)


def words(found: Corruption) -> str:
    """The figures as a table, and what they say."""
    own, changed = found.effects[OWN], [effect for name, effect in found.effects.items() if name != OWN]
    nats, percent = (digits(*(getattr(effect, part) for effect in changed)) for part in DIFFERENCES)
    lines = [
        *wrapped(f"Does c matter? {_basis(found)}; [95 % intervals over architectures]."),
        *wrapped(f"With its own c: validation loss {figure(own.loss, 3)} nats, error {figure(own.error, 1)} %."),
        _row("told", "loss minus own, nats", "error minus own, %", "order as with own", "Spearman with truth"),
    ]
    for name, effect in found.effects.items():
        differences = [figure(effect.loss_minus_own, nats), figure(effect.error_minus_own, percent)]
        cells = ["", "", ""] if name == OWN else [*differences, figure(effect.order)]
        lines.append(_row(f"  {name}", *cells, figure(effect.truth) if found.with_truth else ""))
    cost = found.effects[ANOTHER].loss_minus_own
    says = which(
        cost,
        above="c matters: told another architecture's c, HyperNets generate worse weights",
        below="told another architecture's c, HyperNets generate better weights, which speaks against c",
        around="c cannot be told to matter: another architecture's c does about as well",
    )
    conclusion = f"So {says} (loss higher by {figure(cost, nats)} nats)."
    if found.with_truth:
        conclusion += f" Spearman with the truth changes by {figure(found.effects[ANOTHER].truth_minus_own)}."
    return "\n".join([*lines, *wrapped(conclusion)])


def _basis(found: Corruption) -> str:
    text = f"{found.architectures} architectures, {counted(found.hypernets, 'HyperNet')}"
    return f"{text}, {found.with_truth} true losses" if found.with_truth else text


def _row(*cells: str) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, (17, 29, 24, 20, 20), strict=True)).rstrip()
