"""Which proposals are accepted: new ones within bounds on the cost."""

from collections.abc import Callable, Mapping, Set
from functools import cache

import torch
from torch.utils.benchmark import Timer

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.network import StandaloneNetwork
from smash_lightning.random_streams import Stream, generator

Measure = Callable[[Architecture], float]
Bounds = Mapping[str, tuple[float, Measure]]  # by the name of the option: the largest value, and how it is measured
MIN_SECONDS = 0.05  # of the measurement of one architecture


class CandidateFilter:
    """Accepts or rejects architectures, and keeps the smallest values that violated a bound, for error messages."""

    def __init__(self, taken: Set[Architecture], drawn: Set[str], bounds: Bounds) -> None:
        self.taken, self.drawn, self.bounds = taken, drawn, bounds
        self._smallest: dict[str, float] = {}

    def __call__(self, architecture: Architecture) -> bool:
        """Whether `architecture` is accepted; a bound is measured where those before it are satisfied."""
        if architecture in self.taken or architecture.fingerprint in self.drawn:
            return False
        for name, (largest, measure) in self.bounds.items():
            if (value := measure(architecture)) > largest:
                self._smallest[name] = min(value, self._smallest.get(name, value))
                return False
        return True

    def message(self, attempts: int) -> str:
        """The message after so many proposals were rejected."""
        within, remedy = "", "lower the counts of `ranking`, or widen the search space"
        if self._smallest:
            within = " within " + " and ".join(
                f"ranking.{name}={self.bounds[name][0]} (the smallest that was rejected has {value:.6g})"
                for name, value in self._smallest.items()
            )
            remedy = "raise the bound, or choose a search space of smaller architectures"
        return f"no new architecture{within} in {attempts} attempts after {len(self.taken)} were scored; {remedy}"


def measured_latency(image_spec: ImageSpec, device: torch.device | str, batch: int) -> Measure:
    """Measures the forward pass of an architecture's standalone network on `batch` images: milliseconds, the median.

    Each architecture is measured once and its value cached. Values differ between runs.
    """
    shape = (batch, image_spec.channels, *image_spec.size)
    images = torch.randn(shape, generator=generator(Stream.LATENCY)).to(device)

    @cache
    @torch.no_grad()
    def latency(architecture: Architecture) -> float:
        network = StandaloneNetwork(architecture, image_spec, generator(Stream.LATENCY)).eval().to(device)
        names = {"network": network, "images": images}
        timer = Timer("network(images)", globals=names, num_threads=torch.get_num_threads())  # it waits for a GPU
        return 1000 * timer.blocked_autorange(min_run_time=MIN_SECONDS).median

    return latency
