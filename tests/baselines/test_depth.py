from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest

from smash_lightning.architecture import Architecture, Block
from smash_lightning.baselines import Depth
from smash_lightning.search_space.presets import densenet, fractalnet, resnet
from tests.baselines.small_context import digits_context
from tests.cases import Case, every_bare_case, every_seed


def longest(block: Block) -> int:
    """The longest of all subsequences of ops in which each writes a bank that the next one reads."""
    return max(
        length
        for length in range(1, len(block.ops) + 1)
        for chain in combinations(block.ops, length)
        if all(set(before.write) & set(after.read) for before, after in pairwise(chain))
    )


@every_bare_case
@every_seed
def test_depth_is_the_longest_of_all_paths(case: Case, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    architecture = case.draw(seed)
    context = digits_context(tmp_path_factory.mktemp("depth"))
    assert Depth().predict(architecture, context) == -sum(longest(block) for block in architecture.blocks)


@pytest.mark.parametrize(
    ("architecture", "depth"),
    [
        (resnet(depth=16, blocks=3), 3 * 2),
        (densenet(depth=16, blocks=3), 3 * 2),
        (fractalnet(columns=3, blocks=2), 2 * 4),
        (fractalnet(columns=4, blocks=1, dimensions=3), 8),
    ],
    ids=["resnet", "densenet", "fractalnet", "fractalnet-3d"],
)
def test_depth_of_published_networks(architecture: Architecture, depth: int, tmp_path: Path) -> None:
    assert Depth().predict(architecture, digits_context(tmp_path)) == -depth
