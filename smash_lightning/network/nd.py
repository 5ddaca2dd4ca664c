"""Operations for two and three spatial axes; nothing else distinguishes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CONVOLUTION = {2: F.conv2d, 3: F.conv3d}
_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def convolution(x: Tensor, weight: Tensor, dilation: tuple[int, ...], groups: int = 1, stride: int = 1) -> Tensor:
    """Convolution of x (batch, channels, *space) that keeps the resolution, or divides it by `stride`."""
    padding = [d * (k - 1) // 2 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    return _CONVOLUTION[x.ndim - 2](x, weight, None, stride, padding, dilation, groups)


def halve(x: Tensor) -> Tensor:
    """Average pooling of x (batch, channels, *space) over 2 pixels on each axis."""
    return _POOL[x.ndim - 2](x, 2)


def memory_format(x: Tensor) -> torch.memory_format:
    """The memory format of activations: channels last, in which convolutions are fastest on CPU and GPU."""
    return _CHANNELS_LAST[x.ndim - 2]
