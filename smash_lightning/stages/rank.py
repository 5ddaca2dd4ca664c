"""The second stage: held-out architectures are scored with generated weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.engine import Pool, local_device
from smash_lightning.evaluation.tables import Scored, append_record, read_records, write_records
from smash_lightning.files import atomic_write
from smash_lightning.hypernet import GeneratedWeights, TrainedHyperNet
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import MeasuredLatency, Score, Scorer
from smash_lightning.stages.experiment import Experiment, RunFolder, architecture_line
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Candidate, Ranking, Row, State, state_from_plain, state_to_plain
from smash_lightning.strategies import rank as run_ranking
from smash_lightning.strategies.racing import run_race
from smash_lightning.training import load_checkpoint, load_hypernet
from smash_lightning.training.messages import Send

SIDE_BY_SIDE = 16  # architectures that are scored concurrently


def rank(experiment: Experiment, tracker: Tracker) -> list[Scored]:
    """Scores architectures with the mean of all HyperNets; what is scored already is not scored again.

    Returns:
        The table, best first.

    Raises:
        ValueError: there is no HyperNet, or one of another search space.
    """
    folder = experiment.folder
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    scorer, drawn = scorer_of(experiment)
    data = experiment.data
    ranking = make_ranking(experiment, scorer, drawn)
    state = _restore(folder, ranking)

    def records(state: State, first: int = 0) -> list[Scored]:
        keys = ranking.smash_scores(state.rows)
        rows = zip(state.rows[first:], keys[first:], strict=True)
        return [_record(row, key, len(data.validation), data.image_spec) for row, key in rows]

    write_records(folder.ranking, records(state), Scored)
    folder.write_architectures([row.candidate.architecture for row in state.rows])

    with (
        ProgressBars(["scoring architectures"], [ranking.total]) as bars,
        Pool(score_one, scorer, experiment.workers) as pool,
    ):
        bars.show(0, len(state.rows))

        def score(architectures: Sequence[Architecture]) -> list[Score]:
            racing = experiment.ranking.racing
            if racing is None or len(architectures) <= SIDE_BY_SIDE:
                return score_all(pool, architectures)
            scores, share = run_race(
                racing,
                architectures,
                data.validation.labels,
                experiment.seed,
                experiment.workers,
                scorer,
                folder.checkpoints / "race.pt",
                lambda share: bars.show(0, int(share * len(architectures))),
            )
            print(f"The race of {len(architectures)} candidates took {share:.0%} of the validation images.")
            return scores

        def after(state: State, candidates: Sequence[Candidate]) -> None:
            _save(folder, state)
            before = len(state.rows) - len(candidates)
            added = zip(candidates, records(state, before), strict=True)
            for step, (candidate, record) in enumerate(added, start=before + 1):
                append_record(folder.ranking, record)
                with folder.architectures.open("a") as file:
                    file.write(architecture_line(candidate.architecture))
                tracker.log("ranking", _progress(record), step)
            bars.show(0, len(state.rows))

        most = (
            SIDE_BY_SIDE if experiment.ranking.racing is None else ranking.total
        )  # a race is of all who can take part
        state = run_ranking(ranking, state, score, after, most)
    table = sorted(records(state), key=lambda record: record.smash_score)
    write_records(folder.ranking, table, Scored)
    made_from = [("hypernets", experiment.source_folder().path)]
    tracker.artifact("ranking", "ranking", [folder.ranking, folder.architectures], made_from)
    return table


def make_ranking(experiment: Experiment, scorer: Scorer, drawn: frozenset[str]) -> Ranking:
    """The procedure that the options describe, around what scores."""
    options, data = experiment.ranking, experiment.data
    source = scorer.hypernets[0].weights
    bounded = options.max_latency is not None
    return Ranking(
        experiment.candidates,
        options.active_strategies,
        experiment.seed,
        drawn,
        data.validation.labels,
        constraints=options.constraints,
        latency=MeasuredLatency(data.image_spec, local_device(experiment.device), options.latency_batch)
        if bounded
        else None,
        gradient=lru_cache(maxsize=1)(scorer.gradient)
        if isinstance(source, GeneratedWeights) and source.conditional
        else None,
        encoding=source.encoding,
        smash_score=options.smash_score,
    )


def score_one(scorer: Scorer, architecture: Architecture, send: Send) -> Score:
    """Scores one architecture in a process of its own."""
    del send
    return scorer(architecture)


def ranked(folder: RunFolder) -> list[Scored]:
    """The table of a ranking, best first.

    Raises:
        ValueError: there is none.
    """
    if not folder.ranking.exists():
        raise ValueError(f"there is no ranking in {folder.path}: name a run that has one with checkpoint=FOLDER")
    return sorted(read_records(folder.ranking, Scored), key=lambda record: record.smash_score)


def scorer_of(experiment: Experiment) -> tuple[Scorer, frozenset[str]]:
    """What scores with the run's HyperNets, and the fingerprints that their training drew."""
    hypernets = hypernets_of(experiment)
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, hypernets)
    return scorer, frozenset().union(*(hypernet.drawn for hypernet in hypernets))


def hypernets_of(experiment: Experiment) -> list[TrainedHyperNet]:
    """The HyperNets to score with: the file that was named, or all of a run, which must then be complete."""
    space, specification = experiment.space, experiment.data.specification()
    if experiment.source is not None and experiment.source.is_file():
        return [load_hypernet(experiment.source, space, specification)]
    folder, wanted = experiment.source_folder(), experiment.search.hypernets
    paths = folder.hypernets()
    if not paths:
        raise ValueError(
            f"there is no HyperNet in {folder.checkpoints}: "
            "train one with task=search, or name one with checkpoint=PATH"
        )
    hypernets = [load_hypernet(path, space, specification) for path in paths]
    done = sum(hypernet.finished for hypernet in hypernets)
    if done < max(wanted, len(paths)):
        raise ValueError(
            f"{folder.path} holds {done} of {max(wanted, len(paths))} finished HyperNets: complete it with "
            f"resume={folder.path}, or name one with checkpoint=PATH"
        )
    return hypernets


def score_all(pool: Pool[Architecture, Score], architectures: Sequence[Architecture]) -> list[Score]:
    """Scores, in the order of `architectures`.

    Raises:
        RuntimeError: one could not be scored.
    """
    found = dict(pool.results(architectures, lambda i: f"scoring architecture {architectures[i].fingerprint}"))
    return [found[position] for position in range(len(architectures))]


def _restore(folder: RunFolder, ranking: Ranking) -> State:
    if not folder.ranking_state.exists():
        return ranking.init()
    return state_from_plain(load_checkpoint(folder.ranking_state, "rows"))


def _save(folder: RunFolder, state: State) -> None:
    with atomic_write(folder.ranking_state) as partial:
        torch.save(state_to_plain(state), partial)


def _record(row: Row, key: float, images: int, image_spec: ImageSpec) -> Scored:
    architecture = row.candidate.architecture
    size = cost(architecture, image_spec)
    return Scored(
        fingerprint=architecture.fingerprint,
        strategy=row.candidate.strategy,
        parent=row.candidate.parent,
        smash_score=key,
        val_error=row.val_error,
        val_loss=row.val_loss,
        ensemble_error=row.ensemble_error,
        images=images if row.images is None else row.images,
        params=size.params,
        macs=size.macs,
        ops=size.ops,
        val_loss_by_hypernet=";".join(repr(loss) for loss in row.val_losses),
        seconds=row.seconds,
    )


def _progress(record: Scored) -> dict[str, float]:
    return {
        "val_error": record.val_error,
        "val_loss": record.val_loss,
        "ensemble_error": record.ensemble_error,
        "params": float(record.params),
    }
