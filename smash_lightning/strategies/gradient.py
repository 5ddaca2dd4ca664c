"""The architectural gradient by proxy: dE/dc selects among perturbations of the best architecture (paper, section 4).

The authors report that it was no better than random perturbation.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from typing_extensions import override

from smash_lightning.architecture import Architecture, Op
from smash_lightning.encoding import EMPTY, Encoding
from smash_lightning.option_types import Probability
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy, best


@dataclass(frozen=True)
class ArchitecturalGradient(Strategy):
    """Of several perturbations of the best architecture, the one with the lowest loss to first order."""

    count: NonNegativeInt
    pool: PositiveInt
    probability: Probability
    name = "gradient"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        if history.gradient is None or history.encoding is None:
            raise ValueError(
                "ranking.strategies.gradient needs the gradient of the loss in c, which this HyperNet does not have: "
                "set ranking.strategies.gradient.count=0"
            )
        parent, encoding = best(history.scored).architecture, history.encoding
        slope, c = history.gradient(parent).detach().double().cpu(), encoding.encode(parent).double()
        found: dict[Architecture, None] = {}
        for _ in range(4 * self.pool):
            if len(found) < self.pool and (candidate := space.perturb(parent, rng, self.probability)) != parent:
                found[candidate] = None
        predicted = {new: float((slope * change(encoding, parent, new, c)).sum()) for new in found}
        ordered = sorted(found, key=lambda candidate: predicted[candidate]) or [parent]
        return history.first_accepted((candidate, parent.fingerprint) for candidate in ordered)


def change(encoding: Encoding, old: Architecture, new: Architecture, c: Tensor) -> Tensor:
    """Difference of `c`, the encoding of `old`, when `old` is changed into `new`; of the shape of `c`.

    Ops are compared one by one, slice by slice from the first. Where `new` has nothing, it counts as empty; what it has
    beyond `old` has no slice in this c, hence no gradient, and is left out.
    """
    after, moved = encoding.encode(new), torch.full_like(c, EMPTY)
    old_spans, new_spans = iter(encoding.spans(old)), encoding.spans(new)
    first = 0
    for old_block, new_block in zip(old.blocks, new.blocks, strict=True):
        for match in matching_ops(old_block.ops, new_block.ops):
            source = next(old_spans)
            if match is None:
                continue
            target = new_spans[first + match]
            width = min(source.last - source.first, target.last - target.first)
            moved[..., source.first : source.first + width] = after[..., target.first : target.first + width]
        first += len(new_block.ops)
    return moved - c


def matching_ops(old: Sequence[Op], new: Sequence[Op]) -> list[int | None]:
    """For each op of `old` the position in `new` of the corresponding op; None where there is none.

    As many ops correspond in order. Otherwise equal ones do, and those between them in order, as far as there are any:
    an inserted or removed op does not change the correspondence of all that follow.
    """
    if len(old) == len(new):
        return list(range(len(old)))
    matches: list[int | None] = [None] * len(old)
    for _, first, last, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for source, target in zip(range(first, last), range(begin, end), strict=False):
            matches[source] = target
    return matches
