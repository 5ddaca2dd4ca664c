import pytest
import torch
from torch import Tensor

from smash_lightning.network import RecordedAverages, RunningAverages, UseBatchStatistics
from smash_lightning.random_streams import generator

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


def test_recorded_statistics_are_those_of_the_batch() -> None:
    statistics = RecordedAverages()
    first = statistics.normalize("n", batch(0), ONE, ZERO)
    torch.testing.assert_close(first, UseBatchStatistics().normalize("n", batch(0), ONE, ZERO))
    for kept, expected in zip(statistics.statistics["n"], moments(batch(0)), strict=True):
        torch.testing.assert_close(kept, expected)
    statistics.recording = False
    out = statistics.normalize("n", batch(1), ONE, ZERO)
    torch.testing.assert_close(out, normalized(batch(1), *moments(batch(0))))


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
