"""A learned sampler: samples of the space, weighted by what distinguishes the best architectures.

The paper names better, learned sampling as future work. This is the cross-entropy method (Rubinstein 1999; de Boer et
al. 2005) with an autoregressive model of the decisions that make an architecture, and with the ratio of two densities
as in TPE (Bergstra et al., NeurIPS 2011). A model that generates decisions itself would need every rule of a space;
this one weights samples of the space, so it works with any space.
"""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache

from pydantic import NonNegativeInt, PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Architecture, Op
from smash_lightning.option_types import Share
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy

SMOOTHING = 10.0  # pseudo-counts in each context, distributed as in the wider one
CACHE_SIZE = 4096
Decision = tuple[str, str, Hashable]  # kind, narrow context, and value


@dataclass(frozen=True)
class AutoregressiveSampler(Strategy):
    """One of several samples, chosen with a probability proportional to q_elite / q_all.

    Both are products over an architecture's decisions of smoothed conditional frequencies, among the best scored ones
    and among all. The choice follows the space's own distribution times that ratio, more exactly for a larger pool.
    """

    count: NonNegativeInt
    pool: PositiveInt
    elite: Share
    name = "autoregressive"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        ordered = sorted(history.scored, key=lambda candidate: candidate.smash_score)
        made = [decisions(candidate.architecture) for candidate in ordered]
        everyone = Model(made)
        elite = Model(made[: max(1, round(self.elite * len(made)))], everyone)
        # The order of exponential variables with these rates is one of draws without replacement: should the first
        # choice not be accepted, the next one is distributed as if the first had not been in the pool.
        times: list[tuple[float, Architecture]] = []
        for _ in range(self.pool):
            architecture = space.sample(rng)
            new = decisions(architecture)
            rate = elite.log_likelihood(new) - everyone.log_likelihood(new)
            times.append((math.log(rng.expovariate(1.0)) - rate, architecture))
        return history.first_accepted((architecture, "") for _, architecture in sorted(times, key=lambda t: t[0]))


class Model:
    """Smoothed frequencies of decisions, each given its narrow context.

    A narrow context is smoothed with the wide one, which is the kind of decision alone, and that with `prior`: the
    elite's model with that of all, and that of all, which has none, with equal shares of all values that occurred and
    one that did not.
    """

    def __init__(self, made: Iterable[Iterable[Decision]], prior: "Model | None" = None) -> None:
        self.prior = prior
        self.wide: dict[str, Counter[Hashable]] = defaultdict(Counter)
        self.narrow: dict[tuple[str, str], Counter[Hashable]] = defaultdict(Counter)
        for kind, context, value in itertools.chain.from_iterable(made):
            self.wide[kind][value] += 1
            self.narrow[kind, context][value] += 1

    def log_likelihood(self, made: Iterable[Decision]) -> float:
        """Logarithm of the probability of these decisions."""
        return sum(math.log(self.probability(*decision)) for decision in made)

    def probability(self, kind: str, context: str, value: Hashable) -> float:
        """Of a decision, given its narrow context."""
        return _smoothed(self.narrow[kind, context], value, self._wide_probability(kind, value))

    def _wide_probability(self, kind: str, value: Hashable) -> float:
        counts = self.wide[kind]
        base = 1 / (len(counts) + 1) if self.prior is None else self.prior._wide_probability(kind, value)
        return _smoothed(counts, value, base)


def _smoothed(counts: Counter[Hashable], value: Hashable, base: float) -> float:
    """Share of `value`, with pseudo-counts of which it has the share `base`."""
    return (counts[value] + SMOOTHING * base) / (counts.total() + SMOOTHING)


@lru_cache(maxsize=CACHE_SIZE)
def decisions(architecture: Architecture) -> list[Decision]:
    """Of each block its width, banks and number of ops; of each op how many banks it reads, its units, how many it
    writes, the lengths of its paths, how they meet, and each convolution. The context of a decision is the value of the
    same decision in the op before.
    """
    made: list[Decision] = []
    for b, block in enumerate(architecture.blocks):
        for name, value in (("width", block.width), ("banks", block.banks), ("ops", len(block.ops))):
            made.append((f"{name} of block {b}", "itself", value))
        before: dict[str, Hashable] = {}
        for o, op in enumerate(block.ops):
            chosen = op_decisions(op)
            made += [(f"{name} in block {b}", f"in op {o} after {before.get(name)}", v) for name, v in chosen.items()]
            before = chosen
    return made


def op_decisions(op: Op) -> dict[str, Hashable]:
    """An op's decisions by name, without which banks it reads and writes."""
    paths = tuple(len(path) for path in op.paths)
    chosen: dict[str, Hashable] = {"read": len(op.read), "units": op.units, "write": len(op.write)}
    chosen |= {"paths": paths, "meet": op.meet}
    for p, path in enumerate(op.paths):
        for s, convolution in enumerate(path):
            chosen |= {f"convolution {p} {s} {name}": value for name, value in asdict(convolution).items()}
    return chosen
