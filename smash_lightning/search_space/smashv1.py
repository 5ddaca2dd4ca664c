"""SMASHv1: one dilated convolution per op (paper, section 4 and appendix)."""

import random
from dataclasses import dataclass, replace

from pydantic import PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Convolution
from smash_lightning.option_types import require_bounds
from smash_lightning.search_space.body import Body, Paths


@dataclass(frozen=True)
class SingleConvolution(Body):
    """One k x k convolution, with the same dilation from 1 to `max_dilation` on every axis."""

    kernel: PositiveInt = 3
    max_dilation: PositiveInt = 3

    positions = 1
    groups = (1,)

    def __post_init__(self) -> None:
        require_bounds(self, "search_space.body")
        if self.kernel % 2 == 0:
            raise ValueError(f"search_space.body.kernel must be odd, got {self.kernel}")

    @property
    @override
    def kernels(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.kernel,)

    @property
    @override
    def dilations(self) -> tuple[int, ...]:
        return tuple(range(1, self.max_dilation + 1))

    @override
    def draw(self, rng: random.Random, axes: int, progress: float) -> Paths:
        del progress  # the space does not grow
        return ((Convolution((self.kernel,) * axes, (rng.choice(self.dilations),) * axes),),)

    @override
    def redraw(self, paths: Paths, rng: random.Random, probability: float) -> Paths:
        ((convolution,),) = paths
        if rng.random() >= probability:
            return paths
        return ((replace(convolution, dilation=(rng.choice(self.dilations),) * len(convolution.kernel)),),)

    @override
    def violation(self, paths: Paths) -> str | None:
        if len(paths) != 1 or len(paths[0]) != 1:
            return "it has more than one convolution"
        if len(set(paths[0][0].dilation)) > 1:
            return f"dilation {paths[0][0].dilation} differs between the axes"
        return None
