"""NASWOT: how different the ReLU patterns of a batch of images are (Mellor et al., "Neural architecture search without
training", ICML 2021, arXiv 2006.04647).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import initial_weights, logits


@dataclass(frozen=True)
class Naswot(Baseline):
    """-log det K, where K counts for each pair of images the ReLU units that are on for both or off for both.

    K is the paper's: all units minus the Hamming distance of the two images' codes of zeros and ones, over all ReLUs of
    the network, whose norms use the statistics of the batch. Undefined where K is singular, as with two images of equal
    code.
    """

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        weights = initial_weights(architecture, context)
        with torch.no_grad(), Agreement(len(context.images)) as agreement:
            logits(architecture, context, weights, context.images)
        eigenvalues = torch.linalg.eigvalsh(agreement.units)
        rounding = torch.finfo(torch.float64).eps * len(eigenvalues) * eigenvalues[-1]
        return -eigenvalues.log().sum().item() if eigenvalues[0] > rounding else math.inf


class Agreement(TorchDispatchMode):
    """Counts agreeing units at every ReLU within a `with` block, also those without a norm before them.

    Attributes:
        units: units that agree on each pair of images (images, images), 64-bit floats on the CPU.
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self.units = torch.zeros(images, images, dtype=torch.float64)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function._schema.name in ("aten::relu", "aten::relu_"):
            signs = torch.where(args[0].flatten(1) > 0, 1.0, -1.0)  # of the input (images, channels, *space)
            # Units that agree minus those that differ: integers far below 2^24, so exact in floats in any order.
            difference = signs @ signs.T
            self.units += (signs.shape[1] + difference.double().cpu()) / 2
        return function(*args, **(kwargs or {}))
