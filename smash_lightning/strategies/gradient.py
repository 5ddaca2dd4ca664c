"""The architectural gradient by proxy: dE/dc says which change of the best architecture to try (paper, section 4).

The authors report that it was no better than random perturbation.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Op
from smash_lightning.encoding import Encoding
from smash_lightning.encoding.encoder import EMPTY
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy, best


@dataclass(frozen=True)
class ArchitecturalGradient(Strategy):
    """Of several perturbations of the best architecture, the one that should lower the loss most, to first order.

    Args:
        count: proposals.
        pool: different perturbations to choose from; fewer where so many are not found in four times as many draws.
        probability: of each element of the best architecture to be redrawn.
    """

    count: int
    pool: int
    probability: float
    name = "gradient"
    sequential = True

    def __post_init__(self) -> None:
        self.require(pool=1)

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """The perturbation whose change of c goes furthest against the gradient.

        Raises:
            ValueError: there is no gradient.
        """
        if history.gradient is None or history.encoding is None:
            raise ValueError(
                "ranking.strategies.gradient needs the gradient of the loss in c, and what scores here has none: "
                "set ranking.strategies.gradient.count=0"
            )
        parent, encoding = best(history.entries).architecture, history.encoding
        slope, c = history.gradient(parent).detach().double().cpu(), encoding.encode(parent).double()
        found: dict[Architecture, None] = {}
        for _ in range(4 * self.pool):
            if len(found) < self.pool and (candidate := space.perturb(parent, rng, self.probability)) != parent:
                found[candidate] = None
        predicted = {new: float((slope * change(encoding, parent, new, c)).sum()) for new in found}
        favourites = sorted(found, key=lambda candidate: predicted[candidate]) or [parent]
        return history.first_admitted((candidate, parent.fingerprint) for candidate in favourites)


def change(encoding: Encoding, old: Architecture, new: Architecture, c: Tensor) -> Tensor:
    """What becomes of `c`, the encoding of `old`, when `old` is changed into `new`; of the shape of `c`.

    Ops are compared one by one, slice by slice from the first. Where `new` has nothing, it counts as empty; what it has
    beyond `old` has no place in this c, hence no gradient, and is left out.
    """
    after, moved = encoding.encode(new), torch.full_like(c, EMPTY)
    places, others = iter(encoding.spans(old)), encoding.spans(new)
    begun = 0
    for mine, theirs in zip(old.blocks, new.blocks, strict=True):
        for partner in counterparts(mine.ops, theirs.ops):
            place = next(places)
            if partner is None:
                continue
            other = others[begun + partner]
            width = min(place.last - place.first, other.last - other.first)
            moved[..., place.first : place.first + width] = after[..., other.first : other.first + width]
        begun += len(theirs.ops)
    return moved - c


def counterparts(old: Sequence[Op], new: Sequence[Op]) -> list[int | None]:
    """For each op of `old` the place in `new` of the op that it became; None where it is gone.

    As many ops correspond in order. Otherwise equal ones do, and what lies between them in order, as far as it goes:
    an op more or less must not make all that follow look changed.
    """
    if len(old) == len(new):
        return list(range(len(old)))
    partners: list[int | None] = [None] * len(old)
    for _, first, last, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for mine, theirs in zip(range(first, last), range(begin, end), strict=False):
            partners[mine] = theirs
    return partners
