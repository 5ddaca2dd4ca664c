"""The paper's distribution over memory-bank architectures (section 3.2 and appendix), with all sizes as options."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Architecture, Block, ImageSpec, Limits, Op
from smash_lightning.option_types import Probability, Share, require_bounds
from smash_lightning.search_space.base import ADDED, SearchSpace
from smash_lightning.search_space.body import Body

Activations = Annotated[tuple[Literal["pre", "post"], ...], Field(min_length=1)]
ATTEMPTS = 200


@dataclass(frozen=True)
class MemoryBankSpace(SearchSpace):
    """Architectures of memory banks, sampled op by op. conf/search_space/common explains the options."""

    image_spec: ImageSpec
    body: Body
    base: PositiveInt
    max_units: PositiveInt
    inputs: tuple[PositiveInt, ...]
    memory: tuple[PositiveInt, ...]
    widths: tuple[PositiveInt, ...]
    min_ops: PositiveInt
    max_ops: Annotated[int, Field(gt=0, le=1000)]
    bottleneck: PositiveInt
    bottleneck_capped: bool
    read_step: PositiveInt
    units: Literal["near_read", "uniform"]
    sample_banks: bool
    budget_depth: NonNegativeInt
    budget_share: tuple[Share, Share]
    activations: Activations = field(default=("pre",), metadata=ADDED)
    op_norm: bool = field(default=False, metadata=ADDED)
    pooled_reads: Probability = field(default=0.0, metadata=ADDED)
    budget_unit: Literal["parameters", "channels_read"] = field(default="parameters", metadata=ADDED)

    def __post_init__(self) -> None:
        for name in ("inputs", "memory", "budget_share", "activations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "widths", tuple(sorted(self.widths)))
        require_bounds(self, "search_space")
        if self.min_ops > self.max_ops:
            raise ValueError(f"search_space.min_ops={self.min_ops} is more than max_ops={self.max_ops}")
        if self.budget_share[0] > self.budget_share[1]:
            raise ValueError(f"search_space.budget_share must rise, got {list(self.budget_share)}")
        if unfit := [g for g in self.body.groups if self.base % g]:
            raise ValueError(f"search_space: {unfit[0]} groups do not divide the base of {self.base} channels")
        assert self.limits  # impossible limits are refused here

    @cached_property
    @override
    def limits(self) -> Limits:
        return Limits(
            dimensions=self.image_spec.dimensions,
            base=self.base,
            max_units=self.max_units,
            inputs=self.inputs,
            memory=self.memory,
            widths=self.widths,
            positions=self.body.positions,
            kernels=self.body.kernels,
            dilations=self.body.dilations,
            groups=self.body.groups,
            bottleneck=self.bottleneck,
            bottleneck_capped=self.bottleneck_capped,
            nonlinearities=self.body.nonlinearities,
            gates=self.body.gates > 0,
            activations=self.activations,
            op_norm=self.op_norm,
            pooled_reads=self.pooled_reads > 0,
        )

    @override
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        # Within the first half of training the budget and the kernels grow.
        blocks: list[Block] = []
        for _ in self.inputs:
            blocks.append(self._sample_block(blocks, rng, progress))
        return architecture_of(blocks)

    def _empty_block(self, before: Sequence[Block], width: int) -> Block:
        """The block after those `before`, without ops, and with the width of the banks that these may read pooled."""
        pooled_width = before[-1].width if before and self.pooled_reads else 0
        return Block(width, self.inputs[len(before)] // width, (), pooled_width)

    def _sample_block(self, before: Sequence[Block], rng: random.Random, progress: float) -> Block:
        b, width = len(before), rng.choice(self.widths)
        block, banks = self._empty_block(before, width), self.memory[b] // width
        if self.sample_banks:
            banks = rng.randint(block.inputs, banks)
        if not self.budget_depth:
            for _ in range(rng.randint(self.min_ops, self.max_ops)):
                block = _append(block, self._draw_op(None, block, banks, before, rng, progress))
            return block
        low, high = self.budget_share
        allowed = rng.uniform(low, high + (1 - high) * min(1.0, 2 * progress)) * self._budget(b)
        spent = failures = 0
        while len(block.ops) < self.max_ops and (failures < 1 or len(block.ops) < self.min_ops):
            op = self._draw_op(None, block, banks, before, rng, progress)
            cost = self._op_cost(op, block)
            # The first ops must fit the whole budget, later ones its random share.
            if self._fits(spent, cost, allowed if len(block.ops) >= self.min_ops else self._budget(b)):
                block, spent = _append(block, op), spent + cost
                continue
            failures += 1
            if failures > ATTEMPTS:
                raise ValueError(f"search_space: budget_depth={self.budget_depth} is too small for an op in block {b}")
        return block

    def _draw_op(
        self,
        old: Op | None,
        block: Block,
        banks: int,
        before: Sequence[Block],
        rng: random.Random,
        progress: float = 1.0,
        probability: float = 1.0,
    ) -> Op:
        """An op after those of `block`; of `old`, elements that stay possible are redrawn with `probability` each."""

        def anew() -> bool:
            return old is None or rng.random() < probability

        filled = block.banks
        op = old or Op((), (), 0, None, (), self.activations[0])
        read, units, write, meet, activation, pooled = op.read, op.units, op.write, op.meet, op.activation, op.pooled
        if anew() or not self._readable(read, block):
            read = self._draw_read(block, rng)
        if anew():
            units = self._draw_units(block.width, len(read), banks, rng)
        if anew() or _write_violation(write, units, filled, banks):
            write = _draw_write(units, filled, banks, rng)
        if old is None:
            paths = self.body.draw(rng, self.image_spec.dimensions, progress)
        else:
            paths = self.body.redraw(old.paths, rng, probability)
        if self.body.gates and (len(paths) != len(op.paths) or anew()):
            meet = self.body.draw_meet(paths, rng)
        if len(self.activations) > 1 and anew():
            activation = rng.choice(self.activations)
        if block.pooled_width and (anew() or (pooled and not self._readable(pooled, before[-1]))):
            pooled = self._draw_read(before[-1], rng) if rng.random() < self.pooled_reads else ()
        op = Op(read, write, units, None, paths, activation, meet=meet, pooled=pooled)
        return replace(op, bottleneck=self.limits.bottleneck_channels(block.channels_read(op), units * block.width))

    def _read_counts(self, width: int, filled: int) -> range:
        step = math.lcm(width, self.read_step * self.base) // width
        return range(step, filled + 1, step) if step <= filled else range(1, filled + 1)

    def _readable(self, read: tuple[int, ...], block: Block) -> bool:
        return read[-1] < block.banks and len(read) in self._read_counts(block.width, block.banks)

    def _draw_read(self, block: Block, rng: random.Random) -> tuple[int, ...]:
        count = rng.choice(self._read_counts(block.width, block.banks))
        return tuple(sorted(rng.sample(range(block.banks), count)))

    def _draw_units(self, width: int, read: int, banks: int, rng: random.Random) -> int:
        choices = range(1, min(self.limits.max_outputs // width, banks) + 1)
        if self.units == "uniform":
            return rng.choice(choices)
        step = width // self.base  # the difference is in units of N, however wide the banks
        weights = [1 / (0.01 + 10 * abs(units - read) * step) for units in choices]
        return rng.choices(choices, weights)[0]

    def _budget(self, b: int) -> int:
        if self.budget_unit == "channels_read":
            return self.budget_depth * self.inputs[b]
        return int(self.budget_depth * 3**self.image_spec.dimensions * self.inputs[b] ** 2)

    def _op_cost(self, op: Op, block: Block) -> int:
        return block.channels_read(op) if self.budget_unit == "channels_read" else _op_parameters(op, block)

    def _fits(self, spent: int, cost: int, budget: float) -> bool:
        # In the authors' code, the op that uses up a budget of channels may exceed it.
        return spent < budget if self.budget_unit == "channels_read" else spent + cost <= budget

    @override
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Redraws each element with `probability`: of every op its reads, units, writes, shape and convolutions; of a
        block its number of ops, by one more or one less; and where banks may have several widths, the whole block.
        Elements that an earlier change made impossible are redrawn too. Returns `architecture` itself when no
        perturbation within the budget was found.
        """
        for _ in range(ATTEMPTS):
            blocks: list[Block] = []
            for block in architecture.blocks:
                blocks.append(self._perturb_block(block, blocks, rng, probability))
            candidate = architecture_of(blocks)
            if candidate != architecture and self.contains(candidate):
                return candidate
        return architecture

    def _perturb_block(self, block: Block, before: Sequence[Block], rng: random.Random, probability: float) -> Block:
        if len(self.widths) > 1 and rng.random() < probability:
            return self._sample_block(before, rng, 1.0)
        new, banks = self._empty_block(before, block.width), self.memory[len(before)] // block.width
        originals: list[Op | None] = list(block.ops)
        if rng.random() < probability:
            if len(originals) > self.min_ops and (len(originals) == self.max_ops or rng.random() < 0.5):
                del originals[rng.randrange(len(originals))]
            elif len(originals) < self.max_ops:
                originals.insert(rng.randrange(len(originals) + 1), None)
        for op in originals:
            new = _append(new, self._draw_op(op, new, banks, before, rng, probability=probability))
        return new

    @override
    def violation(self, architecture: Architecture) -> str | None:
        if reason := self.limits.violation(architecture):
            return reason
        for b, block in enumerate(architecture.blocks):
            if not self.min_ops <= len(block.ops) <= self.max_ops:
                return f"block {b}: it has {len(block.ops)} ops, not {self.min_ops} to {self.max_ops}"
            costs, budget = [self._op_cost(op, block) for op in block.ops], self._budget(b)
            if self.budget_depth and not self._fits(sum(costs[:-1]), costs[-1], budget):
                return f"block {b}: its ops have {sum(costs)} {self.budget_unit}, more than the budget of {budget}"
            filled = block.inputs
            for o, op in enumerate(block.ops):
                reason = self.body.violation(op.paths)
                if len(op.read) not in (counts := self._read_counts(block.width, filled)):
                    reason = f"it reads {len(op.read)} banks, not {' or '.join(map(str, counts))}"
                if op.pooled and not self._readable(op.pooled, architecture.blocks[b - 1]):
                    reason = f"it reads {len(op.pooled)} banks of the block before"
                reason = reason or _write_violation(op.write, op.units, filled, self.memory[b] // block.width)
                if reason:
                    return f"block {b}, op {o}: {reason}"
                filled = max(filled, op.write[-1] + 1)
        return None


def architecture_of(blocks: Sequence[Block]) -> Architecture:
    """The architecture of blocks, which hold the width of pooled banks only where an op reads some."""
    used = (any(op.pooled for op in block.ops) for block in blocks)
    return Architecture(tuple(b if use else replace(b, pooled_width=0) for b, use in zip(blocks, used, strict=True)))


def _append(block: Block, op: Op) -> Block:
    return replace(block, ops=(*block.ops, op))


def _most_writes(units: int, filled: int) -> int:
    return max(units, filled // 2)


def _draw_write(units: int, filled: int, banks: int, rng: random.Random) -> tuple[int, ...]:
    """At least as many banks as units, with exponentially decreasing probability; new banks are filled in order."""
    available = filled + min(units, banks - filled)
    counts = range(units, min(_most_writes(units, filled), available) + 1)
    count = rng.choices(counts, [math.exp(units - c) for c in counts])[0]
    chosen = rng.sample(range(available), count)
    old = sorted(bank for bank in chosen if bank < filled)
    return (*old, *range(filled, filled + count - len(old)))


def _write_violation(write: tuple[int, ...], units: int, filled: int, banks: int) -> str | None:
    new = [bank for bank in write if bank >= filled]
    if new != list(range(filled, filled + len(new))):
        return f"it fills bank {new[-1]} before bank {filled}"
    if len(new) > min(units, banks - filled):
        return f"it fills {len(new)} new banks, more than {min(units, banks - filled)}"
    if not units <= len(write) <= _most_writes(units, filled):
        return f"it writes {len(write)} banks, not {units} to {_most_writes(units, filled)}"
    return None


def _op_parameters(op: Op, block: Block) -> int:
    """Weights of an op's convolutions: those of its layers, without the table, as each proposed op is counted."""
    inputs, outputs = block.channels_read(op), op.units * block.width
    channels = inputs if op.bottleneck is None else op.bottleneck
    total = 0 if op.bottleneck is None else inputs * channels
    for path in op.paths:
        for s, convolution in enumerate(path):
            total += (outputs if s else channels) // convolution.groups * outputs * math.prod(convolution.kernel)
    return total
