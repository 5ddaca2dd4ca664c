"""Candidates that do not wait for each other are scored in a race, where `ranking.racing` asks for one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.engine import Pool
from smash_lightning.files import atomic_write
from smash_lightning.scoring import Score, Scorer
from smash_lightning.strategies.racing import Race, RaceState, Racing, full_means, race_from_plain, race_to_plain
from smash_lightning.training import load_checkpoint
from smash_lightning.training.messages import Send

SIDE_BY_SIDE = 16
Job = tuple[Architecture, Tensor]


@dataclass(frozen=True)
class RaceOutcome:
    """The score of each candidate, in their order, and the share of validation images that the race took."""

    scores: list[Score]
    spent: float


def run_race(
    racing: Racing,
    architectures: Sequence[Architecture],
    labels: Tensor,
    seed: int,
    workers: int,
    scorer: Scorer,
    path: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> RaceOutcome:
    """Races `architectures`: survivors have the loss and error of all images, others an estimate of them.

    Args:
        racing: the options.
        architectures: candidates.
        labels: of the validation images (images,).
        seed: of the order of the images.
        workers: processes.
        scorer: what scores.
        path: where the race is kept, so that an interrupted one is taken up; None keeps it nowhere.
        progress: told the share of all images that was spent, now and then.

    Raises:
        RuntimeError: a candidate could not be scored.
    """
    race = Race(racing, len(architectures), labels, seed)
    names = [architecture.fingerprint for architecture in architectures]
    belongs = [repr(racing), str(seed), *names]  # a race of other candidates or by other rules is not taken up
    state, looks = _restore(path, race, belongs, len(scorer.hypernets) + 1)
    with Pool[Job, Tensor](look_once, scorer, workers) as pool:
        while True:
            candidates, positions = race.ask(state, SIDE_BY_SIDE)
            if not candidates:
                break
            new = _look(pool, [(architectures[candidate], positions) for candidate in candidates])
            for candidate, look in zip(candidates, new, strict=True):
                looks[candidate] = torch.cat([looks[candidate], look], 1)
            state = race.tell(state, candidates, torch.stack([look[:-1].mean(0) for look in new]))
            _save(path, belongs, state, looks)
            progress(race.spent(state))
    return RaceOutcome(_scores(race, state, looks), race.spent(state))


def look_once(scorer: Scorer, job: Job, send: Send) -> Tensor:
    """What `Scorer.look` says of an architecture, in a process of its own."""
    del send
    return scorer.look(*job)


def _look(pool: Pool[Job, Tensor], jobs: Sequence[Job]) -> list[Tensor]:
    found = dict(pool.results(jobs, lambda i: f"scoring architecture {jobs[i][0].fingerprint}"))
    return [found[position] for position in range(len(jobs))]


def _scores(race: Race, state: RaceState, looks: Sequence[Tensor]) -> list[Score]:
    finite = [look.where(look.isfinite(), math.inf) for look in looks]
    means = [full_means([look[row] for look in finite]) for row in range(len(looks[0]))]  # by HyperNet, then the error
    standings = race.standings(state)
    best = sorted(standing.loss for standing in standings if standing.survived)
    # `keep` others beat one that left: an estimate that says otherwise is corrected by what is known.
    least = best[min(race.keep, len(best)) - 1]
    scores = []
    for candidate, standing in enumerate(standings):
        *losses, wrong = (of_row[candidate] for of_row in means)
        mean = sum(losses) / len(losses)
        loss = mean if standing.survived else max(mean, least)
        nothing = torch.zeros(())  # an ensemble of all that are scored does not hear of those that race
        scores.append(Score(100 * wrong, loss, tuple(losses), nothing, images=standing.images))
    return scores


def _restore(path: Path | None, race: Race, belongs: list[str], rows: int) -> tuple[RaceState, list[Tensor]]:
    nothing = [torch.zeros(rows, 0) for _ in range(race.candidates)]
    if path is None or not path.exists():
        return race.init(), nothing
    saved = load_checkpoint(path, "race")
    return (race_from_plain(saved["race"]), saved["looks"]) if saved["belongs"] == belongs else (race.init(), nothing)


def _save(path: Path | None, belongs: list[str], state: RaceState, looks: list[Tensor]) -> None:
    if path is not None:
        with atomic_write(path) as partial:
            torch.save({"belongs": belongs, "race": race_to_plain(state), "looks": looks}, partial)
