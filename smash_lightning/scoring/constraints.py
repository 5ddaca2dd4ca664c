"""Which proposals are accepted: new ones within bounds on the cost."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.benchmark import Timer

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.network import StandaloneNetwork
from smash_lightning.random_streams import Stream, generator

Latency = Callable[[Architecture], float]
MIN_SECONDS = 0.05  # of the measurement of one architecture


@dataclass(frozen=True, slots=True)
class Constraints:
    """Bounds on the standalone network of a candidate; None for no bound."""

    max_params: int | None = None
    max_macs: int | None = None
    max_latency: float | None = None
    latency: Latency | None = None

    def violated(self, architecture: Architecture, image_spec: ImageSpec) -> tuple[str, float] | None:
        """Name of the first bound that `architecture` violates, and its value; None if it satisfies all."""
        size = cost(architecture, image_spec)
        if self.max_params is not None and size.params > self.max_params:
            return "max_params", size.params
        if self.max_macs is not None and size.macs > self.max_macs:
            return "max_macs", size.macs
        if self.max_latency is not None:  # last, as it may measure
            assert self.latency is not None, "max_latency needs a measurement of latency"
            if (milliseconds := self.latency(architecture)) > self.max_latency:
                return "max_latency", milliseconds
        return None


class CandidateFilter:
    """Accepts or rejects architectures, and keeps the smallest values that violated a bound, for error messages."""

    def __init__(
        self, taken: Set[Architecture], drawn: Set[str], constraints: Constraints, image_spec: ImageSpec
    ) -> None:
        self.taken, self.drawn, self.constraints, self.image_spec = taken, drawn, constraints, image_spec
        self._smallest: dict[str, float] = {}

    def __call__(self, architecture: Architecture) -> bool:
        """Whether `architecture` is accepted."""
        if architecture in self.taken or architecture.fingerprint in self.drawn:
            return False
        violated = self.constraints.violated(architecture, self.image_spec)
        if violated is not None:
            name, value = violated
            self._smallest[name] = min(value, self._smallest.get(name, value))
        return violated is None

    def message(self, attempts: int) -> str:
        """The message after so many proposals were rejected."""
        within, remedy = "", "lower the counts of `ranking`, or widen the search space"
        if self._smallest:
            within = " within " + " and ".join(
                f"ranking.{name}={getattr(self.constraints, name)} (the smallest that was rejected has {value:.6g})"
                for name, value in self._smallest.items()
            )
            remedy = "raise the bound, or choose a search space of smaller architectures"
        return f"no new architecture{within} in {attempts} attempts after {len(self.taken)} were scored; {remedy}"


def measured_latency(image_spec: ImageSpec, device: torch.device | str, batch: int) -> Latency:
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
