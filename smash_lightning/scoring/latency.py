"""Measured time of a forward pass on this device."""

from __future__ import annotations

import statistics
import time

import torch

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.network import StandaloneNetwork
from smash_lightning.random_streams import Stream, generator

WARM_UP = 2
REPEATS = 9


class MeasuredLatency:
    """Milliseconds of a forward pass of an architecture's standalone network: the median of several.

    Each architecture is measured once and its value cached. Values differ between runs.

    Args:
        image_spec: image, stem and classifier.
        device: of the measurement.
        batch: images in a pass.
    """

    def __init__(self, image_spec: ImageSpec, device: torch.device | str, batch: int) -> None:
        self.image_spec, self.device = image_spec, torch.device(device)
        shape = (batch, image_spec.channels, *image_spec.size)
        self.images = torch.randn(shape, generator=generator(Stream.LATENCY)).to(self.device)
        self._measured: dict[Architecture, float] = {}

    def __call__(self, architecture: Architecture) -> float:
        """Milliseconds of a forward pass of `architecture`."""
        if architecture not in self._measured:
            self._measured[architecture] = self._measure(architecture)
        return self._measured[architecture]

    @torch.no_grad()
    def _measure(self, architecture: Architecture) -> float:
        network = StandaloneNetwork(architecture, self.image_spec, generator(Stream.LATENCY)).eval().to(self.device)
        times = [self._time(network) for _ in range(WARM_UP + REPEATS)]
        return 1000 * statistics.median(times[WARM_UP:])

    def _time(self, network: StandaloneNetwork) -> float:
        self._synchronize()
        started = time.perf_counter()
        network(self.images)
        self._synchronize()
        return time.perf_counter() - started

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
