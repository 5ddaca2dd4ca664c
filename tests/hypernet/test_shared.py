"""Plain weight sharing against slow indexing."""

import re

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from smash_lightning.architecture import Architecture, layers
from smash_lightning.hypernet import SharedWeights
from smash_lightning.random_streams import generator
from tests.cases import Case, every_bare_case
from tests.reference.slow import unit


def shared(case: Case) -> SharedWeights:
    return SharedWeights(case.space.limits, case.space.image_spec, generator("shared")).double()


def slow_pointwise(source: SharedWeights, architecture: Architecture) -> dict[str, Tensor]:
    """Each op's 1x1, number by number."""
    weights = {}
    for b, block in enumerate(architecture.blocks):
        for o, op in enumerate(block.ops):
            assert op.bottleneck is not None
            rows = []
            for row in range(op.bottleneck):
                columns = [bank * block.width + i for bank in op.read for i in range(block.width)]
                columns += [~(bank * block.pooled_width + i) for bank in op.pooled for i in range(block.pooled_width)]
                rows.append(torch.stack([source.pointwise[b][row, column] for column in columns]))
            matrix = unit(torch.stack(rows))
            weights[f"block{b}.op{o}.pointwise.weight"] = matrix.view(*matrix.shape, *[1] * architecture.dimensions)
    return weights


def slow_shared(source: SharedWeights, architecture: Architecture) -> dict[str, Tensor]:
    """Everything else: leading channels, and the centre of the kernel."""
    weights = {}
    for name, shape in layers(architecture, source.image_spec, source.limits.op_norm).parameters().items():
        if not name.endswith("pointwise.weight"):
            tensor = source.shared[re.sub(r"\.op\d+", "", name).replace(".", "/")]
            for axis, size in enumerate(shape):
                tensor = tensor.narrow(axis, (tensor.shape[axis] - size) // 2 if axis > 1 else 0, size)
            weights[name] = tensor
    return weights


@every_bare_case
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32))
def test_weights_and_gradients_are_the_slow_ones(case: Case, seed: int) -> None:
    source, architecture = shared(case), case.draw(seed)
    ours = source(architecture, None)
    theirs = slow_pointwise(source, architecture) | slow_shared(source, architecture)
    assert ours.keys() == theirs.keys()
    stream, sums = generator("direction", seed), [torch.zeros(()), torch.zeros(())]
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name])
        direction = torch.randn(weight.shape, generator=stream)
        sums = [total + (each[name] * direction).sum() for total, each in zip(sums, (ours, theirs), strict=True)]
    parameters = list(source.parameters())
    gradients = [torch.autograd.grad(total, parameters, allow_unused=True) for total in sums]
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
