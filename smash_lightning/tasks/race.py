"""Candidates that do not wait for each other are scored in a race, where `ranking.racing` asks for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.files import replacing
from smash_lightning.parallel import Failure, Pool
from smash_lightning.ranking import Score, Scorer
from smash_lightning.ranking.racing import Race, RaceState, Racing, full_means, race_from_plain, race_to_plain
from smash_lightning.training import load_checkpoint
from smash_lightning.training.relay import Send

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
    """Races `architectures`; survivors are scored in full, others have an estimate of their loss and error.

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
    state, looks = _restore(path, race, names, len(scorer.hypernets) + 1)
    with Pool[Job, Tensor](look_once, scorer, workers) as pool:
        while True:
            candidates, positions = race.ask(state, SIDE_BY_SIDE)
            if not candidates:
                break
            new = _look(pool, [(architectures[candidate], positions) for candidate in candidates])
            for candidate, look in zip(candidates, new, strict=True):
                looks[candidate] = torch.cat([looks[candidate], look], 1)
            state = race.tell(state, candidates, torch.stack([look[:-1].mean(0) for look in new]))
            _save(path, names, state, looks)
            progress(race.spent(state))
    scores = _scores(race, state, looks, architectures, scorer)
    return RaceOutcome(scores, race.spent(state))


def look_once(scorer: Scorer, job: Job, send: Send) -> Tensor:
    """What `Scorer.look` says of an architecture, in a process of its own."""
    del send
    return scorer.look(*job)


def _look(pool: Pool[Job, Tensor], jobs: Sequence[Job]) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    for position, outcome in pool.run(jobs):
        if isinstance(outcome, Failure):
            name = jobs[position][0].fingerprint
            raise RuntimeError(f"scoring architecture {name}: {outcome.reason}\n{outcome.details}")
        found[position] = outcome
    return [found[position] for position in range(len(jobs))]


def _scores(
    race: Race, state: RaceState, looks: Sequence[Tensor], architectures: Sequence[Architecture], scorer: Scorer
) -> list[Score]:
    rows = range(looks[0].shape[0])
    means = [full_means([look[row] for look in looks]) for row in rows]  # by HyperNet, then the error
    scores = []
    for candidate, standing in enumerate(race.standings(state)):
        if standing.survived:
            scores.append(scorer(architectures[candidate]))
            continue
        *losses, wrong = (of_row[candidate] for of_row in means)
        nothing = torch.zeros(())  # an ensemble of all does not hear of it
        scores.append(Score(100 * wrong, sum(losses) / len(losses), tuple(losses), nothing, images=standing.images))
    return scores


def _restore(path: Path | None, race: Race, names: list[str], rows: int) -> tuple[RaceState, list[Tensor]]:
    nothing = [torch.zeros(rows, 0) for _ in names]
    if path is None or not path.exists():
        return race.init(), nothing
    saved = load_checkpoint(path, "race")
    return (race_from_plain(saved["race"]), saved["looks"]) if saved["names"] == names else (race.init(), nothing)


def _save(path: Path | None, names: list[str], state: RaceState, looks: list[Tensor]) -> None:
    if path is not None:
        with replacing(path) as partial:
            torch.save({"names": names, "race": race_to_plain(state), "looks": looks}, partial)
