"""A learned sampler: samples of the space, weighted by what distinguishes the best architectures.

The paper names better, learned sampling as future work. This is the cross-entropy method (Rubinstein 1999; de Boer et
al. 2005) with an autoregressive model of the decisions that make an architecture, and with the ratio of two densities
as in TPE (Bergstra et al., NeurIPS 2011). A model that generates decisions itself would need every rule of a space;
this one weights samples of the space, so it works with any space.
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

from pydantic import NonNegativeInt, PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Architecture, Op
from smash_lightning.option_types import Share
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy

SMOOTHING = 10.0  # pseudo-counts in each context, distributed as in the wider one
CACHE_SIZE = 4096


@dataclass(frozen=True)
class AutoregressiveSampler(Strategy):
    """One of several samples, chosen with a probability proportional to q_elite / q_all.

    Both are products over an architecture's decisions of smoothed conditional frequencies, among the best scored ones
    and among all. The choice follows the space's own distribution times that ratio, more exactly for a larger pool.

    Args:
        count: proposals.
        pool: samples to choose from.
        elite: share of the scored candidates that counts as best, above 0, at most 1.
    """

    count: NonNegativeInt
    pool: PositiveInt
    elite: Share
    name = "autoregressive"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        ordered = sorted(history.scored, key=lambda candidate: candidate.smash_score)
        count = max(1, round(self.elite * len(ordered)))
        everyone = Model.fit(decisions(candidate.architecture) for candidate in ordered)
        elite = Model.fit((decisions(candidate.architecture) for candidate in ordered[:count]), everyone)
        # The order of exponential variables with these rates is one of draws without replacement: should the first
        # choice not be accepted, the next one is distributed as if the first had not been in the pool.
        times = []
        for position in range(self.pool):
            architecture = space.sample(rng)
            made = decisions(architecture)
            rate = elite.log_likelihood(made) - everyone.log_likelihood(made)
            times.append((math.log(rng.expovariate(1.0)) - rate, position, architecture))
        return history.first_accepted((architecture, "") for _, _, architecture in sorted(times, key=_first_two))


def _first_two(time: tuple[float, int, Architecture]) -> tuple[float, int]:
    return time[:2]


class Decisions(NamedTuple):
    """The decisions of an architecture, in order, as names to be counted; four for each.

    They are strings, as those cache their hash and there are many to count.

    Args:
        wide: the kind of decision and its block.
        wide_value: the same with its value.
        narrow: the kind of decision, its block and op, and the value of the same decision in the op before.
        narrow_value: the same with its value.
    """

    wide: tuple[str, ...]
    wide_value: tuple[str, ...]
    narrow: tuple[str, ...]
    narrow_value: tuple[str, ...]

    @classmethod
    def of(cls, made: Iterable[tuple[str, str, object]]) -> Decisions:
        """From triples of kind, context and value."""
        rows = [(kind, f"{kind}={value}", f"{kind} {where}", f"{kind} {where}={value}") for kind, where, value in made]
        return cls(*(tuple(map(sys.intern, column)) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True)
class Model:
    """Smoothed frequencies of decisions, each given its narrow context.

    A narrow context is smoothed with the wide one, and that with `prior`: the elite's model with that of all, and that
    of all, which has none, with equal shares of all values that occurred and one that did not.

    Args:
        counts: how often each name occurs.
        options: number of different values in each wide context.
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
        """Shares of values in contexts, with pseudo-counts distributed as `bases`."""
        counts = self.counts
        return [
            (counts[value] + SMOOTHING * base) / (counts[context] + SMOOTHING)
            for context, value, base in zip(contexts, values, bases, strict=True)
        ]


@lru_cache(maxsize=CACHE_SIZE)
def decisions(architecture: Architecture) -> Decisions:
    """Of each block its width, banks and number of ops; of each op how many banks it reads, its units, how many it
    writes, the lengths of its paths, and each convolution.
    """
    made: list[tuple[str, str, object]] = []
    for b, block in enumerate(architecture.blocks):
        for name, value in (("width", block.width), ("banks", block.banks), ("ops", len(block.ops))):
            made.append((f"{name} of block {b}", "itself", value))
        before: dict[str, object] = {}
        for o, op in enumerate(block.ops):
            chosen = dict(_op_decisions(op))
            made += [(f"{name} in block {b}", f"in op {o} after {before.get(name)}", v) for name, v in chosen.items()]
            before = chosen
    return Decisions.of(made)


def _op_decisions(op: Op) -> Iterator[tuple[str, object]]:
    yield from (("read", len(op.read)), ("units", op.units), ("write", len(op.write)))
    yield "paths", tuple(len(path) for path in op.paths)
    for p, path in enumerate(op.paths):
        for s, convolution in enumerate(path):
            for field in fields(convolution):
                yield f"convolution {p} {s} {field.name}", getattr(convolution, field.name)
