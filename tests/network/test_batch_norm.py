import pytest
import torch
from torch import Tensor

from smash_lightning.network import (
    NormSource,
    RecordedAverages,
    RunningAverages,
    StandaloneNetwork,
    UseBatchStatistics,
    forward,
)
from smash_lightning.random_streams import generator
from tests.cases import Case, every_bare_case

ONE, ZERO = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)


def batch(seed: int, count: int = 6) -> Tensor:
    x = torch.randn(count, 3, 4, 4, generator=generator("batch", seed), dtype=torch.float64)
    return x * torch.tensor([1.0, 3.0, 0.2]).view(1, 3, 1, 1) + torch.tensor([0.0, 5.0, -1.0]).view(1, 3, 1, 1)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and unbiased variance, in two passes."""
    flat = x.transpose(0, 1).flatten(1)
    mean = flat.sum(1) / flat.shape[1]
    return mean, (flat - mean[:, None]).square().sum(1) / (flat.shape[1] - 1)


def normalized(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return (x - mean.view(1, 3, 1, 1)) / (variance.view(1, 3, 1, 1) + 1e-5).sqrt()


class TwoPass(NormSource):
    """Mean and variance of each norm's input on the recalibration images, by the slow network."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Tensor, Tensor]] = {}

    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (x.ndim - 2))
        flat = x.transpose(0, 1).flatten(1)
        mean = flat.mean(1)
        self.found[name] = (mean, (flat - mean[:, None]).square().sum(1) / (flat.shape[1] - 1))
        biased = (flat - mean[:, None]).square().mean(1)
        unit = (x - mean.view(shape)) / (biased.view(shape) + 1e-5).sqrt()
        return unit * weight.view(shape) + bias.view(shape)


def test_recorded_statistics_are_those_of_the_batch() -> None:
    statistics = RecordedAverages()
    first = statistics.normalize("n", batch(0), ONE, ZERO)
    torch.testing.assert_close(first, UseBatchStatistics().normalize("n", batch(0), ONE, ZERO))
    for kept, expected in zip(statistics.statistics["n"], moments(batch(0)), strict=True):
        torch.testing.assert_close(kept, expected)
    statistics.recording = False
    out = statistics.normalize("n", batch(1), ONE, ZERO)
    torch.testing.assert_close(out, normalized(batch(1), *moments(batch(0))))


@every_bare_case
def test_recalibration_of_a_whole_network(case: Case) -> None:
    architecture, image_spec = case.draw(4), case.space.image_spec
    network = StandaloneNetwork(architecture, image_spec, generator("recalibrate"), op_norm=False).double()
    weights = dict(network.weights.named_parameters())
    images = torch.randn(16, image_spec.channels, *image_spec.size, generator=generator("images"), dtype=torch.float64)
    recorded, slow = RecordedAverages(), TwoPass()
    with torch.no_grad():
        ours, theirs = (
            forward(architecture, image_spec, weights, images, statistics) for statistics in (recorded, slow)
        )
    torch.testing.assert_close(ours, theirs)
    assert recorded.statistics.keys() == slow.found.keys() == {f"block{b}.norm" for b in range(2)}
    for name, kept in recorded.statistics.items():
        torch.testing.assert_close(kept, slow.found[name])
    recorded.recording = False
    with torch.no_grad():
        together = forward(architecture, image_spec, weights, images, recorded)
        alone = [forward(architecture, image_spec, weights, image[None], recorded) for image in images]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_running_statistics_are_an_average_with_momentum(momentum: float) -> None:
    statistics = RunningAverages({"other": 2, "n": 5}, momentum).double()
    mean, variance = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    for seed in range(4):
        out = statistics.normalize("n", batch(seed), ONE, ZERO)
        torch.testing.assert_close(out, UseBatchStatistics().normalize("n", batch(seed), ONE, ZERO))
        # Three of five channels are updated: the others keep their values.
        new_mean, new_variance = moments(batch(seed))
        mean[:3] = (1 - momentum) * mean[:3] + momentum * new_mean
        variance[:3] = (1 - momentum) * variance[:3] + momentum * new_variance
    torch.testing.assert_close(statistics.mean1, mean)
    torch.testing.assert_close(statistics.variance1, variance)
    assert torch.equal(statistics.mean0, torch.zeros(2, dtype=torch.float64))
    statistics.eval()
    out = statistics.normalize("n", batch(9), ONE, ZERO)
    torch.testing.assert_close(out, normalized(batch(9), mean[:3], variance[:3]))
    torch.testing.assert_close(statistics.mean1, mean)
