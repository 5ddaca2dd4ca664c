"""Dropout, drop-path and shake-shake: random factors in the activations of a training, for each network on its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from smash_lightning.architecture import Block


class _Shake(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, share: Tensor, of_gradient: Tensor) -> Tensor:
        ctx.save_for_backward(of_gradient)
        return torch.lerp(second, first, share)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (share,) = ctx.saved_tensors
        return gradient * share, gradient * (1 - share), None, None


@dataclass(frozen=True, slots=True)
class Dropping:
    """Zeros with a probability, where the rest is scaled to the same expectation; and random means of two paths.

    Args:
        units: probability of each value that the last convolution of a path reads (dropout, as in wide residual
            networks, Zagoruyko and Komodakis 2016).
        paths: probability that an image gets nothing from an op, or from the residual of a transition (stochastic
            depth, Huang et al. 2016). Of what a bank is the mean of, at least one part remains, and the mean is theirs
            (local drop-path, Larsson et al. 2017).
        shake: whether the mean of two paths has a random share of each for each image, and gradients another one
            (Gastaldi 2017).
        generators: of each network, on the device of the images.
    """

    units: float = 0.0
    paths: float = 0.0
    shake: bool = False
    generators: tuple[torch.Generator, ...] = ()

    def of_units(self, x: Tensor) -> Tensor:
        """Images x (batch, networks x channels, *space) after dropout."""
        return self._drop(x, self.units, (x.shape[1] // max(1, len(self.generators)), *x.shape[2:]))

    def of_paths(self, x: Tensor) -> Tensor:
        """The output x (batch, networks x channels, *space) of an op after drop-path."""
        return self._drop(x, self.paths, (1,) * (x.ndim - 1))

    def mixed(self, first: Tensor, second: Tensor) -> Tensor:
        """The mean of two paths, both (batch, networks x channels, *space)."""
        if not self.shake:
            return (first + second) / 2
        shape, count = (2, len(first), *[1] * (first.ndim - 1)), len(self.generators)
        share, of_gradient = self._draws(shape, first.device).to(first.dtype).unbind(1)
        parts = (each.unflatten(1, (count, -1)).movedim(1, 0) for each in (first, second))
        return _Shake.apply(*parts, share, of_gradient).movedim(0, 1).flatten(1, 2)

    def writes(self, block: Block, x: Tensor) -> Iterator[Tensor]:
        """For each op of `block` that enters means, how many parts they have with this one, (pixels x networks, banks).

        It is infinite where this part is dropped. x are the images that the block reads.
        """
        parts: dict[int, list[int]] = {bank: [-1] for bank in range(block.inputs)}  # ops, and -1 for the input
        for o, op in enumerate(block.ops):
            for bank in op.write:
                parts.setdefault(bank, []).append(o)
        draws = self._draws((len(block.ops) + 1, len(x)), x.device)  # (networks, ops and input, batch)
        counts: dict[tuple[int, int], Tensor] = {}
        for bank, ops in parts.items():
            own = draws[:, ops]
            kept = (own >= self.paths) | (own == own.amax(1, keepdim=True))
            for o, count in zip(ops, torch.where(kept, kept.cumsum(1), torch.inf).unbind(1), strict=True):
                counts[o, bank] = count
        pixels = x[0, 0].numel()
        for o, op in enumerate(block.ops):
            if op.join == "mean":
                each = torch.stack([counts[o, bank] for bank in op.write], -1)  # (networks, batch, banks)
                yield each.transpose(0, 1)[:, None].expand(-1, pixels, -1, -1).flatten(0, 2)

    def _draws(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Uniform numbers (networks, *shape)."""
        return torch.stack([torch.rand(shape, generator=each, device=device) for each in self.generators])

    def _drop(self, x: Tensor, probability: float, shape: tuple[int, ...]) -> Tensor:
        if not probability:
            return x
        draws = self._draws((len(x), *shape), x.device).transpose(0, 1)
        scale = (draws >= probability).to(x.dtype) / (1 - probability)
        return (x.unflatten(1, (draws.shape[1], -1)) * scale).flatten(1, 2)


NOTHING_DROPPED = Dropping()
