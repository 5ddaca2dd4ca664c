"""The two spaces as the authors' code draws them, where it differs from the paper's text.

The budget of a block counts the channels that its ops read, and ops are added until it is used up; banks of SMASHv1
have several widths as well, and its convolutions several kernels and groups. A comment in
`conf/search_space/smashv2_code.yaml` lists the constants that were fitted to medians of samples of the authors' code.
"""

import random
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Block, Convolution, Op
from smash_lightning.architecture.definition import Nonlinearity
from smash_lightning.option_types import Probability
from smash_lightning.search_space.memory_bank import MemoryBankSpace
from smash_lightning.search_space.smashv2 import ParallelConvolutions


@dataclass(frozen=True)
class ReadBudgetSpace(MemoryBankSpace):
    """A `MemoryBankSpace` whose blocks have `budget_depth` times the channels of their input to read.

    The op that uses up the budget may exceed it.
    """

    counted = "channels read"

    @override
    def _budget(self, b: int) -> int:
        return self.budget_depth * self.inputs[b]

    @override
    def _op_cost(self, op: Op, block: Block) -> int:
        return block.channels_read(op)

    @override
    def _fits(self, spent: int, cost: int, budget: float) -> bool:
        return spent < budget


@dataclass(frozen=True)
class BoundedDilations(ParallelConvolutions):
    """`ParallelConvolutions` with dilations of at most `max_dilation`: by 3, filters of 3, 5 and 7 span 7, 9 and 7."""

    max_dilation: PositiveInt = 3

    @override
    def _most_dilation(self, kernel: int) -> int:
        return min(self.max_dilation, super()._most_dilation(kernel))


@dataclass(frozen=True)
class GatedConvolutions(BoundedDilations):
    """`BoundedDilations` with options of the authors' code that the paper does not use, each off by default.

    Args:
        nonlinearities: of relu, tanh and sigmoid; one is drawn for each convolution, before it.
        gates: probability that two paths meet in a gate, the tanh of the one times the sigmoid of the other.
    """

    nonlinearities: Annotated[tuple[Nonlinearity, ...], Field(min_length=1)] = ("relu",)
    gates: Probability = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "nonlinearities", tuple(self.nonlinearities))
        super().__post_init__()

    @override
    def _draw_convolution(self, rng: random.Random, axes: int, kernels: list[int]) -> Convolution:
        return self._nonlinear(super()._draw_convolution(rng, axes, kernels), rng)

    @override
    def _redraw_convolution(self, convolution: Convolution, rng: random.Random, probability: float) -> Convolution:
        convolution = super()._redraw_convolution(convolution, rng, probability)
        return self._nonlinear(convolution, rng) if rng.random() < probability else convolution

    def _nonlinear(self, convolution: Convolution, rng: random.Random) -> Convolution:
        return replace(convolution, nonlinearity=rng.choice(self.nonlinearities))
