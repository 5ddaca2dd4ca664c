"""What does an earlier run give an investigation to work on?"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.bootstrap import MINIMUM
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.sample import join
from smash_lightning.evaluation.tables import read_ranking, read_retrained
from smash_lightning.hypernet import ConditionalWeightSource
from smash_lightning.random_streams import Stream, rng
from smash_lightning.scoring import Scorer
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import scorer_of


@dataclass(frozen=True, slots=True, eq=False)
class Truths:
    """Representative architectures with score and truth; row i of everything is one architecture.

    Args:
        architectures: those of the arms spread and random, (n,).
        losses: mean test loss after ordinary training, nats, (n,).
        trainings: the same of each seed, (n, seeds); NaN where it failed.
        by_hypernet: validation loss with each HyperNet of the ranking, nats, (n, HyperNets).
    """

    architectures: tuple[Architecture, ...]
    losses: Floats
    trainings: Floats
    by_hypernet: Floats

    def by_name(self) -> dict[str, float]:
        """The mean test loss by fingerprint."""
        names = (architecture.fingerprint for architecture in self.architectures)
        return dict(zip(names, map(float, self.losses), strict=True))


def known_truths(experiment: Experiment) -> Truths:
    """The representative architectures that the earlier run trained normally, however few they are.

    Raises:
        ValueError: nothing was ranked or retrained.
    """
    source = experiment.source_folder()
    sample = join(read_ranking(source), read_retrained(source))
    architectures, chosen = source.read_architectures(), sample.representative
    names = [name for name, local_device in zip(sample.fingerprints, chosen, strict=True) if local_device]
    return Truths(
        architectures=tuple(architectures[name] for name in names),
        losses=sample.ground_truth("true_loss")[chosen],
        trainings=sample.trainings["true_loss"][chosen],
        by_hypernet=sample.by_hypernet[chosen],
    )


def enough_truths(experiment: Experiment) -> Truths:
    """The same, of which there must be enough to estimate anything.

    Raises:
        ValueError: nothing was ranked or retrained, or fewer than five have a truth.
    """
    truths = known_truths(experiment)
    if len(truths.losses) < MINIMUM:
        raise ValueError(
            f"{experiment.source_folder().path} has true losses of {len(truths.losses)} representative architectures, "
            f"and fewer than {MINIMUM} show nothing: name a run with more (retrain.stratified) with checkpoint=FOLDER"
        )
    return truths


def random_candidates(
    experiment: Experiment, count: int, option: str, preferred: Container[str] = ()
) -> list[Architecture]:
    """At most `count` random architectures of the earlier run's ranking, drawn from those that came from the space.

    Args:
        experiment: its source folder holds the ranking.
        count: how many are asked for; all of them where there are fewer.
        option: what the count is called in the configuration.
        preferred: fingerprints of those that are taken first.

    Raises:
        ValueError: there is no ranking, or they are fewer than five.
    """
    if count < MINIMUM:
        raise ValueError(f"{option} must be at least {MINIMUM}, got {count}")
    source = experiment.source_folder()
    table = read_ranking(source)
    rows = table["fingerprint"][(table["strategy"] == "random") & table["val_loss"].abs().lt(math.inf)]
    if len(rows) < MINIMUM:
        raise ValueError(
            f"the ranking in {source.path} holds {len(rows)} random architectures with a score, and fewer than "
            f"{MINIMUM} show nothing: name a run with more (ranking.strategies.random.count) with checkpoint=FOLDER"
        )
    names = sorted(map(str, rows))
    rng(Stream.ANALYSIS, experiment.seed).shuffle(names)
    names.sort(key=lambda name: name not in preferred)
    architectures = source.read_architectures()
    return [architectures[name] for name in names[:count]]


def told_c(experiment: Experiment, task: str) -> tuple[Scorer, frozenset[str]]:
    """What scores with the earlier run's HyperNets, which see c, and the fingerprints that their training drew.

    Raises:
        ValueError: there is no HyperNet, or it does not see c.
    """
    scorer, drawn = scorer_of(experiment)
    for hypernet in scorer.hypernets:
        source = hypernet.weights
        if not isinstance(source, ConditionalWeightSource):
            raise ValueError(
                f"task={task} asks what HyperNets make of c, and those of {experiment.source_folder().path} see none "
                f"({type(source).__name__}): name a run with hypernet=conditional or residual with checkpoint=FOLDER"
            )
    return scorer, drawn
