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
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from smash_lightning.architecture import Architecture, Op
from smash_lightning.ranking.proposal.base import History, Pick, Proposal
from smash_lightning.search_space import SearchSpace

SMOOTHING = 10.0  # imagined decisions in each context, distributed as in the wider one
REMEMBERED = 4096


@dataclass(frozen=True)
class Autoregressive(Proposal):
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
    origin = "autoregressive"
    sequential = True

    def __post_init__(self) -> None:
        self.require(pool=1)
        if not 0 < self.elite <= 1:
            raise ValueError(
                f"ranking.proposals.autoregressive.elite must lie above 0 and at most at 1, got {self.elite}"
            )

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Pick:
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


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice within an architecture.

    Args:
        wide: its kind and block.
        narrow: the same with the op's place and what the op before chose.
        value: what was chosen.
    """

    wide: Hashable
    narrow: Hashable
    value: Hashable


Table = dict[Hashable, Counter[Hashable]]  # how often each value occurs, by context


@dataclass(frozen=True, slots=True)
class Model:
    """Smoothed frequencies of decisions, each given its narrow context.

    A narrow context borrows from the wide one, and that from `prior`: the elite's model from that of all, and that of
    all, which has none, from equal shares of what was ever chosen there and of one thing that never was.

    Args:
        wide: counts by wide context.
        narrow: counts by narrow context.
        prior: what wide contexts are smoothed with.
    """

    wide: Table
    narrow: Table
    prior: Model | None = None

    @classmethod
    def fit(cls, made: Iterable[Sequence[Decision]], prior: Model | None = None) -> Model:
        """Counts the decisions of several architectures."""
        wide: Table = {}
        narrow: Table = {}
        for decision in itertools.chain.from_iterable(made):
            wide.setdefault(decision.wide, Counter())[decision.value] += 1
            narrow.setdefault(decision.narrow, Counter())[decision.value] += 1
        return cls(wide, narrow, prior)

    def log_likelihood(self, made: Iterable[Decision]) -> float:
        """Logarithm of the probability of these decisions."""
        return sum(math.log(self.probability(decision)) for decision in made)

    def probability(self, decision: Decision) -> float:
        """Of the value, given the narrow context."""
        return _smoothed(self.narrow, decision.narrow, decision.value, self._wide_probability(decision))

    def _wide_probability(self, decision: Decision) -> float:
        if self.prior is None:
            base = 1 / (len(self.wide.get(decision.wide, ())) + 1)
        else:
            base = self.prior._wide_probability(decision)
        return _smoothed(self.wide, decision.wide, decision.value, base)


def _smoothed(table: Table, context: Hashable, value: Hashable, base: float) -> float:
    counts = table.get(context)
    if counts is None:
        return base
    return (counts[value] + SMOOTHING * base) / (counts.total() + SMOOTHING)


@lru_cache(maxsize=REMEMBERED)
def decisions(architecture: Architecture) -> tuple[Decision, ...]:
    """What was chosen, in order: of each block its width, banks and number of ops, of each op how many banks it reads,
    its units, how many it writes, the lengths of its paths, and each convolution.
    """
    made = []
    for b, block in enumerate(architecture.blocks):
        for name, value in (("width", block.width), ("banks", block.banks), ("ops", len(block.ops))):
            made.append(Decision((b, name), (b, name), value))
        before: dict[str, Hashable] = {}
        for o, op in enumerate(block.ops):
            chosen = dict(_choices(op))
            made += [Decision((b, name), (b, name, o, before.get(name)), value) for name, value in chosen.items()]
            before = chosen
    return tuple(made)


def _choices(op: Op) -> Iterator[tuple[str, Hashable]]:
    yield from (("read", len(op.read)), ("units", op.units), ("write", len(op.write)))
    yield "paths", tuple(len(path) for path in op.paths)
    for p, path in enumerate(op.paths):
        for s, convolution in enumerate(path):
            for field in fields(convolution):
                yield f"convolution {p} {s} {field.name}", getattr(convolution, field.name)
