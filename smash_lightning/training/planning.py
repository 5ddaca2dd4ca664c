"""What a training draws for its steps, and the tables of it, made ahead by another process where a GPU would wait.

A process, not a thread: drawing and encoding are plain Python, which blocks the interpreter that launches kernels.
"""

import itertools
import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from smash_lightning.architecture import Architecture
from smash_lightning.engine.local import Local, Worker, blocked_signals
from smash_lightning.host_tables import Call, Packed, pack, placed
from smash_lightning.hypernet.base import Tables
from smash_lightning.random_streams import Stream, rng
from smash_lightning.search_space import SearchSpace

AHEAD = 2  # batches


@dataclass(frozen=True)
class Draw:
    """What determines the architectures of a training, in plain values, as another process has them.

    Args:
        space: to draw from.
        seed: of the draws.
        steps: of the whole training.
        count: architectures in a batch.
        held_out: fingerprints of architectures that are never drawn.
        tables: functions from an architecture to the tables on the host that its weights and its network need.
    """

    space: SearchSpace
    seed: int
    steps: int
    count: int
    held_out: frozenset[str]
    tables: tuple[Tables, ...] = ()

    def __call__(self, step: int, microbatch_index: int, index: int) -> tuple[Architecture, str]:
        """The random architecture `index` of a batch, never one that is held out, and its fingerprint."""
        progress = step / max(self.steps, 1)
        for attempt in itertools.count():
            key = (Stream.ARCHITECTURE, self.seed, step, microbatch_index, index, attempt)
            architecture = self.space.sample(rng(*key), progress)
            if (fingerprint := architecture.fingerprint) not in self.held_out:
                break
        return architecture, fingerprint

    def calls(self, drawn: list[tuple[Architecture, str]]) -> list[Call]:
        """The tables of several architectures."""
        return [call for architecture, _ in drawn for tables in self.tables for call in tables(architecture)]


@dataclass(frozen=True, slots=True)
class Plan:
    """The architectures of a batch with their fingerprints, and their tables if these are made ahead."""

    drawn: list[tuple[Architecture, str]]
    tables: Packed | None = None


class Planner:
    """Plans of batches: each is a pure function of step and index of the batch, so that it may be made at any time.

    Args:
        draw: of the training.
        ahead: batches that are planned ahead by another process; 0 for none, where no other core is free.
    """

    def __init__(self, draw: Draw, ahead: int) -> None:
        self.draw, self.ahead = draw, ahead
        self._worker = Worker(Local(), 0) if ahead else None
        self._draw = pickle.dumps(draw) if ahead else b""
        self._futures: dict[tuple[int, int], Future[Plan]] = {}

    def plan(self, batches: Iterator[tuple[int, int]]) -> Plan:
        """The plan of the first of `batches`, each a step and an index of a batch; some of the others are begun."""
        first, *others = itertools.islice(batches, 1 + self.ahead)
        if self._worker is None:
            return Plan([self.draw(*first, index) for index in range(self.draw.count)])
        try:
            for batch in (first, *others):
                if batch not in self._futures:
                    with blocked_signals():
                        self._futures[batch] = self._worker.executor.submit(make_plan, self._draw, *batch)
            plan = self._futures[first].result()
        except BrokenProcessPool:  # as it was killed: its work is done here
            self.close()
            return self.plan(iter([first]))
        self._futures = {batch: future for batch, future in self._futures.items() if batch >= first}
        return plan

    def placed(self, plan: Plan, device: torch.device) -> AbstractContextManager[None]:
        """Within it, the tables of a plan are on `device`."""
        return placed(self.draw.calls(plan.drawn) if plan.tables else [], plan.tables, device)

    def close(self) -> None:
        """Ends the process."""
        if self._worker is not None:
            self._worker.end()
        self._worker, self._futures = None, {}


_draws: dict[bytes, Draw] = {}  # of this process


def make_plan(draw: bytes, step: int, microbatch_index: int) -> Plan:
    """The plan of a batch, with its tables."""
    if draw not in _draws:
        _draws[draw] = pickle.loads(draw)
    own = _draws[draw]
    drawn = [own(step, microbatch_index, index) for index in range(own.count)]
    return Plan(drawn, pack(own.calls(drawn)))
