import pytest

from smash_lightning.architecture import Architecture, ImageSpec, cost, layers
from smash_lightning.search_space.presets import PRESETS, densenet, fractalnet, preset, resnet, shake, wrn

CIFAR = ImageSpec(channels=3, size=(32, 32), classes=10)


PUBLISHED = {  # trainable parameters, and classes; those of 1000 classes by Chrabaszcz et al. 2017
    "wrn-16-8": (11.0e6, 10),
    "wrn-28-10": (36.5e6, 10),
    "wrn-40-4": (8.95e6, 10),
    "wrn-28-2": (1.6e6, 1000),
    "wrn-28-5": (9.5e6, 1000),
    "densenet-bc-100-12": (0.769e6, 10),
    "densenet-bc-250-24": (15.3e6, 10),
    "densenet-bc-190-40": (25.6e6, 10),
    "fractalnet-3-64-5": (33.72e6, 10),  # 21 layers as the paper describes them
    "fractalnet-doubling-3-64-5": (38.6e6, 10),
    "shake-shake-26-96": (26.2e6, 10),
}


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


def test_parameters_are_those_published() -> None:
    for name, (published, classes) in PUBLISHED.items():
        counted = cost(preset(name)(), ImageSpec(3, (32, 32), classes)).params
        print(f"{name:20} {published:12,.0f} published {counted:12,} counted")
        assert counted == pytest.approx(published, rel=0.01), name


@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_depth_counts_the_layers_of_the_network(blocks: int) -> None:
    depth = 2 * blocks * 2 + blocks + 1
    for architecture in (resnet(depth, 4, blocks), densenet(depth, 4, blocks)):
        table = layers(architecture, CIFAR, op_norm=True)
        assert sum(layer.kind != "norm" for layer in table) == depth


def test_densenet_banks_divide_the_compressed_channels() -> None:
    """A transition keeps 108 of 216 channels, then 150 of 300: no multiple of the growth of 12."""
    blocks = densenet(100, 12).blocks
    assert [block.input_channels for block in blocks] == [24, 108, 150]
    assert [(block.width, block.ops[0].units) for block in blocks] == [(12, 1), (12, 1), (6, 2)]


def test_densenet_compression_keeps_at_least_one_channel() -> None:
    assert [block.inputs for block in densenet(22, 4, compression=0.01).blocks] == [2, 1, 1]
    assert [block.inputs for block in densenet(22, 4, compression=1).blocks] == [2, 5, 8]


@pytest.mark.parametrize("columns", [2, 3, 4, 5])
def test_fractal_block_has_the_textbook_size(columns: int) -> None:
    (block,) = fractalnet(columns, channels=8, blocks=1).blocks
    assert len(block.ops) + columns == 2**columns - 1
    assert block.inputs == columns
    assert block.banks == 2 ** (columns - 1)
    assert all((op.activation, op.join, op.bottleneck) == ("post", "mean", None) for op in block.ops)


def test_fractal_join_is_complete_before_it_is_read() -> None:
    for block in fractalnet(columns=5, channels=4).blocks:
        read: set[int] = set()
        for op in block.ops:
            read |= set(op.read)
            assert not read & set(op.write), "a mean that was read must not change afterwards"


def test_fractal_channels_double_three_times() -> None:
    assert [block.width for block in fractalnet(columns=2, channels=12, blocks=5).blocks] == [12, 24, 48, 96, 96]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wrn(39, 4), "wrn: depth 39 does not fit 3 blocks: use 6n \\+ 4, n of at least 2 \\(16, 22, 28"),
        (lambda: wrn(10, 4), "wrn: depth 10 does not fit 3 blocks: use 6n \\+ 4, n of at least 2 \\(16, 22, 28"),
        (lambda: resnet(4), "resnet: depth 4 does not fit 3 blocks: use 6n \\+ 4, n of at least 1 \\(10, 16, 22"),
        (lambda: wrn(16, width=0), "wrn: width must be greater than 0, got 0"),
        (lambda: resnet(16, channels=10, banks=4), "10 channels cannot be spread over 4 banks"),
        (lambda: resnet(16, dimensions=1), "resnet: dimensions must be 2 or 3, got 1"),
        (lambda: densenet(41), "densenet: depth 41 does not fit"),
        (lambda: fractalnet(1), "fractalnet: columns must be greater than or equal to 2, got 1"),
        (lambda: shake(8), "shake: depth 8 does not fit 3 blocks: use 6n \\+ 2, n of at least 2 \\(14, 20, 26"),
    ],
)
def test_impossible_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
