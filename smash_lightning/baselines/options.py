"""Options of the baselines stage, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from smash_lightning.baselines.base import Baseline

OneShot = Literal["weight_sharing", "unconditional", "untrained"]


@dataclass(frozen=True)
class BaselineOptions:
    """Baselines of the score, in addition to parameters, MACs and number of ops.

    Args:
        baselines: by their name in tables; null leaves one out.
        one_shot: other sources of weights, trained and scored exactly as the HyperNets are: "weight_sharing", one
            matrix per block; "unconditional", a HyperNet without the architecture as input; "untrained", an untrained
            HyperNet.
        images: training images for zero-cost proxies.
    """

    baselines: Mapping[str, Baseline | None]
    one_shot: tuple[OneShot, ...]
    images: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "one_shot", tuple(self.one_shot))
        if unknown := set(self.one_shot) - set(get_args(OneShot)):
            raise ValueError(f"baselines.one_shot must be of {', '.join(get_args(OneShot))}, got {min(unknown)!r}")
        if self.images < 2:
            raise ValueError(f"baselines.images must be at least 2, got {self.images}")

    @property
    def chosen(self) -> dict[str, Baseline]:
        """Baselines that are not left out."""
        return {name: baseline for name, baseline in self.baselines.items() if baseline is not None}
