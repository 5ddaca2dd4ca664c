"""The cases of all laws: small spaces of both kinds, in two and three dimensions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture, Convolution, ImageSpec, Limits, Op
from smash_lightning.encoding import Encoding
from smash_lightning.random_streams import rng
from smash_lightning.search_space import (
    MemoryBankSpace,
    ParallelConvolutions,
    SearchSpace,
    SingleConvolution,
    SizeMatched,
)

IMAGES = ImageSpec(channels=3, size=(8, 8), classes=5)
VOLUMES = ImageSpec(channels=1, size=(4, 4, 4), classes=5)


@dataclass(frozen=True)
class Case:
    """A space, and the depth compression of its encoding."""

    space: SearchSpace
    depth_compression: int

    @property
    def encoding(self) -> Encoding:
        return Encoding(self.space.limits, self.depth_compression)

    def draw(self, seed: int, progress: float = 1.0) -> Architecture:
        return self.space.sample(rng("case", seed), progress)


def small(image_spec: ImageSpec, body: Any, **changes: Any) -> MemoryBankSpace:
    """A space of two small blocks."""
    values: dict[str, Any] = {
        "base": 4,
        "max_units": 3,
        "inputs": (8, 8),
        "memory": (20, 24),
        "widths": (4,),
        "min_ops": 1,
        "max_ops": 3,
        "bottleneck": 2,
        "bottleneck_capped": False,
        "read_step": 1,
        "units": "uniform",
        "sample_banks": False,
        "budget_depth": 0,
        "budget_share": (0.3, 0.5),
    }
    return MemoryBankSpace(image_spec, body, **values | changes)


V1 = small(IMAGES, SingleConvolution(), sample_banks=True, units="near_read")
V1_BUDGET = small(VOLUMES, SingleConvolution(), bottleneck=3, read_step=2, budget_depth=8, max_ops=6)
V2 = small(
    IMAGES,
    ParallelConvolutions(groups=(1, 2)),
    base=2,
    max_units=4,
    widths=(2, 4, 8),
    bottleneck_capped=True,
    read_step=2,
    units="near_read",
    sample_banks=True,
    budget_depth=20,
    max_ops=8,
)
V2_VOLUMES = small(VOLUMES, ParallelConvolutions(kernels=(1, 3), max_span=5, groups=(1, 4)), widths=(4, 8))
EVEN_VOLUMES = replace(V2_VOLUMES, body=ParallelConvolutions(kernels=(3,), max_span=5, groups=(1, 2)))
OPTIONS = replace(
    V2,
    body=ParallelConvolutions(groups=(1, 2), max_dilation=3, nonlinearities=("relu", "tanh", "sigmoid"), gates=0.5),
    activations=("pre", "post"),
    op_norm=True,
    pooled_reads=0.6,
)
POOLED_VOLUMES = replace(V2_VOLUMES, pooled_reads=0.5)
CASES = {
    "v1-2d": Case(V1, 3),
    "v1-3d": Case(V1_BUDGET, 2),
    "v2-2d": Case(V2, 2),
    "v2-3d": Case(POOLED_VOLUMES, 3),
    "options": Case(OPTIONS, 2),
    "equal-v1-2d": Case(SizeMatched(V1, 0.2), 1),
    "equal-v2-3d": Case(SizeMatched(EVEN_VOLUMES, 0.3), 1),
}
BARE_CASES = {name: case for name, case in CASES.items() if not name.startswith("equal")}

# The paper's default sizes (appendix), those of a WRN-40-4 on CIFAR-100.
CIFAR100 = ImageSpec(channels=3, size=(32, 32), classes=100)
SMASHV1 = MemoryBankSpace(
    image_spec=CIFAR100,
    body=SingleConvolution(),
    base=6,
    max_units=7,
    inputs=(48, 96, 192),
    memory=(96, 192, 384),
    widths=(6,),
    min_ops=1,
    max_ops=40,
    bottleneck=4,
    bottleneck_capped=False,
    read_step=3,
    units="near_read",
    sample_banks=True,
    budget_depth=12,
    budget_share=(0.3, 0.5),
)
SMASHV2 = replace(
    SMASHV1,
    body=ParallelConvolutions(),
    base=8,
    max_units=8,
    inputs=(64, 128, 256),
    memory=(128, 256, 512),
    widths=(8, 16, 32, 64),
    bottleneck=2,
    bottleneck_capped=True,
    read_step=2,
)

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_bare_case = pytest.mark.parametrize("case", BARE_CASES.values(), ids=BARE_CASES.keys())
every_seed = given(seed=st.integers(0, 2**32))


def neighbors(architecture: Architecture, limits: Limits, b: int, o: int) -> Iterator[Architecture]:
    """All architectures within `limits` that differ in one element of op `o` of block `b`."""
    block = architecture.blocks[b]
    op = block.ops[o]
    for changed in (*_other_banks(op, block.banks), *_other_convolutions(op, limits)):
        inputs = replace(block, pooled_width=architecture.blocks[b - 1].width).channels_read(changed)
        bottleneck = limits.bottleneck_channels(inputs, changed.units * block.width)
        ops = (*block.ops[:o], replace(changed, bottleneck=bottleneck), *block.ops[o + 1 :])
        pooled_width = architecture.blocks[b - 1].width if any(op.pooled for op in ops) else 0
        changed_block = replace(block, ops=ops, pooled_width=pooled_width)
        blocks = (*architecture.blocks[:b], changed_block, *architecture.blocks[b + 1 :])
        try:
            neighbor = Architecture(blocks)
        except ValueError:  # the change is impossible, such as reading a bank that is not filled
            continue
        if limits.violation(neighbor) is None:
            yield neighbor


def _other_banks(op: Op, banks: int) -> Iterator[Op]:
    for bank in range(banks):
        yield replace(op, pooled=tuple(sorted({*op.pooled} ^ {bank})))
        yield replace(op, read=tuple(sorted({*op.read} ^ {bank})))
        yield replace(op, write=tuple(sorted({*op.write} ^ {bank})))
    for units in range(1, len(op.write) + 1):
        if units != op.units:
            yield replace(op, units=units)


def _other_convolutions(op: Op, limits: Limits) -> Iterator[Op]:
    yield from (replace(op, activation=other) for other in limits.activations if other != op.activation)
    for p, path in enumerate(op.paths):
        for s, convolution in enumerate(path):
            for other in _other_values(convolution, limits):
                changed = (*path[:s], other, *path[s + 1 :])
                yield replace(op, paths=(*op.paths[:p], changed, *op.paths[p + 1 :]))
    if len(op.paths) > 1:
        yield replace(op, paths=op.paths[:1], meet="sum")
        yield replace(op, meet="gate" if op.meet == "sum" else "sum")
    for p, path in enumerate(op.paths):
        if len(path) > 1:
            yield replace(op, paths=(*op.paths[:p], path[:1], *op.paths[p + 1 :]))


def _other_values(convolution: Convolution, limits: Limits) -> Iterator[Convolution]:
    for axis in range(limits.dimensions):
        for name, options in (("kernel", limits.kernels), ("dilation", limits.dilations)):
            values = getattr(convolution, name)
            for option in options:
                if option != values[axis]:
                    yield replace(convolution, **{name: (*values[:axis], option, *values[axis + 1 :])})
    for name, options in (("groups", limits.groups), ("nonlinearity", limits.nonlinearities)):
        for option in options:
            if option != getattr(convolution, name):
                yield replace(convolution, **{name: option})


def mean_joins(architecture: Architecture) -> Architecture:
    """With ops that end with an activation and take the mean with what is in the banks that they write to."""
    changed = (tuple(replace(op, activation="post", join="mean") for op in block.ops) for block in architecture.blocks)
    blocks = zip(architecture.blocks, changed, strict=True)
    return replace(architecture, blocks=tuple(replace(block, ops=ops) for block, ops in blocks))
