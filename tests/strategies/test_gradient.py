"""The architectural gradient by proxy, on a loss that is linear in c."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Convolution, Op
from smash_lightning.encoding import Encoding
from smash_lightning.random_streams import rng
from smash_lightning.strategies import ArchitecturalGradient, History, ScoredCandidate
from smash_lightning.strategies.gradient import change as change_of
from smash_lightning.strategies.gradient import matching_ops
from tests.cases import V1, Case, every_case, every_seed
from tests.strategies.synthetic import EQUAL_OPS, Separable


def change(encoding: Encoding, old: Architecture, new: Architecture) -> Tensor:
    return change_of(encoding, old, new, encoding.encode(old).double())


def history(parent: Architecture, loss: Separable) -> History:
    worse = ScoredCandidate(V1.sample(rng("worse")), "random", "", 9.0)
    return History([worse, ScoredCandidate(parent, "random", "", 1.0)], [], loss.gradient, loss.encoding)


@every_seed
def test_with_a_linear_loss_the_best_of_the_pool_is_chosen(seed: int) -> None:
    space, loss = EQUAL_OPS, Separable.over(EQUAL_OPS, seed)
    parent, draws = space.sample(rng("parent", seed)), rng("pool", seed)
    chosen, name = ArchitecturalGradient(1, 8, 0.2).propose(space, history(parent, loss), rng("pool", seed))
    drawn = [space.perturb(parent, draws, 0.2) for _ in range(32)]
    pool = list(dict.fromkeys(each for each in drawn if each != parent))[:8]
    assert len(pool) == 8
    assert name == parent.fingerprint
    assert loss(chosen) == pytest.approx(min(loss(candidate) for candidate in pool), abs=1e-9)
    assert chosen in pool


@every_case
@every_seed
def test_first_order_is_exact_where_nothing_is_added(case: Case, seed: int) -> None:
    old = case.draw(seed)
    new = case.space.perturb(old, rng("new", seed), 0.2)
    if any(len(after.ops) > len(before.ops) for before, after in zip(old.blocks, new.blocks, strict=True)):
        old, new = new, old
    if any(len(after.ops) > len(before.ops) for before, after in zip(old.blocks, new.blocks, strict=True)):
        return  # one block has more ops, another one fewer
    loss = Separable.over(case.space, seed)
    predicted = (loss.gradient(old) * change(loss.encoding, old, new)).sum().item()
    assert predicted == pytest.approx(loss(new) - loss(old), abs=1e-9)


def op(dilation: int) -> Op:
    return Op((0,), (0,), 1, 8, ((Convolution((3, 3), (dilation, dilation)),),))


def architecture(*blocks: tuple[int, ...]) -> Architecture:
    return Architecture(tuple(Block(4, 2, tuple(map(op, dilations))) for dilations in blocks))


def test_a_removed_op_counts_as_empty_and_an_inserted_one_changes_nothing_else() -> None:
    encoding = Encoding(V1.limits, 5)
    old, new = architecture((1, 2, 3), (2,)), architecture((1, 3), (2,))
    found, before = change(encoding, old, new), encoding.encode(old).double()
    assert torch.equal(found[..., 1], -1 - before[..., 1])
    assert found[..., 1].any()
    assert not found[..., [0, 2, 3]].any()
    assert not change(encoding, new, old).any()


def test_slices_are_compared_from_the_first() -> None:
    encoding = Encoding(V1.limits, 1)
    two, one = replace(op(1), read=(0, 1)), op(1)
    old, new = (Architecture((Block(4, 2, (first,)), Block(4, 2, (op(2),)))) for first in (two, one))
    shrinks, grows = change(encoding, old, new), change(encoding, new, old)
    before, after = encoding.encode(old).double(), encoding.encode(new).double()
    assert torch.equal(shrinks[..., 0], after[..., 0] - before[..., 0])
    assert torch.equal(shrinks[..., 1], -1 - before[..., 1])
    assert not shrinks[..., 2].any()
    assert torch.equal(grows[..., 0], before[..., 0] - after[..., 0])
    assert not grows[..., 1].any()


def test_matching_ops() -> None:
    a, b, c, d = map(op, (1, 2, 3, 4))
    assert matching_ops([a, b, c], [b, c, a]) == [0, 1, 2]
    assert matching_ops([a, b, c], [b, c]) == [None, 0, 1]
    assert matching_ops([a, b], [d, a, b]) == [1, 2]
    assert matching_ops([a, b, c], [a, d, b, b]) == [0, 2, 3]
    assert matching_ops([a, b, c], [d]) == [0, None, None]


def test_without_a_gradient_there_is_an_error() -> None:
    loss, strategy = Separable.over(V1), ArchitecturalGradient(1, 4, 0.2)
    known = history(V1.sample(rng("parent")), loss)
    for incomplete in (replace(known, gradient=None), replace(known, encoding=None)):
        with pytest.raises(
            ValueError, match=r"ranking.strategies.gradient needs .* ranking.strategies.gradient.count=0"
        ):
            strategy.propose(V1, incomplete, rng("draw"))
