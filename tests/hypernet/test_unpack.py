"""Which number of the grid is which weight."""

from dataclasses import replace

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.grid import grid_channels, unpack
from smash_lightning.random_streams import rng
from smash_lightning.search_space import SingleConvolution
from tests.cases import IMAGES, Case, every_case, every_seed, small


def numbered_grid(encoding: Encoding, architecture: Architecture) -> Tensor:
    """A grid whose numbers are all different, from 1."""
    slices = encoding.spans(architecture)[-1].last
    shape = (1, grid_channels(encoding), encoding.limits.max_units, slices)
    return 1 + torch.arange(torch.Size(shape).numel()).view(shape).double()


@every_case
@every_seed
def test_each_weight_is_where_the_paper_has_it(case: Case, seed: int) -> None:
    architecture, encoding = case.draw(seed), case.encoding
    grid, deep = numbered_grid(encoding, architecture), encoding.slice_channels
    high = encoding.limits.bottleneck * encoding.limits.base
    weights, cells = unpack(grid, encoding, architecture), grid[0].unflatten(0, (deep, high))
    blocks = [block for block in architecture.blocks for _ in block.ops]
    for op, block, span, weight in zip(architecture.ops(), blocks, encoding.spans(architecture), weights, strict=True):
        assert weight.shape == (op.bottleneck, len(op.read) * block.width + len(op.pooled) * block.pooled_width)
        # A row of cells is N outputs of the op, hence bottleneck x N of its 1x1; a slice is D N inputs.
        o, i = torch.arange(weight.shape[0])[:, None], torch.arange(weight.shape[1])
        assert torch.equal(weight, cells[i % deep, o % high, o // high, span.first + i // deep])
        assert o.max() // high < span.rows, "an op takes nothing from the rows that c leaves empty"
        assert span.first + i.max() // deep < span.last, "nor from the slices of other ops"


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
