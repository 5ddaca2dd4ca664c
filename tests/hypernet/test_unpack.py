"""Which number of the grid is which weight."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.grid import grid_channels, tile_grid, unpack
from smash_lightning.random_streams import rng
from smash_lightning.search_space import SingleConvolution
from tests.cases import IMAGES, Case, every_case, every_seed, small


def numbered_grid(encoding: Encoding, architecture: Architecture) -> Tensor:
    """A grid whose numbers are all different, from 1."""
    slices = encoding.spans(architecture)[-1].last
    shape = (1, grid_channels(encoding), encoding.limits.max_units, slices)
    return 1 + torch.arange(torch.Size(shape).numel()).view(shape).double()


def test_cells_are_tiles_of_a_matrix() -> None:
    # Two rows, three slices; a cell holds 2 outputs x 3 inputs, inputs counted first.
    grid = torch.stack([torch.full((2, 3), float(i)) for i in range(6)])[None]
    grid = grid + 10 * torch.arange(2).view(1, 1, 2, 1) + 100 * torch.arange(3).view(1, 1, 1, 3)
    expected = [
        [0, 2, 4, 100, 102, 104, 200, 202, 204],
        [1, 3, 5, 101, 103, 105, 201, 203, 205],
        [10, 12, 14, 110, 112, 114, 210, 212, 214],
        [11, 13, 15, 111, 113, 115, 211, 213, 215],
    ]
    assert tile_grid(grid, inputs=3).tolist() == expected


@given(outputs=st.integers(1, 4), inputs=st.integers(1, 4), rows=st.integers(1, 3), slices=st.integers(1, 4))
def test_the_matrix_holds_every_number_once(outputs: int, inputs: int, rows: int, slices: int) -> None:
    grid = torch.arange(outputs * inputs * rows * slices).view(1, outputs * inputs, rows, slices).double()
    matrix = tile_grid(grid, inputs)
    assert matrix.shape == (rows * outputs, slices * inputs)
    assert matrix.flatten().sort().values.tolist() == grid.flatten().tolist()
    assert torch.autograd.gradcheck(lambda g: tile_grid(g, inputs), [grid.requires_grad_()])


@every_case
@every_seed
def test_each_weight_is_where_the_paper_has_it(case: Case, seed: int) -> None:
    architecture, encoding = case.draw(seed), case.encoding
    grid, deep = numbered_grid(encoding, architecture), encoding.slice_channels
    high = encoding.limits.bottleneck * encoding.limits.base
    weights = unpack(grid, encoding, architecture)
    random = rng("place", seed)
    blocks = [block for block in architecture.blocks for _ in block.ops]
    for op, block, span, weight in zip(architecture.ops(), blocks, encoding.spans(architecture), weights, strict=True):
        assert weight.shape == (op.bottleneck, len(op.read) * block.width + len(op.pooled) * block.pooled_width)
        # A row of cells is N outputs of the op, hence bottleneck x N of its 1x1; a slice is D N inputs.
        for _ in range(10):
            o, i = random.randrange(weight.shape[0]), random.randrange(weight.shape[1])
            cell = grid[0, :, o // high, span.first + i // deep].view(deep, high)
            assert weight[o, i] == cell[i % deep, o % high]
            assert o // high < span.rows, "an op takes nothing from the rows that c leaves empty"


@every_case
@every_seed
def test_no_number_of_the_grid_is_used_twice(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    weights = unpack(numbered_grid(case.encoding, architecture), case.encoding, architecture)
    used = torch.cat([weight.flatten() for weight in weights])
    assert len(used.unique()) == len(used) == sum(weight.numel() for weight in weights)


@every_seed
def test_every_cell_is_used_once_where_all_fits(seed: int) -> None:
    # Reads fill whole slices; every cell of an op's rows is used, as the bottleneck is not capped.
    space = replace(small(IMAGES, SingleConvolution()), read_step=2)
    architecture, encoding = space.sample(rng("fits", seed)), Encoding(space.limits, 2)
    grid = numbered_grid(encoding, architecture)
    inside = torch.zeros(grid.shape[2:], dtype=torch.bool)
    for span in encoding.spans(architecture):
        inside[: span.rows, span.first : span.last] = True
    used = torch.cat([weight.flatten() for weight in unpack(grid, encoding, architecture)])
    assert used.sort().values.tolist() == grid[:, :, inside].flatten().sort().values.tolist()
