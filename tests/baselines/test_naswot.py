import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.baselines import BaselineContext, Naswot
from smash_lightning.random_streams import generator, rng
from tests.baselines.small_context import every_architecture, random_context, slow_network
from tests.stages.small_run import SPACE


class ReluOutputs(TorchFunctionMode):
    """Collects the results of `torch.relu`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.relu:
            self.found.append(result)
        return result


def codes(architecture: Architecture, context: BaselineContext) -> np.ndarray:
    """Which units of the plain network are on (images, units)."""
    with torch.no_grad(), ReluOutputs() as outputs:
        slow_network(architecture, context)(context.images)
    return np.concatenate([(output > 0).flatten(1).numpy() for output in outputs.found], axis=1)


def agreements(on: np.ndarray) -> np.ndarray:
    """Units minus the Hamming distance, for each pair of images."""
    return np.array([[len(a) - sum(x != y for x, y in zip(a, b, strict=True)) for b in on] for a in on], dtype=float)


@every_architecture
def test_hamming_distances_of_the_plain_network(
    architecture: Architecture, image_spec: ImageSpec, tmp_path: Path
) -> None:
    context = random_context(tmp_path, image_spec, count=5)
    sign, logarithm = np.linalg.slogdet(agreements(codes(architecture, context)))
    assert sign == 1
    assert Naswot().predict(architecture, context) == pytest.approx(-logarithm, rel=1e-9)


def test_images_of_equal_code_make_it_undefined(tmp_path: Path) -> None:
    for seed in range(5):
        context, architecture = random_context(tmp_path, SPACE.image_spec, count=24), SPACE.sample(rng("twins", seed))
        order = torch.randperm(24, generator=generator("twins", seed))
        twins = replace(context, images=context.images[order % 23])
        assert Naswot().predict(architecture, twins) == math.inf
        assert math.isfinite(Naswot().predict(architecture, context))
