"""SMASHv2: up to four convolutions per op, in two paths, with kernels, dilations and groups (paper, section 4)."""

import random
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Convolution
from smash_lightning.architecture.definition import Nonlinearity
from smash_lightning.option_types import Probability, require_bounds
from smash_lightning.search_space.base import ADDED
from smash_lightning.search_space.body import Body, Paths

# Prior of the lengths of an op's paths: one; two in parallel; two in series; three; four.
PATH_LENGTHS: dict[tuple[int, ...], float] = {(1,): 0.05, (1, 1): 0.10, (2,): 0.15, (2, 1): 0.25, (2, 2): 0.45}


@dataclass(frozen=True)
class ParallelConvolutions(Body):
    """One or two parallel paths of one or two convolutions.

    conf/search_space explains the options: smashv2.yaml those of the paper, and smashv1_code.yaml, smashv2_code.yaml
    and smashv2_gated.yaml those of the authors' code.
    """

    kernels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (3, 5, 7)
    max_span: PositiveInt = 9
    groups: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4, 8)
    most: Literal[1, 4] = 4
    max_dilation: PositiveInt | None = field(default=None, metadata=ADDED)
    nonlinearities: Annotated[tuple[Nonlinearity, ...], Field(min_length=1)] = field(default=("relu",), metadata=ADDED)
    gates: Probability = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        for name in ("kernels", "groups"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))
        object.__setattr__(self, "nonlinearities", tuple(self.nonlinearities))
        require_bounds(self, "search_space.body")
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"search_space.body.kernels must be odd, got {list(self.kernels)}")
        if self.kernels[-1] > self.max_span:
            raise ValueError(f"search_space.body: kernel {self.kernels[-1]} spans more than max_span={self.max_span}")

    @property
    @override
    def positions(self) -> int:
        return self.most

    @property
    def path_lengths(self) -> dict[tuple[int, ...], float]:
        """Prior of the lengths of an op's paths: the paper's, or a single convolution."""
        return PATH_LENGTHS if self.most == 4 else {(1,): 1.0}

    @property
    @override
    def dilations(self) -> tuple[int, ...]:
        return tuple(range(1, max(self._most_dilation(kernel) for kernel in self.kernels) + 1))

    def _most_dilation(self, kernel: int) -> int:
        spanned = (self.max_span - 1) // (kernel - 1) if kernel > 1 else 1
        return min(spanned, self.max_dilation or spanned)

    @override
    def draw(self, rng: random.Random, axes: int, progress: float) -> Paths:
        smallest, largest = self.kernels[0], self.kernels[-1]
        cap = smallest + (largest - smallest) * min(1.0, 2 * progress)
        kernels = [k for k in self.kernels if k <= cap]
        (shape,) = rng.choices(list(self.path_lengths), list(self.path_lengths.values()))
        return tuple(tuple(self._draw_convolution(rng, axes, kernels) for _ in range(length)) for length in shape)

    def _draw_convolution(self, rng: random.Random, axes: int, kernels: list[int]) -> Convolution:
        kernel = tuple(rng.choice(kernels) for _ in range(axes))
        dilation, groups = self._draw_dilation(rng, kernel), rng.choice(self.groups)
        several = len(self.nonlinearities) > 1
        nonlinearity = rng.choice(self.nonlinearities) if several else self.nonlinearities[0]
        return Convolution(kernel, dilation, groups, nonlinearity)

    def _draw_dilation(self, rng: random.Random, kernel: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(rng.randint(1, self._most_dilation(k)) for k in kernel)

    @override
    def redraw(self, paths: Paths, rng: random.Random, probability: float) -> Paths:
        # A new shape keeps the convolutions that fit it.
        axes, kernels = len(paths[0][0].kernel), list(self.kernels)
        shape = tuple(len(path) for path in paths)
        if rng.random() < probability:
            (shape,) = rng.choices(list(self.path_lengths), list(self.path_lengths.values()))
        kept = {(p, s): c for p, path in enumerate(paths) for s, c in enumerate(path)}
        return tuple(
            tuple(
                self._redraw_convolution(kept[p, s], rng, probability)
                if (p, s) in kept
                else self._draw_convolution(rng, axes, kernels)
                for s in range(length)
            )
            for p, length in enumerate(shape)
        )

    def _redraw_convolution(self, convolution: Convolution, rng: random.Random, probability: float) -> Convolution:
        if rng.random() < probability:
            convolution = replace(convolution, kernel=tuple(rng.choice(self.kernels) for _ in convolution.kernel))
        if rng.random() < probability or self._convolution_violation(convolution):
            convolution = replace(convolution, dilation=self._draw_dilation(rng, convolution.kernel))
        if rng.random() < probability:
            convolution = replace(convolution, groups=rng.choice(self.groups))
        if len(self.nonlinearities) > 1 and rng.random() < probability:
            convolution = replace(convolution, nonlinearity=rng.choice(self.nonlinearities))
        return convolution

    @override
    def violation(self, paths: Paths) -> str | None:
        if tuple(len(path) for path in paths) not in self.path_lengths:
            return f"paths of {[len(path) for path in paths]} convolutions do not occur"
        return next(filter(None, (self._convolution_violation(c) for path in paths for c in path)), None)

    def _convolution_violation(self, convolution: Convolution) -> str | None:
        if any(d > self._most_dilation(k) for k, d in zip(convolution.kernel, convolution.dilation, strict=True)):
            return f"dilation {convolution.dilation} is too large for kernel {convolution.kernel}"
        return None
