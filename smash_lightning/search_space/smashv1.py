"""SMASHv1: one dilated convolution per op (paper, section 4 and appendix)."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from smash_lightning.architecture import Convolution
from smash_lightning.search_space.memory_bank import Body, Paths


@dataclass(frozen=True)
class SingleConvolution(Body):
    """One k x k convolution, with the same dilation from 1 to `max_dilation` on every axis."""

    kernel: int = 3
    max_dilation: int = 3

    positions = 1
    groups = (1,)

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"search_space: kernel must be odd, got {self.kernel}")
        if self.max_dilation < 1:
            raise ValueError(f"search_space: max_dilation must be at least 1, got {self.max_dilation}")

    @property
    def kernels(self) -> tuple[int, ...]:  # type: ignore[override]
        """The one kernel size."""
        return (self.kernel,)

    @property
    def dilations(self) -> tuple[int, ...]:
        """All dilations up to the largest."""
        return tuple(range(1, self.max_dilation + 1))

    def draw(self, rng: random.Random, axes: int, progress: float) -> Paths:
        """Draws the dilation."""
        del progress  # nothing opens gradually
        return ((Convolution((self.kernel,) * axes, (rng.choice(self.dilations),) * axes),),)

    def redraw(self, paths: Paths, rng: random.Random, probability: float) -> Paths:
        """Redraws the dilation with `probability`."""
        ((convolution,),) = paths
        if rng.random() >= probability:
            return paths
        return ((replace(convolution, dilation=(rng.choice(self.dilations),) * len(convolution.kernel)),),)

    def refusal(self, paths: Paths) -> str | None:
        """Why `paths` is not one evenly dilated convolution."""
        if len(paths) != 1 or len(paths[0]) != 1:
            return "it has more than one convolution"
        if len(set(paths[0][0].dilation)) > 1:
            return f"dilation {paths[0][0].dilation} differs between the axes"
        return None
