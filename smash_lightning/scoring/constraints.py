"""Bounds on the cost of a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from smash_lightning.architecture import Architecture, ImageSpec, cost

Latency = Callable[[Architecture], float]


@dataclass(frozen=True, slots=True)
class Excess:
    """A violated bound: its name, as in the configuration, and the architecture's value."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Constraints:
    """Bounds on the standalone network of a candidate; None for no bound.

    Args:
        max_params: most trainable parameters.
        max_macs: most multiply-accumulates of one image's forward pass.
        max_latency: longest forward pass, milliseconds.
    """

    max_params: int | None = None
    max_macs: int | None = None
    max_latency: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            bound = getattr(self, field.name)
            if bound is not None and not bound > 0:
                raise ValueError(f"ranking.{field.name} must be above 0, or null for no bound, got {bound}")

    def excess(self, architecture: Architecture, image_spec: ImageSpec, latency: Latency | None) -> Excess | None:
        """The first bound that `architecture` violates; None if it satisfies all.

        Args:
            architecture: what to check.
            image_spec: image, stem and classifier around it.
            latency: milliseconds of a forward pass; called last, as it may measure, and only with `max_latency`.
        """
        if self.max_params is not None or self.max_macs is not None:
            size = cost(architecture, image_spec)
            if self.max_params is not None and size.params > self.max_params:
                return Excess("max_params", size.params)
            if self.max_macs is not None and size.macs > self.max_macs:
                return Excess("max_macs", size.macs)
        if self.max_latency is not None:
            assert latency is not None
            if (milliseconds := latency(architecture)) > self.max_latency:
                return Excess("max_latency", milliseconds)
        return None
