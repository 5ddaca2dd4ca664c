"""Dropout and drop-path: random zeros in the activations of a training, drawn for each network on its own."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Dropping:
    """Zeros with a probability, where the rest is scaled to the same expectation.

    Args:
        units: probability of each value that the last convolution of a path reads (dropout, as in wide residual
            networks, Zagoruyko and Komodakis 2016).
        paths: probability that an image gets nothing from an op, or from the residual of a transition (stochastic
            depth, Huang et al. 2016; a mean of paths keeps its divisor).
        generators: of each network, on the device of the images.
    """

    units: float = 0.0
    paths: float = 0.0
    generators: tuple[torch.Generator, ...] = ()

    def of_units(self, x: Tensor) -> Tensor:
        """Images x (batch, networks x channels, *space) after dropout."""
        return self._drop(x, self.units, (x.shape[1] // max(1, len(self.generators)), *x.shape[2:]))

    def of_paths(self, x: Tensor) -> Tensor:
        """The output x (batch, networks x channels, *space) of an op after drop-path."""
        return self._drop(x, self.paths, (1,) * (x.ndim - 1))

    def _drop(self, x: Tensor, probability: float, shape: tuple[int, ...]) -> Tensor:
        if not probability:
            return x
        draws = [torch.rand((len(x), *shape), generator=each, device=x.device) for each in self.generators]
        scale = (torch.stack(draws, 1) >= probability).to(x.dtype) / (1 - probability)
        return (x.unflatten(1, (len(draws), -1)) * scale).flatten(1, 2)


NOTHING_DROPPED = Dropping()
