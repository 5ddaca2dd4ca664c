"""The generated code of a network computes what the network does, and needs nothing of the package."""

import ast

import pytest
import torch
from torch import nn

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.network import Classifier, StandaloneNetwork
from smash_lightning.network.plain import plain_network, plain_source, plain_state
from smash_lightning.search_space.presets import preset
from tests.cases import CASES, Case, every_case, every_seed

ODD = ImageSpec(3, (17, 14), 4, stem_stride=2)
TITLE = 'a "title" \\ of """ the user'


def trained(architecture: Architecture, image_spec: ImageSpec) -> Classifier:
    """A network whose norms have statistics and weights of their own."""
    network = StandaloneNetwork(architecture, image_spec)
    for tensor in (*network.statistics.buffers(), *(each for each in network.parameters() if each.ndim == 1)):
        nn.init.uniform_(tensor, 0.5, 1.5)
    shape = (1, image_spec.channels, *[1] * image_spec.dimensions)
    return Classifier(network, 100 * torch.rand(shape), 50 + 10 * torch.rand(shape)).double().eval()


def require_equal(classifier: Classifier) -> str:
    spec = classifier.network.image_spec
    source = plain_source(classifier, [f"it's {n}" for n in range(spec.classes)], TITLE, "weights.safetensors")
    network = plain_network(source).double()
    network.load_state_dict(plain_state(classifier))
    images = torch.randint(256, (2, spec.channels, *spec.size), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(network(images.float()), classifier(images), rtol=1e-5, atol=1e-5)
    return source


@every_case
@every_seed
def test_sampled_networks_as_plain_code(case: Case, seed: int) -> None:
    require_equal(trained(case.draw(seed), case.space.image_spec))


@pytest.mark.parametrize(
    "name", ["resnet-15-16-2-2", "wrn-16-2", "densenet-bc-22-8", "fractalnet-doubling-3-8-2", "shake-shake-14-4"]
)
def test_presets_as_plain_code(name: str) -> None:
    """Also with joins by the mean, activations after convolutions, a stride in the stem and odd sizes."""
    require_equal(trained(preset(name)(), ODD))
    volume = preset(name)(dimensions=3)
    require_equal(trained(volume, ImageSpec(1, (9, 8, 8), 4)))


def test_plain_code_imports_nothing_of_the_package() -> None:
    source = require_equal(trained(CASES["v2-2d"].draw(0), CASES["v2-2d"].space.image_spec))
    nodes = list(ast.walk(ast.parse(source)))
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert found == {"torch", "torch.nn", "pathlib", "safetensors.torch"}
