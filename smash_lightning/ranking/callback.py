"""Ranking as a Lightning callback: watches scores settle during training, and ranks in full when it ends."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.ranking.procedure import Candidate, Ranking, State, state_from_plain, state_to_plain
from smash_lightning.ranking.score import Score, Scorer

MakeScorer = Callable[[Sequence[TrainedHyperNet]], Scorer]
MakeRanking = Callable[[frozenset[str]], Ranking]


def rank(
    ranking: Ranking,
    state: State,
    score: Callable[[Sequence[Architecture]], Sequence[Score]],
    after: Callable[[State, Sequence[Candidate]], None],
    most: int,
) -> State:
    """Steps `ranking` from `state` until it is complete.

    Args:
        ranking: the procedure.
        state: where to begin.
        score: scores architectures, which are given side by side where the strategy allows.
        after: called with the new state and the candidates that it added.
        most: most architectures to score side by side.
    """
    while candidates := ranking.propose(state, most):
        state = ranking.update(state, candidates, score([candidate.architecture for candidate in candidates]))
        after(state, candidates)
    return state


class RankingCallback(L.Callback):
    """Scores held-out architectures on validation, with weights that the module in training generates.

    Args:
        fixed: architectures that are scored every `every` epochs; training never draws them.
        every: epochs between those scores, after the last epoch in any case.
        make_scorer: builds a scorer around HyperNets.
        make_ranking: builds the full ranking, given the fingerprints that training drew; it runs when the fit ends.
            None leaves it out, for instance where several HyperNets are to be averaged first.

    Attributes:
        history: epoch and validation losses of the fixed architectures, for each time they were scored.
        state: the full ranking.
    """

    def __init__(
        self,
        fixed: Sequence[Architecture],
        every: int,
        make_scorer: MakeScorer,
        make_ranking: MakeRanking | None = None,
    ) -> None:
        self.fixed, self.every = fixed, every
        self.make_scorer, self.make_ranking = make_scorer, make_ranking
        self.history: list[tuple[int, list[float]]] = []
        self.state = State()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores the fixed architectures, and logs their mean and spread."""
        epoch = trainer.current_epoch + 1
        if not self.fixed or (epoch % self.every and epoch != trainer.max_epochs):
            return
        with _averaged(trainer, pl_module):
            scorer = self.make_scorer([self._trained(pl_module)])
            losses = _divided(self.fixed, lambda architecture: scorer(architecture).loss, trainer)
        self.history.append((epoch, losses))
        mean = sum(losses) / len(losses)
        pl_module.log_dict({"fixed_val_loss": mean, "fixed_val_loss_best": min(losses)})

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ranks in full."""
        if self.make_ranking is None:
            return
        trained = self._trained(pl_module)
        scorer = self.make_scorer([trained])
        self.state = rank(
            self.make_ranking(trained.drawn),
            self.state,
            score=lambda architectures: [scorer(architecture) for architecture in architectures],
            after=lambda state, candidates: None,
            most=1,
        )

    @staticmethod
    def _trained(module: Any) -> TrainedHyperNet:
        # A copy that is out of training, for scores must not move the running averages.
        return TrainedHyperNet(module.weights, copy.deepcopy(module.statistics).eval(), frozenset(module.drawn))

    def state_dict(self) -> dict[str, Any]:
        """History and ranking, as plain values."""
        return {"history": self.history, "state": state_to_plain(self.state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.history = [(epoch, list(losses)) for epoch, losses in state_dict["history"]]
        self.state = state_from_plain(state_dict["state"])


def _divided(
    architectures: Sequence[Architecture], score: Callable[[Architecture], float], trainer: L.Trainer
) -> list[float]:
    """Scores in order; processes that train together score a share each."""
    rank, world = trainer.global_rank, trainer.world_size
    mine = [score(architecture) for architecture in architectures[rank::world]]
    if world == 1:
        return mine
    shares: list[list[float]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(shares, mine)
    return [shares[place % world][place // world] for place in range(len(architectures))]


@contextmanager
def _averaged(trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
    """The module with its averaged weights, where a callback averages them, as Lightning has it during a validation."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in averages:
        callback.on_validation_epoch_start(trainer, module)
    yield
    for callback in averages:
        callback.on_validation_epoch_end(trainer, module)
