"""With different architectures on each rank of a distributed training the step's gradient varies less."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.network import forward
from smash_lightning.random_streams import generator
from smash_lightning.training import HyperNetModule
from tests.training.test_search_module import DIGITS, HYPERNET, SEARCH, Training, data

STEPS = 60
RANKS = 2


def gradients(architectures: str) -> Tensor:
    """The averaged gradient of each of many steps of one module (steps, weights)."""
    options = replace(SEARCH, architectures=architectures, architectures_per_step=1)  # type: ignore[arg-type]
    module = HyperNetModule(DIGITS, HYPERNET, options, 0)
    images = data()
    images.setup()
    train = images.normalised(images.train)
    order = torch.Generator().manual_seed(0)
    rows = []
    for step in range(STEPS):
        batches = torch.randperm(len(train.labels), generator=order)[: 32 * RANKS].split(32)
        module.zero_grad()
        for rank, batch in enumerate(batches):
            module.trainer = Training(rank, RANKS)  # type: ignore[assignment]
            microbatch_index = module.microbatch_index(0)
            architecture = module.draw(step, microbatch_index, 0)[0]
            z = module.weights.noise(architecture, generator("noise", 0, step, microbatch_index, 0))
            weights = module.weights(architecture, z)
            x = train.images[batch]
            logits = forward(architecture, DIGITS.image_spec, weights, x, module.statistics)
            (F.cross_entropy(logits, train.labels[batch]) / RANKS).backward()
        found = [parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None]
        rows.append(torch.cat(found))
    return torch.stack(rows)


@pytest.mark.slow
def test_different_architectures_per_rank_reduce_the_variance_of_the_gradient() -> None:
    variance = {kind: gradients(kind).var(0).sum().item() for kind in ("per_rank", "shared")}
    assert variance["per_rank"] < 0.9 * variance["shared"]
