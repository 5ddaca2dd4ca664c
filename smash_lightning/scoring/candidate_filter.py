"""Which proposals are taken up: new ones that break no constraint."""

from __future__ import annotations

from collections.abc import Set

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.scoring.constraints import Constraints, Excess, Latency


class CandidateFilter:
    """Says of architectures whether they are taken up, and remembers why not, for a message that helps.

    Args:
        taken: architectures that are candidates already.
        drawn: fingerprints of those that training has drawn.
        constraints: bounds that hold.
        image_spec: image, stem and classifier of the ordinary networks.
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
        self._nearest: dict[str, float] = {}

    def __call__(self, architecture: Architecture) -> bool:
        """Whether it is taken up."""
        if architecture in self.taken or architecture.fingerprint in self.drawn:
            return False
        excess = self.constraints.excess(architecture, self.image_spec, self.latency)
        if excess is not None:
            self._remember(excess)
        return excess is None

    def _remember(self, excess: Excess) -> None:
        self._nearest[excess.name] = min(excess.value, self._nearest.get(excess.name, excess.value))

    def refusal(self, attempts: int) -> str:
        """What to tell when so many proposals were refused."""
        if not self._nearest:
            return (
                f"no new architecture in {attempts} attempts after {len(self.taken)} were scored; "
                "lower the counts of `ranking`, or widen the search space"
            )
        broken = " and ".join(
            f"ranking.{name}={getattr(self.constraints, name)} (the nearest that was refused has {round(value, 3)})"
            for name, value in self._nearest.items()
        )
        return (
            f"no new architecture within {broken} in {attempts} attempts after {len(self.taken)} were scored; "
            "raise the bound, or choose a search space of smaller architectures"
        )
