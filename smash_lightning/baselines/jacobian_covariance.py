"""Correlations between the input gradients of images (Mellor et al. 2020, arXiv 2006.04647v1).

On a batch of different images, as in Abdelfattah et al. 2021 (arXiv 2101.08134).
"""

import math
from dataclasses import dataclass

import torch
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import initial_weights, logits

K = 1e-5  # the paper's k; keeps the logarithm of an eigenvalue of zero finite


@dataclass(frozen=True)
class JacobianCovariance(Baseline):
    """Sum of log(v + k) + 1 / (v + k) over the eigenvalues v of the correlations between images' input gradients.

    The sum is least, the number of images, if no two of them are correlated. Undefined where an image has no gradient.
    An image's gradient is that of the sum of all logits, with norms that use the statistics of the batch.
    """

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        images = context.images.clone().requires_grad_()
        output = logits(architecture, context, initial_weights(architecture, context), images).sum()
        (gradient,) = torch.autograd.grad(output, images)
        correlations = torch.corrcoef(gradient.flatten(1).double().cpu())
        if not correlations.isfinite().all():
            return math.inf
        shifted = torch.linalg.eigvalsh(correlations) + K
        return (shifted.log() + 1 / shifted).sum().item()
