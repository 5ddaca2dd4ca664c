"""The paper's distribution over memory-bank architectures (section 3.2 and appendix), with all sizes as options."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from smash_lightning.architecture import Architecture, Block, Convolution, ImageSpec, Limits, Op
from smash_lightning.search_space.base import SearchSpace

Paths = tuple[tuple[Convolution, ...], ...]
ATTEMPTS = 200


class Body(ABC):
    """The convolutions between an op's 1x1 convolution and its output. Subclasses are dataclasses of plain values."""

    kernels: tuple[int, ...]
    groups: tuple[int, ...]

    @property
    @abstractmethod
    def positions(self) -> int:
        """Most convolutions that an op has: 1 or 4."""

    @property
    @abstractmethod
    def dilations(self) -> tuple[int, ...]:
        """Dilations that may occur on an axis, ascending."""

    @abstractmethod
    def draw(self, rng: random.Random, axes: int, progress: float) -> Paths:
        """Random convolutions of an op."""

    @abstractmethod
    def redraw(self, paths: Paths, rng: random.Random, probability: float) -> Paths:
        """Redraws each element of `paths` with `probability`."""

    @abstractmethod
    def violation(self, paths: Paths) -> str | None:
        """The reason why `paths` cannot be drawn; None if it can."""


@dataclass(frozen=True)
class MemoryBankSpace(SearchSpace):
    """Architectures of memory banks, sampled op by op.

    Args:
        image_spec: image, stem and classifier.
        body: the convolutions of an op after its 1x1: those of SMASHv1 or of SMASHv2.
        base: the paper's N, channels in a unit.
        max_units: the paper's N_max / N, most units of an op.
        inputs: channels of each block's input.
        memory: most channels of each block's banks together.
        widths: bank widths to draw from, for each block; (base,) keeps it fixed.
        min_ops: fewest ops in a block.
        max_ops: most ops in a block.
        bottleneck: channels after the 1x1 as a multiple of the output.
        bottleneck_capped: whether the 1x1 has at most as many channels as it reads.
        read_step: an op reads a multiple of so many units if as many are filled (the paper's fit to D); 1 for any.
        units: "near_read": widths near that of the banks read are most likely (the paper); "uniform": all are equal.
        sample_banks: whether the most banks of each block are random (the paper) or always as `memory` allows.
        budget_depth: the ops of a block have at most the parameters of so many full k=3 convolutions; 0 for no budget,
            where the number of ops is uniform instead.
        budget_share: range of the share of that budget that a block uses, at the start of training; the upper bound
            rises to 1 by half of training.
    """

    image_spec: ImageSpec
    body: Body
    base: int
    max_units: int
    inputs: tuple[int, ...]
    memory: tuple[int, ...]
    widths: tuple[int, ...]
    min_ops: int
    max_ops: int
    bottleneck: int
    bottleneck_capped: bool
    read_step: int
    units: Literal["near_read", "uniform"]
    sample_banks: bool
    budget_depth: int
    budget_share: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("inputs", "memory", "budget_share"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "widths", tuple(sorted(self.widths)))
        if self.base < 1 or self.max_units < 1:
            raise ValueError(f"search_space: base ({self.base}) and max_units ({self.max_units}) must be at least 1")
        if not 1 <= self.min_ops <= self.max_ops:
            raise ValueError(f"search_space: min_ops ({self.min_ops}) must be between 1 and max_ops ({self.max_ops})")
        if self.units not in ("near_read", "uniform"):
            raise ValueError(f"search_space: units must be near_read or uniform, got {self.units!r}")
        low, high = self.budget_share
        if not 0 < low <= high <= 1:
            raise ValueError(f"search_space: budget_share must rise within 0 to 1, got {list(self.budget_share)}")
        if unfit := [g for g in self.body.groups if self.base % g]:
            raise ValueError(f"search_space: {unfit[0]} groups do not divide the base of {self.base} channels")
        object.__setattr__(self, "_limits", self._make_limits())

    @property
    @override
    def limits(self) -> Limits:
        return self._limits  # type: ignore[attr-defined]

    def _make_limits(self) -> Limits:
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
        )

    @override
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        # Within the first half of training the budget and the kernels grow.
        return Architecture(tuple(self._sample_block(b, rng, progress) for b in range(len(self.inputs))))

    def _sample_block(self, b: int, rng: random.Random, progress: float) -> Block:
        width = rng.choice(self.widths)
        inputs, banks = self.inputs[b] // width, self.memory[b] // width
        if self.sample_banks:
            banks = rng.randint(inputs, banks)
        ops: tuple[Op, ...] = ()
        if not self.budget_depth:
            for _ in range(rng.randint(self.min_ops, self.max_ops)):
                ops += (self._sample_op(width, _filled(inputs, ops), banks, rng, progress),)
            return Block(width, inputs, ops)
        low, high = self.budget_share
        allowed = rng.uniform(low, high + (1 - high) * min(1.0, 2 * progress)) * self._budget(b)
        failures = 0
        while len(ops) < self.max_ops and (failures < 1 or len(ops) < self.min_ops):
            op = self._sample_op(width, _filled(inputs, ops), banks, rng, progress)
            spent = sum(_op_parameters(o, width) for o in (*ops, op))
            # The first ops must fit the whole budget, later ones its random share.
            if spent <= (allowed if len(ops) >= self.min_ops else self._budget(b)):
                ops += (op,)
                continue
            failures += 1
            if failures > ATTEMPTS:
                raise ValueError(f"search_space: budget_depth={self.budget_depth} is too small for an op in block {b}")
        return Block(width, inputs, ops)

    def _sample_op(self, width: int, filled: int, banks: int, rng: random.Random, progress: float) -> Op:
        read = self._draw_read(width, filled, rng)
        units = self._draw_units(width, len(read), banks, rng)
        write = _draw_write(units, filled, banks, rng)
        return self._op(read, write, units, width, self.body.draw(rng, self.image_spec.dimensions, progress))

    def _op(self, read: tuple[int, ...], write: tuple[int, ...], units: int, width: int, paths: Paths) -> Op:
        return Op(read, write, units, self.limits.bottleneck_channels(len(read) * width, units * width), paths)

    def _read_counts(self, width: int, filled: int) -> range:
        step = math.lcm(width, self.read_step * self.base) // width
        return range(step, filled + 1, step) if step <= filled else range(1, filled + 1)

    def _draw_read(self, width: int, filled: int, rng: random.Random) -> tuple[int, ...]:
        return tuple(sorted(rng.sample(range(filled), rng.choice(self._read_counts(width, filled)))))

    def _max_units(self, width: int, banks: int) -> int:
        return min(self.limits.max_outputs // width, banks)

    def _draw_units(self, width: int, read: int, banks: int, rng: random.Random) -> int:
        choices = range(1, self._max_units(width, banks) + 1)
        if self.units == "uniform":
            return rng.choice(choices)
        step = width // self.base  # the difference is in units of N, however wide the banks
        weights = [1 / (0.01 + 10 * abs(units - read) * step) for units in choices]
        return rng.choices(choices, weights)[0]

    def _budget(self, b: int) -> int:
        return int(self.budget_depth * 3**self.image_spec.dimensions * self.inputs[b] ** 2)

    @override
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Redraws each element with `probability`: of every op its reads, units, writes, shape and convolutions; of a
        block its number of ops, by one more or one less; and where banks may have several widths, the whole block.
        Elements that an earlier change made impossible are redrawn too. Returns `architecture` itself when no
        perturbation within the budget was found.
        """
        for _ in range(ATTEMPTS):
            blocks = tuple(
                self._perturb_block(b, block, rng, probability) for b, block in enumerate(architecture.blocks)
            )
            candidate = Architecture(blocks)
            if candidate != architecture and self.contains(candidate):
                return candidate
        return architecture

    def _perturb_block(self, b: int, block: Block, rng: random.Random, probability: float) -> Block:
        if len(self.widths) > 1 and rng.random() < probability:
            return self._sample_block(b, rng, 1.0)
        width, banks = block.width, self.memory[b] // block.width
        originals: list[Op | None] = list(block.ops)
        if rng.random() < probability:
            if len(originals) > self.min_ops and (len(originals) == self.max_ops or rng.random() < 0.5):
                del originals[rng.randrange(len(originals))]
            elif len(originals) < self.max_ops:
                originals.insert(rng.randrange(len(originals) + 1), None)
        ops: tuple[Op, ...] = ()
        for op in originals:
            filled = _filled(block.inputs, ops)
            if op is None:
                ops += (self._sample_op(width, filled, banks, rng, 1.0),)
            else:
                ops += (self._perturb_op(op, width, filled, banks, rng, probability),)
        return Block(width, block.inputs, ops)

    def _perturb_op(self, op: Op, width: int, filled: int, banks: int, rng: random.Random, probability: float) -> Op:
        read, units, write = op.read, op.units, op.write
        if rng.random() < probability or read[-1] >= filled or len(read) not in self._read_counts(width, filled):
            read = self._draw_read(width, filled, rng)
        if rng.random() < probability:
            units = self._draw_units(width, len(read), banks, rng)
        if rng.random() < probability or _write_violation(write, units, filled, banks):
            write = _draw_write(units, filled, banks, rng)
        return self._op(read, write, units, width, self.body.redraw(op.paths, rng, probability))

    @override
    def violation(self, architecture: Architecture) -> str | None:
        if reason := self.limits.violation(architecture):
            return reason
        for b, block in enumerate(architecture.blocks):
            if not self.min_ops <= len(block.ops) <= self.max_ops:
                return f"block {b}: it has {len(block.ops)} ops, not {self.min_ops} to {self.max_ops}"
            spent = sum(_op_parameters(op, block.width) for op in block.ops)
            if self.budget_depth and spent > self._budget(b):
                return f"block {b}: its ops have {spent} parameters, more than the budget of {self._budget(b)}"
            filled = block.inputs
            for o, op in enumerate(block.ops):
                reason = self.body.violation(op.paths)
                if len(op.read) not in (counts := self._read_counts(block.width, filled)):
                    reason = f"it reads {len(op.read)} banks, not {' or '.join(map(str, counts))}"
                reason = reason or _write_violation(op.write, op.units, filled, self.memory[b] // block.width)
                if reason:
                    return f"block {b}, op {o}: {reason}"
                filled = max(filled, op.write[-1] + 1)
        return None


def _filled(inputs: int, ops: tuple[Op, ...]) -> int:
    return max([inputs] + [op.write[-1] + 1 for op in ops])


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


def _op_parameters(op: Op, width: int) -> int:
    """Weights of an op's convolutions."""
    inputs, outputs = len(op.read) * width, op.units * width
    channels = inputs if op.bottleneck is None else op.bottleneck
    total = 0 if op.bottleneck is None else inputs * channels
    for path in op.paths:
        for s, convolution in enumerate(path):
            total += (outputs if s else channels) // convolution.groups * outputs * math.prod(convolution.kernel)
    return total
