"""An inflated network, on images that are repeated along the new axis, equals the one in two dimensions."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture, layers
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator, rng
from smash_lightning.search_space import SearchSpace
from smash_lightning.search_space.presets import fractalnet, wrn
from tests.cases import IMAGES, V1, V2

ONE_BLOCK = [replace(space, inputs=space.inputs[:1], memory=space.memory[:1]) for space in (V1, V2)]


def check(flat: Architecture, depth: int, op_norm: bool, seed: int) -> None:
    """Logits of `depth` equal slices are those of one image, with weights of zero except in the middle of each kernel.

    With a depth of one, the others may be any, as they meet no other slice.
    """
    deep, volume, draws = flat.inflated(), replace(IMAGES, size=(depth, *IMAGES.size)), generator("flat", seed)
    tables = [layers(*given, op_norm).parameters() for given in ((flat, IMAGES), (deep, volume))]
    assert tables[0].keys() == tables[1].keys()
    weights, thick = {}, {}
    for name, shape in tables[0].items():
        weights[name] = thick[name] = torch.randn(shape, generator=draws, dtype=torch.float64) / shape[-1]
        if len(shape) == 4:
            others = torch.randn(tables[1][name], generator=draws, dtype=torch.float64) if depth == 1 else 0
            thick[name] = torch.zeros(tables[1][name], dtype=torch.float64) + others
            thick[name][:, :, thick[name].shape[2] // 2] = weights[name]
    x = torch.randn(3, IMAGES.channels, *IMAGES.size, generator=draws, dtype=torch.float64)
    two = forward(flat, IMAGES, weights, x, UseBatchStatistics())
    x = x.unsqueeze(2).expand(-1, -1, depth, -1, -1)
    three = forward(deep, volume, thick, x, UseBatchStatistics())
    torch.testing.assert_close(two, three, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("spaces", "depth", "op_norm"),
    [(ONE_BLOCK, 1, True), (ONE_BLOCK, 1, False), ((V1, V2), 2, True)],  # pooling between blocks halves all axes
    ids=["one slice", "one slice, bare", "equal slices"],
)
@given(seed=st.integers(0, 2**32))
def test_inflated_networks_are_two_dimensional(
    spaces: Sequence[SearchSpace], depth: int, op_norm: bool, seed: int
) -> None:
    for space in spaces:
        check(space.sample(rng("flat", seed)), depth, op_norm, seed)


@pytest.mark.parametrize(("preset", "depth"), [(wrn(16, 1), 1), (wrn(16, 1), 4), (fractalnet(2, 4, blocks=2), 4)])
def test_inflated_presets_are_two_dimensional(preset: Architecture, depth: int) -> None:
    check(preset, depth, True, 0)


def test_inflated_presets_are_those_of_three_dimensions() -> None:
    assert wrn(16, 2).inflated() == wrn(16, 2, dimensions=3)
