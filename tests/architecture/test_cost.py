import pytest
import torch
from hypothesis import settings
from torch.utils.flop_counter import FlopCounterMode

from smash_lightning.architecture import Architecture, ImageSpec, cost, layers
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.search_space.presets import PRESETS
from tests.cases import CIFAR100, SMASHV1, SMASHV2, Case, every_case, every_seed


def measured_macs(architecture: Architecture, image_spec: ImageSpec) -> int:
    """Multiply-accumulates of one image's forward pass, counted by torch on meta tensors."""
    shapes = layers(architecture, image_spec, op_norm=True).parameters()
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    image = torch.empty(1, image_spec.channels, *image_spec.size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward(architecture, image_spec, weights, image, UseBatchStatistics())
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


@every_case
@every_seed
def test_counted_parameters_are_those_of_the_network(case: Case, seed: int) -> None:
    architecture, image_spec = case.draw(seed), case.space.image_spec
    network = StandaloneNetwork(architecture, image_spec, torch.Generator().manual_seed(0))
    assert cost(architecture, image_spec).params == sum(p.numel() for p in network.parameters())
    assert cost(architecture, image_spec).ops == sum(len(block.ops) for block in architecture.blocks)


@every_case
@settings(max_examples=10)
@every_seed
def test_counted_macs_are_those_measured(case: Case, seed: int) -> None:
    architecture, image_spec = case.draw(seed), case.space.image_spec
    assert cost(architecture, image_spec).macs == measured_macs(architecture, image_spec)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("image_spec", [CIFAR100, ImageSpec(3, (97, 95), 10, stem_stride=2)], ids=["32x32", "97x95"])
def test_counted_macs_of_presets_are_those_measured(name: str, image_spec: ImageSpec) -> None:
    architecture = PRESETS[name]()
    assert cost(architecture, image_spec).macs == measured_macs(architecture, image_spec)


@pytest.mark.parametrize("space", [SMASHV1, SMASHV2], ids=["v1", "v2"])
def test_counted_macs_at_the_papers_size_are_those_measured(space) -> None:
    architecture = Case(space, 3).draw(0)
    assert cost(architecture, CIFAR100).macs == measured_macs(architecture, CIFAR100)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images of size \(3, 8\) are too small for 3 blocks: use fewer blocks"):
        cost(PRESETS["resnet"](), ImageSpec(3, (3, 8), 10))
    with pytest.raises(ValueError, match=r"a 2D architecture cannot read images of size \(8, 8, 8\)"):
        cost(PRESETS["resnet"](), ImageSpec(3, (8, 8, 8), 10))
