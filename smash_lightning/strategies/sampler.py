"""A learned sampler: draws from the space, weighted by what sets the best architectures apart from all.

The authors leave better, learned sampling open. This is the cross-entropy method (Rubinstein 1999; de Boer et al. 2005)
with an autoregressive model of the decisions that make an architecture, and with the ratio of two densities as in TPE
(Bergstra et al., NeurIPS 2011). A learned model that draws decisions itself would have to know every rule of a space.
This one weights what the space draws, so it works with any space and never leaves it.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NamedTuple

from smash_lightning.architecture import Architecture, Op
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy

SMOOTHING = 10.0  # imagined decisions in each context, distributed as in the wider one
REMEMBERED = 4096


@dataclass(frozen=True)
class AutoregressiveSampler(Strategy):
    """One of several draws, picked with a probability proportional to q_elite / q_all.

    Both are products over an architecture's decisions of smoothed conditional frequencies, of the best scored ones and
    of all. The pick follows the space's own distribution times that ratio, the more exactly the larger the pool.

    Args:
        count: proposals.
        pool: draws to pick from.
        elite: share of what was scored that counts as best, above 0, at most 1.
    """

    count: int
    pool: int
    elite: float
    name = "autoregressive"
    sequential = True

    def __post_init__(self) -> None:
        self.require(pool=1)
        if not 0 < self.elite <= 1:
            raise ValueError(
                f"ranking.strategies.autoregressive.elite must lie above 0 and at most at 1, got {self.elite}"
            )

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """A draw, weighted."""
        ordered = sorted(history.entries, key=lambda entry: entry.loss)
        count = max(1, round(self.elite * len(ordered)))
        everyone = Model.fit(decisions(entry.architecture) for entry in ordered)
        elite = Model.fit((decisions(entry.architecture) for entry in ordered[:count]), everyone)
        # Exponential waiting times with these rates end in an order of draws without replacement: should the first
        # pick not be admitted, the next one is what would have been picked without it.
        waits = []
        for place in range(self.pool):
            architecture = space.sample(rng)
            made = decisions(architecture)
            rate = elite.log_likelihood(made) - everyone.log_likelihood(made)
            waits.append((math.log(rng.expovariate(1.0)) - rate, place, architecture))
        return history.first_admitted((architecture, "") for _, _, architecture in sorted(waits, key=_first_two))


def _first_two(wait: tuple[float, int, Architecture]) -> tuple[float, int]:
    return wait[:2]


class Decisions(NamedTuple):
    """The choices within an architecture, in order, as names that are counted; four for each.

    They are strings because those know their hash, and there are many to count.

    Args:
        wide: what was to be chosen, in which block.
        wide_value: the same with what was chosen.
        narrow: what was to be chosen, in which block and op, after what the op before chose.
        narrow_value: the same with what was chosen.
    """

    wide: tuple[str, ...]
    wide_value: tuple[str, ...]
    narrow: tuple[str, ...]
    narrow_value: tuple[str, ...]

    @classmethod
    def of(cls, made: Iterable[tuple[str, str, object]]) -> Decisions:
        """From triples of what was to be chosen, its circumstances, and what was chosen."""
        rows = [(kind, f"{kind}={value}", f"{kind} {where}", f"{kind} {where}={value}") for kind, where, value in made]
        return cls(*(tuple(map(sys.intern, column)) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True)
class Model:
    """Smoothed frequencies of decisions, each given its narrow context.

    A narrow context borrows from the wide one, and that from `prior`: the elite's model from that of all, and that of
    all, which has none, from equal shares of what was ever chosen there and of one thing that never was.

    Args:
        counts: how often each name occurs.
        options: how many different values were chosen in each wide context.
        prior: what wide contexts are smoothed with.
    """

    counts: Counter[str]
    options: Counter[str]
    prior: Model | None = None

    @classmethod
    def fit(cls, made: Iterable[Decisions], prior: Model | None = None) -> Model:
        """Counts the decisions of several architectures."""
        made = list(made)
        counts = Counter(itertools.chain.from_iterable(itertools.chain.from_iterable(made)))
        kinds = {value: kind for each in made for value, kind in zip(each.wide_value, each.wide, strict=True)}
        return cls(counts, Counter(kinds.values()), prior)

    def log_likelihood(self, made: Decisions) -> float:
        """Logarithm of the probability of these decisions."""
        return sum(map(math.log, self.probabilities(made)))

    def probabilities(self, made: Decisions) -> list[float]:
        """Of each decision, given its narrow context."""
        return self._smoothed(made.narrow, made.narrow_value, self._wide_probabilities(made))

    def _wide_probabilities(self, made: Decisions) -> list[float]:
        if self.prior is not None:
            return self._smoothed(made.wide, made.wide_value, self.prior._wide_probabilities(made))
        return self._smoothed(made.wide, made.wide_value, [1 / (self.options[kind] + 1) for kind in made.wide])

    def _smoothed(self, contexts: Sequence[str], values: Sequence[str], bases: Sequence[float]) -> list[float]:
        """Shares of values in contexts, with imagined decisions of which `bases` are the shares."""
        counts = self.counts
        return [
            (counts[value] + SMOOTHING * base) / (counts[context] + SMOOTHING)
            for context, value, base in zip(contexts, values, bases, strict=True)
        ]


@lru_cache(maxsize=REMEMBERED)
def decisions(architecture: Architecture) -> Decisions:
    """What was chosen: of each block its width, banks and number of ops, of each op how many banks it reads, its
    units, how many it writes, the lengths of its paths, and each convolution.
    """
    made: list[tuple[str, str, object]] = []
    for b, block in enumerate(architecture.blocks):
        for name, value in (("width", block.width), ("banks", block.banks), ("ops", len(block.ops))):
            made.append((f"{name} of block {b}", "itself", value))
        before: dict[str, object] = {}
        for o, op in enumerate(block.ops):
            chosen = dict(_choices(op))
            made += [(f"{name} in block {b}", f"in op {o} after {before.get(name)}", v) for name, v in chosen.items()]
            before = chosen
    return Decisions.of(made)


def _choices(op: Op) -> Iterator[tuple[str, object]]:
    yield from (("read", len(op.read)), ("units", op.units), ("write", len(op.write)))
    yield "paths", tuple(len(path) for path in op.paths)
    for p, path in enumerate(op.paths):
        for s, convolution in enumerate(path):
            for field in fields(convolution):
                yield f"convolution {p} {s} {field.name}", getattr(convolution, field.name)
