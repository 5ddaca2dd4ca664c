"""Where chance comes from: streams named by a key, so that any step of a run can be drawn again on its own."""

from __future__ import annotations

import hashlib
import random

import torch


def rng(*key: int | str) -> random.Random:
    """The stream of the standard library that `key` names: the same key gives the same draws in any process."""
    return random.Random(_number(key))


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """The stream of torch that `key` names."""
    return torch.Generator(device).manual_seed(_number(key))


def _number(key: tuple[int | str, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1
