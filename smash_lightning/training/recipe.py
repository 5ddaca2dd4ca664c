"""Parts of a recipe of standalone training, for each seed on its own: cutout, mixup, CutMix, and clipped gradients."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from smash_lightning.random_streams import Stream, generator, rng


def cut_out(images: Tensor, side: int, *key: int) -> Tensor:
    """Images with zeros, the mean of normalized ones, in a square around a random pixel (DeVries and Taylor 2017).

    Args:
        images: (batch, channels, *size); of three axes, it is a cube.
        side: of the square, in pixels; at a border only a part of it is in the image.
        key: of the random draws: seed and batch.
    """
    draws, size = generator(Stream.CUTOUT, *key), images.shape[2:]
    centers = [torch.randint(length, (len(images),), generator=draws) for length in size]
    box = _boxes(size, torch.stack(centers, 1), [side] * len(size))
    return images.masked_fill(box.to(images.device), 0)


def mix(images: Tensor, mixup: float, cutmix: float, *key: int) -> tuple[Tensor, Tensor, float]:
    """Images mixed with others of the batch by mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019).

    Args:
        images: (batch, channels, *size).
        mixup: parameter of the symmetric beta distribution of the share that an image keeps; 0 for no mixup.
        cutmix: likewise, of the share of the pixels; 0 for no CutMix. With both, each batch is mixed by one of them.
        key: of the random draws: seed and batch.

    Returns:
        The images; for each the index (batch,) of the other one; and the share that it keeps.
    """
    draws, size = rng(Stream.MIXING, *key), images.shape[2:]
    others = torch.randperm(len(images), generator=generator(Stream.MIXING, *key))
    partners = others.to(images.device)
    by_cutmix = bool(cutmix) and (not mixup or draws.random() < 0.5)
    alpha = cutmix if by_cutmix else mixup
    share = draws.betavariate(alpha, alpha)
    if not by_cutmix:
        return torch.lerp(images[partners], images, share), partners, share
    sides = [round(length * (1 - share) ** (1 / len(size))) for length in size]
    box = _boxes(size, torch.tensor([[draws.randrange(length) for length in size]]), sides)
    return torch.where(box.to(images.device), images[partners], images), partners, 1 - box.double().mean().item()


def _boxes(size: Sequence[int], centers: Tensor, sides: Sequence[int]) -> Tensor:
    """Where pixels are within boxes of `sides` around `centers` (boxes, axes): (boxes, 1, *size)."""
    inside = torch.ones(len(centers), 1, *size, dtype=torch.bool)
    for axis, (length, side) in enumerate(zip(size, sides, strict=True)):
        offset = torch.arange(length) - centers[:, axis, None] + side // 2
        shape = [len(centers), *[1] * (1 + len(size))]
        shape[2 + axis] = length
        inside &= ((offset >= 0) & (offset < side)).view(shape)
    return inside


def clip(parameters: Iterable[nn.Parameter], networks: int, largest: float) -> None:
    """Scales the gradients of each network that are longer than `largest` to this norm, over all its parameters.

    Parameters are those of all networks, concatenated along the first axis.
    """
    gradients = [p.grad.unflatten(0, (networks, -1)) for p in parameters if p.grad is not None]
    lengths = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    factors = (largest / torch.linalg.vector_norm(torch.stack(lengths), dim=0)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
