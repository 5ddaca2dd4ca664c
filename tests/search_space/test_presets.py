from collections import defaultdict
from itertools import pairwise

import pytest

from smash_lightning.architecture import Architecture, Block, ImageSpec, cost, layers
from smash_lightning.search_space.presets import PRESETS, densenet, fractalnet, resnet, wrn

CIFAR = ImageSpec(channels=3, size=(32, 32), classes=10)


def wrn_parameters(depth: int, width: int) -> int:
    """WRN-depth-width with our stem and transitions: n pre-activation blocks at each of three resolutions."""
    n, channels = (depth - 4) // 6, [16 * width, 32 * width, 64 * width]
    residuals = sum(n * (2 * 9 * c * c + 2 * 2 * c) for c in channels)
    norms = sum(2 * c for c in channels)
    transitions = sum(before * after for before, after in pairwise(channels))
    return 3 * 9 * channels[0] + residuals + norms + transitions + 10 * channels[-1] + 10


def published_wrn_parameters(depth: int, width: int) -> int:
    """The authors' network: stem of 16 channels; the first residual of a group changes the number of channels itself,
    with a 1x1 convolution on its shortcut; one norm at the end."""
    n, total, before = (depth - 4) // 6, 3 * 9 * 16, 16
    for c in (16 * width, 32 * width, 64 * width):
        total += (2 * before + 9 * before * c + 2 * c + 9 * c * c) + before * c
        total += (n - 1) * (2 * 9 * c * c + 2 * 2 * c)
        before = c
    return total + 2 * before + 10 * before + 10


def sources(block: Block) -> dict[int, list[tuple[int, ...]]]:
    """The banks read by the ops that wrote each bank."""
    reads: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for op in block.ops:
        for bank in op.write:
            reads[bank].append(op.read)
    return reads


def longest_way(block: Block) -> int:
    """Ops on the longest path from the block's input to its last bank."""
    depth = dict.fromkeys(range(block.inputs), 0)
    for op in block.ops:
        reached = 1 + max(depth[bank] for bank in op.read)
        depth |= {bank: max(depth.get(bank, 0), reached) for bank in op.write}
    return depth[block.banks - 1]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_default_that_fits_an_image(name: str) -> None:
    architecture = PRESETS[name]()
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert cost(architecture, CIFAR).params < 1_000_000


@pytest.mark.parametrize("name", PRESETS)
def test_presets_exist_in_three_dimensions(name: str) -> None:
    architecture = PRESETS[name](dimensions=3)
    assert architecture.dimensions == 3
    assert {c.kernel for op in architecture.ops() for path in op.paths for c in path} == {(3, 3, 3)}
    assert cost(architecture, ImageSpec(1, (32, 32, 32), 10)).ops == cost(PRESETS[name](), CIFAR).ops


@pytest.mark.parametrize(("depth", "width", "published"), [(16, 2, 0.69e6), (40, 4, 8.95e6), (28, 10, 36.5e6)])
def test_wide_resnet_counts_its_published_parameters(depth: int, width: int, published: float) -> None:
    ours, theirs = cost(wrn(depth, width), CIFAR).params, published_wrn_parameters(depth, width)
    assert theirs == pytest.approx(published, rel=0.005)
    assert ours == wrn_parameters(depth, width)
    # Transitions change the channels, so every 3x3 is c -> c: larger than the authors' c/2 -> c.
    assert 1 < ours / theirs < 1.17


def test_wide_resnet_40_4_is_the_published_one_but_for_stem_and_transitions() -> None:
    assert published_wrn_parameters(40, 4) == 8_949_210
    widened = sum(9 * c * (c - before) for before, c in ((16, 64), (64, 128), (128, 256)))
    stem = 3 * 9 * (64 - 16)
    shortcut_of_the_first_group = 16 * 64
    norms = sum(2 * (c - before) for before, c in ((16, 64), (64, 128), (128, 256))) + 2 * (64 + 128)
    difference = widened + stem - shortcut_of_the_first_group + norms
    assert cost(wrn(40, 4), CIFAR).params == 8_949_210 + difference == 9_346_634


def test_resnet_op_reads_and_adds_to_all_banks() -> None:
    architecture = resnet(depth=22, channels=8, blocks=3, banks=4)
    assert [block.channels for block in architecture.blocks] == [8, 16, 32]
    for block in architecture.blocks:
        assert (block.banks, block.inputs, len(block.ops)) == (4, 4, 3)
        for op in block.ops:
            assert op.read == op.write == (0, 1, 2, 3)
            assert (op.bottleneck, op.join, op.activation) == (None, "sum", "pre")
            assert [len(path) for path in op.paths] == [2]


@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_depth_counts_the_layers_of_the_network(blocks: int) -> None:
    depth = 2 * blocks * 2 + blocks + 1
    for architecture in (resnet(depth, 4, blocks), densenet(depth, 4, blocks)):
        table = layers(architecture, CIFAR, op_norm=True)
        assert sum(layer.kind != "norm" for layer in table) == depth


def test_densenet_reads_all_and_grows_by_one_bank() -> None:
    architecture = densenet(depth=22, growth=6)
    for block in architecture.blocks:
        assert block.width == 6
        assert block.channels == (block.inputs + 3) * 6
        for o, op in enumerate(block.ops):
            assert op.read == tuple(range(block.inputs + o))
            assert op.write == (block.inputs + o,)
            assert (op.units, op.bottleneck) == (1, 24)
    assert [block.inputs for block in architecture.blocks] == [2, 2, 2]


def test_densenet_counts_its_parameters_by_the_textbook_formula() -> None:
    growth, channels, total = 12, 24, 3 * 9 * 24
    for last in (False, False, True):
        for _ in range(16):
            total += 2 * channels + channels * 4 * growth + 2 * 4 * growth + 9 * 4 * growth * growth
            channels += growth
        kept = channels // growth // 2 * growth
        total += 2 * channels + (10 * channels + 10 if last else channels * kept)
        channels = kept
    counted = cost(densenet(100, 12), CIFAR).params
    assert counted == total
    assert counted == pytest.approx(769_162, rel=0.02), "the published DenseNet-BC-100 (k=12) has 0.8M parameters"


def test_densenet_compression_keeps_at_least_one_bank() -> None:
    assert [block.inputs for block in densenet(22, 4, compression=0.01).blocks] == [2, 1, 1]
    assert [block.inputs for block in densenet(22, 4, compression=1).blocks] == [2, 5, 8]


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("banks", [1, 2])
def test_fractal_block_has_the_textbook_size(columns: int, banks: int) -> None:
    (block,) = fractalnet(columns, channels=8, blocks=1, banks=banks).blocks
    assert len(block.ops) == 2**columns - 1
    assert longest_way(block) == 2 ** (columns - 1)
    assert block.banks == (2 ** (columns - 1) + 1) * banks
    assert all((op.activation, op.join, op.bottleneck) == ("post", "mean", None) for op in block.ops)


def test_fractal_joins_are_those_of_three_columns() -> None:
    (block,) = fractalnet(columns=3, blocks=1).blocks
    # Depth 0 is the input. Columns of 4, 2 and 1 convs; two meet at depth 2, three at the end.
    assert sources(block) == {1: [(0,)], 2: [(1,), (0,)], 3: [(2,)], 4: [(3,), (2,), (0,)]}


def test_fractal_join_is_complete_before_it_is_read() -> None:
    for block in fractalnet(columns=5, channels=4, banks=2).blocks:
        read: set[int] = set()
        for op in block.ops:
            read |= set(op.read)
            assert not read & set(op.write), "a mean that was read must not change afterwards"


def test_fractal_channels_double() -> None:
    architecture = fractalnet(columns=2, channels=12, blocks=4, banks=3)
    assert [(block.width, block.inputs) for block in architecture.blocks] == [(4, 3), (8, 3), (16, 3), (32, 3)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wrn(39, 4), "wrn: depth 39 does not fit 3 blocks: use 6n \\+ 4 \\(10, 16, 22"),
        (lambda: wrn(4, 4), "depth 4 does not fit"),
        (lambda: wrn(16, width=0), "for wrn\nwidth\n  Input should be greater than 0"),
        (lambda: resnet(16, channels=-2), "for resnet\nchannels\n  Input should be greater than 0"),
        (lambda: resnet(16, channels=10, banks=4), "10 channels cannot be spread over 4 banks"),
        (lambda: resnet(16, blocks=0), "for resnet\nblocks\n  Input should be greater than 0"),
        (lambda: resnet(16, dimensions=1), "dimensions\n  Input should be 2 or 3"),
        (lambda: densenet(41), "densenet: depth 41 does not fit"),
        (lambda: densenet(40, growth=0), "for densenet\ngrowth\n  Input should be greater than 0"),
        (lambda: densenet(compression=0), "compression\n  Input should be greater than 0"),
        (lambda: fractalnet(columns=0), "for fractalnet\ncolumns\n  Input should be greater than 0"),
        (lambda: fractalnet(columns=2.5), "columns\n  Input should be a valid integer"),
    ],
)
def test_impossible_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
