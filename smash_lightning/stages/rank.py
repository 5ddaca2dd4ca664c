"""The second stage: held-out architectures are scored with generated weights."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.checkpoint import load_checkpoint, save_checkpoint
from smash_lightning.encoding import Encoding
from smash_lightning.engine import Pool, call
from smash_lightning.evaluation.tables import RANKING, append_rows, write_table
from smash_lightning.files import quoted
from smash_lightning.hypernet import ConditionalWeightSource, TrainedHyperNet, load_hypernet
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.scoring import Score, Scorer
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import make_scorer
from smash_lightning.strategies import Candidate, Ranking, Row, State, state_from_plain, state_to_plain
from smash_lightning.strategies import rank as run_ranking
from smash_lightning.strategies.racing import run_race

TOGETHER = 16  # rows that are added to the table at once; candidates that are too few for a race
LOGGED = ("val_error", "val_loss", "ensemble_error", "params")  # columns that are logged for every row


def rank(experiment: Experiment, tracker: Tracker) -> pd.DataFrame:
    """Scores architectures with the mean of all HyperNets; what is scored already is not scored again.

    Returns:
        The table `ranking.csv`, best first.

    Raises:
        ValueError: there is no HyperNet, or one of another search space, or the ranking was begun with others.
    """
    folder, images, racing = experiment.prepare_folder(), len(experiment.data.validation), experiment.ranking.racing
    scorer, drawn = scorer_of(experiment)
    ranking = make_ranking(experiment, scorer, drawn)
    record = _Record(folder, ranking, images, [each.digest() for each in scorer.hypernets])
    state = record.begin()

    with (
        ProgressBars(["scoring architectures"], [ranking.total]) as bars,
        experiment.engine.pool(call, scorer) as pool,
    ):
        bars.show(0, len(state.rows))

        def score(architectures: Sequence[Architecture]) -> Iterable[Score]:
            if racing is None or len(architectures) <= TOGETHER:
                return score_all(pool, architectures)
            common = (architectures, images, experiment.seed, experiment.engine, scorer, folder.race_state)
            scores, share = run_race(racing, *common, lambda share: bars.show(0, int(share * len(architectures))))
            print(f"The race of {len(architectures)} candidates used {share:.0%} of the validation images.")
            return scores

        def after(state: State, candidates: Sequence[Candidate]) -> None:
            for step, row in record.add(state, candidates):
                tracker.log("ranking", {name: float(row[name]) for name in LOGGED}, step)
            bars.show(0, len(state.rows))

        # An interrupted race is resumed with all of its candidates, so their rows are added when all have one.
        state = run_ranking(ranking, state, score, after, TOGETHER if racing is None else ranking.total)
    frame = record.complete(state)
    made_from = [("hypernets", experiment.source_folder().path)]
    tracker.artifact("ranking", "ranking", [folder.ranking, folder.architectures], made_from)
    return frame


@dataclass(frozen=True)
class _Record:
    """The files of a ranking: its state, by which it is continued, the table, and the architectures."""

    folder: RunFolder
    ranking: Ranking
    images: int  # of the validation
    hypernets: list[str]  # digests

    @property
    def per_hypernet(self) -> list[str]:
        return [f"val_loss_{index}" for index in range(len(self.hypernets))]

    def begin(self) -> State:
        """The state of a begun ranking or an empty one, with its rows in the table."""
        state = self.ranking.init()
        if self.folder.ranking_state.exists():
            saved = load_checkpoint(self.folder.ranking_state, "scored")
            if saved.get("hypernets", self.hypernets) != self.hypernets:
                raise ValueError(
                    f"the ranking in {self.folder.path} was begun with other HyperNets than are there now: restore "
                    "them, or rank anew in another folder"
                )
            state = state_from_plain(saved)
        if len(state.rows) < self.ranking.total:  # a complete table stays best first, whatever ends this process
            write_table(self.folder.ranking, RANKING, self._rows(state), self.per_hypernet)
        self.folder.write_architectures([row.candidate.architecture for row in state.rows])
        return state

    def add(self, state: State, candidates: Sequence[Candidate]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Saves a state and adds the rows of its last candidates, which it yields with their numbers."""
        save_checkpoint({**state_to_plain(state), "hypernets": self.hypernets}, self.folder.ranking_state)
        before = len(state.rows) - len(candidates)
        for step, (candidate, row) in enumerate(zip(candidates, self._rows(state, before), strict=True), before + 1):
            append_rows(self.folder.ranking, row)
            self.folder.append_architecture(candidate.architecture)
            yield step, row

    def complete(self, state: State) -> pd.DataFrame:
        """Writes the table, best first."""
        table = sorted(self._rows(state), key=lambda row: row["smash_score"])
        if not any(math.isfinite(row["val_loss"]) for row in table):
            raise ValueError(
                f"none of the {len(table)} architectures in {self.folder.ranking} has a finite score, as HyperNets "
                "diverged: use a lower search.learning_rate, in another folder"
            )
        return write_table(self.folder.ranking, RANKING, table, self.per_hypernet)

    def _rows(self, state: State, first: int = 0) -> list[dict[str, Any]]:
        pairs = zip(state.rows[first:], self.ranking.smash_scores(state.rows)[first:], strict=True)
        return [_row(row, score, self.images, self.ranking.space.image_spec) for row, score in pairs]


def make_ranking(experiment: Experiment, scorer: Scorer, drawn: frozenset[str]) -> Ranking:
    """The procedure that the options describe, around a scorer."""
    options, data, source = experiment.ranking, experiment.data, scorer.hypernets[0].weights
    gradient, encoding = None, Encoding(source.limits, 1)
    if isinstance(source, ConditionalWeightSource):
        gradient, encoding = lru_cache(maxsize=1)(scorer.gradient), source.encoding
    return Ranking(
        experiment.candidates,
        options.active_strategies,
        experiment.seed,
        drawn,
        data.validation.labels,
        bounds=options.bounds(data.image_spec, experiment.device),
        gradient=gradient,
        encoding=encoding,
        smash_score=options.smash_score,
    )


def scorer_of(experiment: Experiment) -> tuple[Scorer, frozenset[str]]:
    """A scorer with the HyperNets of the run, and the fingerprints that their training drew."""
    hypernets = hypernets_of(experiment)
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, hypernets)
    return scorer, frozenset().union(*(hypernet.drawn for hypernet in hypernets))


def hypernets_of(experiment: Experiment) -> list[TrainedHyperNet]:
    """The HyperNets to score with: the checkpoint that was named, or all of the run that is built on, or of its source.

    Raises ValueError where there is none, or one that was not trained to the end.
    """
    space, specification, folder = experiment.space, experiment.data.specification(), experiment.source_folder()
    if experiment.source is not None and experiment.source.is_file():
        return [load_hypernet(experiment.source, space, specification)]
    if not (paths := folder.find_hypernets()):
        remedy = "train one with task=search, or name one with checkpoint=PATH"
        raise ValueError(f"there is no HyperNet in {folder.checkpoints}: {remedy}")
    hypernets = [load_hypernet(path, space, specification) for path in paths]
    trained_in = RunFolder(paths[0].parent.parent)
    wanted = max(experiment.search.hypernets, len(paths))
    done = sum(hypernet.finished for hypernet in hypernets)
    if paths == trained_in.hypernets() and done < wanted:  # else it is one of them, which was named
        raise ValueError(
            f"{trained_in.path} holds {done} of {wanted} finished HyperNets: complete it with "
            f"{quoted('resume', trained_in.path)}, or name one with checkpoint=PATH"
        )
    return hypernets


def score_all(pool: Pool[Architecture, Score], architectures: Sequence[Architecture]) -> Iterator[Score]:
    """Yields scores, in the order of `architectures`; raises RuntimeError where one could not be scored."""
    return pool.ordered_results(architectures, lambda i: f"scoring architecture {architectures[i].fingerprint}")


def _row(row: Row, smash_score: float, images: int, image_spec: ImageSpec) -> dict[str, Any]:
    """A row of `ranking.csv`."""
    candidate, size = row.candidate, cost(row.candidate.architecture, image_spec)
    return {
        "fingerprint": candidate.architecture.fingerprint,
        "strategy": candidate.strategy,
        "parent": candidate.parent,
        "smash_score": smash_score,
        **{name: getattr(row, name) for name in ("val_error", "val_loss", "ensemble_error", "seconds")},
        **{f"val_loss_{index}": loss for index, loss in enumerate(row.val_losses)},
        "images": images if row.images is None else row.images,
        **{name: getattr(size, name) for name in ("params", "macs", "ops")},
    }
