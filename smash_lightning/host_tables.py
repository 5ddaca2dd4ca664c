"""Tables that are functions of hashable values: computed on the host as arrays, and copied to a device.

A table is a call, a function and its arguments. A step whose tables are computed ahead copies all of them at once and
without waiting; `on_device` then finds them, and otherwise computes and copies one alone.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Call = tuple[Callable[..., np.ndarray], tuple[Hashable, ...]]
ALIGNMENT = 16  # bytes; a view of a buffer as another type must start at a multiple of its item

_placed: dict[Call, Tensor] = {}


@dataclass(frozen=True, slots=True)
class Packed:
    """Arrays in one buffer: type, shape and first byte of each."""

    buffer: bytes
    places: tuple[tuple[str, tuple[int, ...], int], ...]


def pack(calls: Iterable[Call]) -> Packed:
    """The arrays of `calls` in one buffer."""
    buffer, places = bytearray(), []
    for function, arguments in calls:
        array = function(*arguments)
        places.append((array.dtype.name, array.shape, len(buffer)))
        buffer += array.tobytes() + bytes(-array.nbytes % ALIGNMENT)
    return Packed(bytes(buffer), tuple(places))


def unpack(packed: Packed, device: torch.device) -> list[Tensor]:
    """The arrays as tensors on `device`, by one copy, for which nothing waits."""
    buffer = _copied(torch.frombuffer(bytearray(packed.buffer), dtype=torch.uint8), device)
    tensors = []
    for name, shape, first in packed.places:
        dtype = getattr(torch, name)
        size = int(np.prod(shape)) * dtype.itemsize
        tensors.append(buffer[first : first + size].view(dtype).view(shape))
    return tensors


@contextmanager
def placed(calls: Sequence[Call], packed: Packed | None, device: torch.device) -> Iterator[None]:
    """Within it, `on_device` finds the tables of `calls`; None places nothing."""
    if packed is not None:
        _placed.update(zip(calls, unpack(packed, device), strict=True))
    try:
        yield
    finally:
        _placed.clear()


def on_device(function: Callable[..., np.ndarray], *arguments: Hashable, device: torch.device) -> Tensor:
    """The table `function(*arguments)` on `device`."""
    found = _placed.get((function, arguments))
    return _copied(torch.from_numpy(function(*arguments)), device) if found is None else found


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`; a copy to a GPU is asynchronous only from pinned memory."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
