"""Laws of every search space."""

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture, Block, Convolution, Op, cost, layers
from smash_lightning.random_streams import rng
from smash_lightning.search_space import (
    MemoryBankSpace,
    ParallelConvolutions,
    SearchSpace,
    SingleConvolution,
    memory_bank,
)
from tests.cases import IMAGES, SMASHV1, SMASHV2, V1, V1_BUDGET, V2, V2_VOLUMES, Case, every_case, every_seed, small


@every_case
@given(seed=st.integers(0, 2**32), progress=st.floats(0, 1))
def test_samples_stay_in_the_space(case: Case, seed: int, progress: float) -> None:
    architecture = case.draw(seed, progress)
    assert case.space.violation(architecture) is None
    assert case.space.require(architecture) is architecture


@every_case
@given(seed=st.integers(0, 2**32), probability=st.sampled_from([0.02, 0.1, 0.5, 1.0]))
def test_perturbations_stay_in_the_space(case: Case, seed: int, probability: float) -> None:
    architecture = case.draw(seed, progress=0.2)
    for step in range(3):
        architecture = case.space.perturb(architecture, rng("perturb", seed, step), probability)
        assert case.space.violation(architecture) is None


@every_case
def test_perturbations_change_something(case: Case) -> None:
    architectures = [case.draw(seed) for seed in range(40)]
    moved = [case.space.perturb(a, rng("perturb", i), 0.05) != a for i, a in enumerate(architectures)]
    assert sum(moved) >= 36, "the architecture itself is for the rare case that nothing else was found"


@every_case
@every_seed
def test_samples_are_a_function_of_the_generator(case: Case, seed: int) -> None:
    assert case.draw(seed) == case.draw(seed)
    first, second = (case.space.perturb(case.draw(seed), rng("again", seed), 0.3) for _ in range(2))
    assert first == second


@every_case
@every_seed
def test_the_budget_counts_the_weights_of_the_layers(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    table = layers(architecture, case.space.image_spec, op_norm=False)
    for block, of_block in zip(architecture.blocks, table.blocks, strict=True):
        for op, of_op in zip(block.ops, of_block.ops, strict=True):
            counted = sum(math.prod(shape) for layer in of_op for shape in layer.parameters.values())
            assert memory_bank._op_parameters(op, block) == counted


@pytest.mark.parametrize("space", [SMASHV1, SMASHV2], ids=["v1", "v2"])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_spaces_of_the_papers_size(space: MemoryBankSpace, progress: float) -> None:
    for seed in range(4):
        architecture = space.sample(rng("paper", seed), progress)
        assert space.violation(architecture) is None
        assert space.violation(space.perturb(architecture, rng("paper", seed), 0.05)) is None
        assert cost(architecture, space.image_spec).params < 20_000_000


def test_annealing_opens_kernels() -> None:
    def kernels(progress: float) -> set[int]:
        draws = [V2.sample(rng("anneal", seed), progress) for seed in range(60)]
        return {k for a in draws for op in a.ops() for path in op.paths for c in path for k in c.kernel}

    assert kernels(0.0) == kernels(0.2) == {3}
    assert kernels(0.25) == kernels(0.4) == {3, 5}
    assert kernels(0.5) == kernels(1.0) == {3, 5, 7}


VARIED = small(IMAGES, ParallelConvolutions(kernels=(1, 3, 5), groups=(1, 2, 4), most=1), max_ops=6)


def test_single_convolutions_have_every_kernel_dilation_and_group() -> None:
    drawn = [op.paths[0][0] for seed in range(200) for op in VARIED.sample(rng("varied", seed)).ops()]
    assert {c.groups for c in drawn} == {1, 2, 4}
    assert {c.kernel for c in drawn} == {(a, b) for a in (1, 3, 5) for b in (1, 3, 5)}
    assert {c.dilation[0] for c in drawn} == {1, 2, 3, 4}
    assert VARIED.limits.positions == 1


def spending(space: MemoryBankSpace, progress: float) -> list[float]:
    """Weights of each block's ops, as a share of its budget."""
    shares = []
    for seed in range(60):
        for b, block in enumerate(space.sample(rng("budget", seed), progress).blocks):
            assert space.min_ops <= len(block.ops) <= space.max_ops
            weights = sum(memory_bank._op_parameters(op, block) for op in block.ops)
            shares.append(weights / (space.budget_depth * 3**space.image_spec.dimensions * space.inputs[b] ** 2))
    return shares


def test_annealing_opens_the_budget() -> None:
    space = replace(V1_BUDGET, min_ops=1, max_ops=50, budget_depth=30)
    start, end = spending(space, 0.0), spending(space, 0.5)
    assert max(start) <= 0.5
    assert 0.8 < max(end) <= 1
    assert sum(end) > sum(start)


# A member of both spaces below, and changes that lead outside.
CONVOLUTION = Convolution((3, 3), (2, 2))
PATHS_V1 = ((CONVOLUTION,),)
SECOND = Op((0,), (0,), 1, 8, PATHS_V1)
POOLING = Block(4, 2, (replace(SECOND, pooled=(0,)),), pooled_width=4)
MEMBER_V1 = Architecture(
    (
        Block(4, 2, (Op((0, 1), (1,), 1, 8, PATHS_V1), Op((1,), (0, 2), 2, 16, PATHS_V1))),
        Block(4, 2, (SECOND,)),
    )
)
MEMBER_V2 = Architecture(
    (
        Block(2, 4, (Op((0, 1), (4,), 1, 4, ((CONVOLUTION, CONVOLUTION), (CONVOLUTION,))),)),
        Block(4, 2, (Op((0,), (0,), 1, 4, PATHS_V1),)),
    )
)
OPEN_V1 = small(IMAGES, SingleConvolution())
OPEN_V2 = replace(V2, read_step=1, budget_depth=0)


def with_block(architecture: Architecture, b: int, block: Block) -> Architecture:
    return Architecture((*architecture.blocks[:b], block, *architecture.blocks[b + 1 :]))


def with_op(architecture: Architecture, **changes: object) -> Architecture:
    """Its first op changed, in the first block."""
    block = architecture.blocks[0]
    return with_block(architecture, 0, replace(block, ops=(replace(block.ops[0], **changes), *block.ops[1:])))  # type: ignore[arg-type]


def one_convolution(architecture: Architecture, **changes: object) -> Architecture:
    return with_op(architecture, paths=((replace(CONVOLUTION, **changes),),))  # type: ignore[arg-type]


def filling(architecture: Architecture, *banks: int) -> Architecture:
    """Its first block with an op for each of these banks."""
    return with_block(architecture, 0, Block(4, 2, tuple(Op((0,), (bank,), 1, 8, PATHS_V1) for bank in banks)))


@pytest.mark.parametrize(
    ("space", "change", "reason"),
    [
        (OPEN_V1, Architecture.inflated, "it is 3D, the space is 2D"),
        (OPEN_V1, lambda a: Architecture(a.blocks[:1]), "it has 1 blocks, the space has 2"),
        (OPEN_V1, lambda a: with_block(a, 1, Block(8, 1, (SECOND,))), "block 1: bank width 8 is not one of [4]"),
        (OPEN_V1, lambda a: with_block(a, 1, Block(4, 1, (SECOND,))), "block 1: its input has 4 channels, not 8"),
        (OPEN_V1, lambda a: with_op(a, activation="post"), "block 0, op 0: activation post is not one of ['pre']"),
        (OPEN_V1, lambda a: with_op(a, join="mean"), "block 0, op 0: join mean is not one of ['sum']"),
        (OPEN_V1, lambda a: with_block(a, 1, POOLING), "block 1: its ops read banks of the block before"),
        (OPEN_V1, lambda a: with_op(a, bottleneck=4), "block 0, op 0: its 1x1 has 4 channels, not 8"),
        (OPEN_V1, lambda a: one_convolution(a, kernel=(3, 5)), "block 0, op 0: kernel 5 is not one of [3]"),
        (OPEN_V1, lambda a: one_convolution(a, dilation=(4, 4)), "block 0, op 0: dilation 4 is not one of [1, 2, 3]"),
        (OPEN_V1, lambda a: one_convolution(a, dilation=(1, 2)), "block 0, op 0: dilation (1, 2) differs"),
        (OPEN_V1, lambda a: one_convolution(a, groups=2), "block 0, op 0: groups 2 is not one of [1]"),
        (OPEN_V1, lambda a: one_convolution(a, nonlinearity="tanh"), "block 0, op 0: nonlinearity tanh is not one of"),
        (OPEN_V1, lambda a: with_op(a, paths=((CONVOLUTION,) * 2,)), "block 0, op 0: it has 2 convolutions, more than"),
        (OPEN_V1, lambda a: with_block(a, 1, Block(4, 2, (SECOND,) * 4)), "block 1: it has 4 ops, not 1 to 3"),
        (OPEN_V1, lambda a: with_op(a, write=(1, 2), bottleneck=8), "block 0, op 0: it writes 2 banks, not 1 to 1"),
        (OPEN_V1, lambda a: with_op(a, write=(0, 1, 2, 3), units=4), "block 0, op 0: its output has 16 channels, more"),
        (OPEN_V1, lambda a: filling(a, 2, 3, 4, 5), "block 0: its banks hold 24 channels, more than 20"),
        (OPEN_V1, lambda a: filling(a, 3, 2), "block 0, op 0: it fills bank 3 before bank 2"),
        (replace(OPEN_V1, read_step=2), lambda a: with_op(a, read=(0,)), "block 0, op 0: it reads 1 banks, not 2"),
        (
            replace(OPEN_V1, budget_depth=1, max_ops=9),
            lambda a: with_block(a, 0, Block(4, 2, a.blocks[0].ops[:1] * 9)),
            "block 0: its ops have 3168 parameters, more than the budget of 576",
        ),
        (
            OPEN_V2,
            lambda a: one_convolution(a, kernel=(7, 3), dilation=(2, 1)),
            "block 0, op 0: dilation (2, 1) is too large for kernel (7, 3)",
        ),
        (
            replace(OPEN_V2, body=ParallelConvolutions(kernels=(1, 3), groups=(1, 2))),
            lambda a: one_convolution(a, kernel=(3, 1)),
            "block 0, op 0: dilation (2, 2) is too large for kernel (3, 1)",
        ),
    ],
)
def test_a_violation_has_the_reason(
    space: SearchSpace, change: Callable[[Architecture], Architecture], reason: str
) -> None:
    member = MEMBER_V1 if space.limits.positions == 1 else MEMBER_V2
    assert replace(space, budget_depth=0, read_step=1).violation(member) is None  # type: ignore[type-var]
    outside = change(member)
    assert reason in (space.violation(outside) or "")
    assert not space.contains(outside)
    with pytest.raises(ValueError, match=re.escape(f"{outside.fingerprint} is outside the search space: ")):
        space.require(outside)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (6,)}, "bank width 6 must be a multiple of 4, at most 12"),
        ({"inputs": (8, 10)}, "block 1: banks of 4 channels do not fit inputs 10, memory 24"),
        ({"memory": (4, 24)}, "block 0: banks of 4 channels do not fit inputs 8, memory 4"),
        ({"inputs": (8,)}, "inputs (8,) and memory (20, 24) need one value for each block"),
        ({"body": ParallelConvolutions(groups=(1, 3))}, "3 groups do not divide the base of 4 channels"),
    ],
)
def test_impossible_options_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(OPEN_V1, **change)  # type: ignore[arg-type]


def test_a_budget_too_small_for_an_op_is_refused() -> None:
    space = small(IMAGES, SingleConvolution(), bottleneck=8, inputs=(4, 4), memory=(4, 4), budget_depth=1)
    with pytest.raises(ValueError, match="budget_depth=1 is too small for an op in block 0"):
        space.sample(random.Random(0))


def test_lists_become_tuples() -> None:
    same = replace(V2_VOLUMES, widths=[4, 8], inputs=[8, 8])  # type: ignore[arg-type]
    assert same == V2_VOLUMES
    assert hash(same) == hash(V2_VOLUMES)


def test_different_spaces_have_different_specifications() -> None:
    ours = V1.specification()
    assert ours == replace(V1).specification()
    assert ours["MemoryBankSpace.body.max_dilation"] == "3"
    theirs = replace(V1, body=SingleConvolution(max_dilation=2)).specification()
    assert {key for key in ours if ours[key] != theirs[key]} == {"MemoryBankSpace.body.max_dilation"}
    later = replace(V1, op_norm=True).specification()
    assert later == {**ours, "MemoryBankSpace.op_norm": "True"}, "an option that is off is in no specification"
