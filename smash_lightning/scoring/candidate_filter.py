"""Which proposals are accepted: new ones that satisfy all constraints."""

from __future__ import annotations

from collections.abc import Set

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.scoring.constraints import Constraints, Latency


class CandidateFilter:
    """Accepts or rejects architectures, and keeps the smallest values that violated a constraint, for error messages.

    Args:
        taken: architectures that are candidates already.
        drawn: fingerprints of those that training has sampled.
        constraints: bounds on the cost.
        image_spec: image, stem and classifier of the standalone networks.
        latency: milliseconds of a forward pass, where it is bounded.
    """

    def __init__(
        self,
        taken: Set[Architecture],
        drawn: Set[str],
        constraints: Constraints,
        image_spec: ImageSpec,
        latency: Latency | None,
    ) -> None:
        self.taken, self.drawn = taken, drawn
        self.constraints, self.image_spec, self.latency = constraints, image_spec, latency
        self._smallest: dict[str, float] = {}

    def __call__(self, architecture: Architecture) -> bool:
        """Whether `architecture` is accepted."""
        if architecture in self.taken or architecture.fingerprint in self.drawn:
            return False
        excess = self.constraints.excess(architecture, self.image_spec, self.latency)
        if excess is not None:
            self._smallest[excess.name] = min(excess.value, self._smallest.get(excess.name, excess.value))
        return excess is None

    def violation(self, attempts: int) -> str:
        """The message after so many proposals were rejected."""
        if not self._smallest:
            return (
                f"no new architecture in {attempts} attempts after {len(self.taken)} were scored; "
                "lower the counts of `ranking`, or widen the search space"
            )
        bounds = " and ".join(
            f"ranking.{name}={getattr(self.constraints, name)} (the smallest that was rejected has {round(value, 3)})"
            for name, value in self._smallest.items()
        )
        return (
            f"no new architecture within {bounds} in {attempts} attempts after {len(self.taken)} were scored; "
            "raise the bound, or choose a search space of smaller architectures"
        )
