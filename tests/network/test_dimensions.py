"""A network in three dimensions, on volumes of depth one, equals the one in two."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture, Convolution, ImageSpec, Op, layers
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator, rng
from tests.cases import V1, V2


def deep(architecture: Architecture) -> Architecture:
    """Kernels (k, l) as (1, k, l)."""

    def convolution(c: Convolution) -> Convolution:
        return Convolution((1, *c.kernel), (1, *c.dilation), c.groups)

    def op(op: Op) -> Op:
        return replace(op, paths=tuple(tuple(convolution(c) for c in path) for path in op.paths))

    return Architecture(tuple(replace(block, ops=tuple(op(o) for o in block.ops)) for block in architecture.blocks))


# One block, as the pooling between blocks halves all axes.
SPACES = {
    name: replace(space, inputs=space.inputs[:1], memory=space.memory[:1]) for name, space in (("v1", V1), ("v2", V2))
}


@pytest.mark.parametrize("op_norm", [True, False], ids=["norm", "bare"])
@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32))
def test_depth_one_is_two_dimensional(name: str, op_norm: bool, seed: int) -> None:
    flat = SPACES[name].sample(rng("flat", seed))
    image = SPACES[name].image_spec
    draws = generator("flat", seed)
    weights, thick = {}, {}
    for key, shape in layers(flat, image, op_norm).parameters().items():
        weights[key] = torch.randn(shape, generator=draws, dtype=torch.float64) / shape[-1]
        thick[key] = weights[key].unsqueeze(2) if len(shape) == 4 else weights[key]
    # The stem is as deep as wide; only its center is applied to a volume of depth one.
    stem = torch.randn(*thick["stem.weight"].shape[:2], 3, 3, 3, generator=draws, dtype=torch.float64)
    stem[:, :, 1] = weights["stem.weight"]
    thick["stem.weight"] = stem
    volume = ImageSpec(image.channels, (1, *image.size), image.classes)
    shapes = {key: tuple(tensor.shape) for key, tensor in thick.items()}
    assert shapes == layers(deep(flat), volume, op_norm).parameters()

    x = torch.randn(3, image.channels, *image.size, generator=draws, dtype=torch.float64)
    two = forward(flat, image, weights, x, UseBatchStatistics(), op_norm=op_norm)
    three = forward(deep(flat), volume, thick, x.unsqueeze(2), UseBatchStatistics(), op_norm=op_norm)
    torch.testing.assert_close(two, three, rtol=1e-9, atol=1e-9)
