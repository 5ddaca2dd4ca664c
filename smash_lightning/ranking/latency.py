"""How long does a forward pass take, on this device?"""

from __future__ import annotations

import statistics
import time

import torch

from smash_lightning.architecture import Architecture, Skeleton
from smash_lightning.network import FreeNetwork
from smash_lightning.randomness import Stream, generator

WARM_UP = 2
REPEATS = 9


class MeasuredLatency:
    """Milliseconds of a forward pass of an architecture's ordinary network: the median of several.

    An architecture is measured once; asked again, the answer is the same. Between runs it differs, as the machine does.

    Args:
        skeleton: image, stem and classifier.
        device: where to measure.
        batch: images in a pass.
    """

    def __init__(self, skeleton: Skeleton, device: torch.device | str, batch: int) -> None:
        self.skeleton, self.device = skeleton, torch.device(device)
        shape = (batch, skeleton.channels, *skeleton.size)
        self.images = torch.randn(shape, generator=generator(Stream.LATENCY)).to(self.device)
        self._measured: dict[Architecture, float] = {}

    def __call__(self, architecture: Architecture) -> float:
        """Measures `architecture`, or remembers."""
        if architecture not in self._measured:
            self._measured[architecture] = self._measure(architecture)
        return self._measured[architecture]

    @torch.no_grad()
    def _measure(self, architecture: Architecture) -> float:
        network = FreeNetwork(architecture, self.skeleton, generator(Stream.LATENCY)).eval().to(self.device)
        times = [self._time(network) for _ in range(WARM_UP + REPEATS)]
        return 1000 * statistics.median(times[WARM_UP:])

    def _time(self, network: FreeNetwork) -> float:
        self._wait()
        started = time.perf_counter()
        network(self.images)
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
