"""Operations on images of two or three spatial axes, for several networks side by side: the fastest form of each.

Several networks of one architecture compute as one: a tensor of images holds the channels of all of them, network after
network (batch, networks x channels, *space), and a tensor of weights their weights, concatenated along the first axis.
Each network's values are what it computes alone, up to rounding, and a NaN remains in its own channels.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Layer

# What is faster on a CPU with oneDNN (docs/results/costs.md), for images of up to so many pixels:
PRODUCT_PIXELS = 256  # a 1x1 convolution of one network as a matrix product
DENSE_PIXELS = 16  # a convolution as one dense matrix for each network, if it has at most so many filters:
DENSE_FILTERS, DENSE_FILTERS_DILATED = 64, 512  # inputs x outputs

_CONVOLUTION = {2: F.conv2d, 3: F.conv3d}
_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def channels_last(x: Tensor) -> Tensor:
    """Images x (batch, channels, *space) in the fastest memory format for convolutions on CPU and GPU."""
    return x.contiguous(memory_format=_CHANNELS_LAST[x.ndim - 2])


def nonlinear(name: str, x: Tensor) -> Tensor:
    """`name` of x, in place except of a view: autograd would copy the gradient of a changed view four times."""
    y: Tensor = getattr(torch, name if x._is_view() else f"{name}_")(x)
    return y


def average_pool(x: Tensor) -> Tensor:
    """Images x (batch, channels, *space) at half the resolution."""
    return _POOL[x.ndim - 2](x, 2)


def max_pool(x: Tensor) -> Tensor:
    """Images x (batch, channels, *space) at half the resolution, the largest value of each square."""
    return _MAX_POOL[x.ndim - 2](x, 2)


def shifted(x: Tensor) -> Tensor:
    """Images x (batch, channels, *space) moved by one pixel along each axis, with zeros at the first."""
    return F.pad(x, (1, -1) * (x.ndim - 2))


def convolve(layer: Layer, weight: Tensor, x: Tensor, networks: int) -> Tensor:
    """Convolution that keeps the resolution, or divides it by the layer's stride.

    Args:
        layer: of one network.
        weight: of all networks (networks x outputs, inputs / groups, *kernel).
        x: images (batch, networks x inputs, *space).
        networks: number of networks.

    Returns:
        Images (batch, networks x outputs, *space).
    """
    if x.device.type == "cpu" and layer.stride == layer.groups == 1:
        pixels, filters = math.prod(x.shape[2:]), layer.inputs * layer.outputs
        if math.prod(layer.kernel) == networks == 1 and pixels <= PRODUCT_PIXELS:
            return F.linear(x.movedim(1, -1), weight.flatten(1)).movedim(-1, 1)
        most = DENSE_FILTERS_DILATED if max(layer.dilation) > 1 else DENSE_FILTERS
        if math.prod(layer.kernel) > 1 and pixels <= DENSE_PIXELS and filters <= most:
            return _dense(layer, weight, x, networks)
    padding = [d * (k - 1) // 2 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    operation = _CONVOLUTION[x.ndim - 2]
    return operation(x, weight, None, layer.stride, padding, layer.dilation, layer.groups * networks)


def linear(weight: Tensor, bias: Tensor, x: Tensor, networks: int) -> Tensor:
    """Outputs (batch, networks x outputs) of features x (batch, networks x inputs)."""
    if networks == 1:
        return F.linear(x, weight, bias)
    features = x.view(x.shape[0], networks, -1).transpose(0, 1)
    matrices = weight.view(networks, -1, weight.shape[1]).transpose(1, 2)
    return torch.baddbmm(bias.view(networks, 1, -1), features, matrices).transpose(0, 1).flatten(1)


def _dense(layer: Layer, weight: Tensor, x: Tensor, networks: int) -> Tensor:
    """The convolution as one matrix (pixels x inputs, pixels x outputs) for each network."""
    space = tuple(x.shape[2:])
    pixels = math.prod(space)
    # A zero before the weights of each network represents what the kernel does not reach.
    padded = F.pad(weight.reshape(networks, -1), (1, 0))
    places = _places(layer.outputs, layer.inputs, layer.kernel, layer.dilation, space, x.device)
    matrices = padded.index_select(1, places).view(networks, pixels * layer.inputs, pixels * layer.outputs)
    rows = x.movedim(1, -1).reshape(x.shape[0], pixels, networks, layer.inputs).movedim(2, 0).flatten(2)
    product = torch.bmm(rows, matrices).view(networks, x.shape[0], pixels, layer.outputs).movedim(0, 2)
    return product.reshape(x.shape[0], *space, -1).movedim(-1, 1)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # tensors cached in inference mode could not be used in training
def _places(
    outputs: int,
    inputs: int,
    kernel: tuple[int, ...],
    dilation: tuple[int, ...],
    space: tuple[int, ...],
    device: torch.device,
) -> Tensor:
    """Position of each entry of the matrix in the flattened weights, counted from 1, or 0 for an entry of zero.

    Entries are in the order (pixel of the input, input, pixel of the output, output).
    """
    count, pixels = math.prod(kernel), math.prod(space)
    numbered = torch.arange(1, count + 1, dtype=torch.float64).view(1, 1, *kernel)
    images = torch.eye(pixels, dtype=torch.float64).view(pixels, 1, *space)  # a convolution shows what each pixel meets
    taps = _CONVOLUTION[len(space)](images, numbered, padding="same", dilation=dilation).view(pixels, 1, pixels, 1)
    filters = torch.arange(outputs) * inputs + torch.arange(inputs)[:, None]
    return torch.where(taps > 0, filters[:, None] * count + taps, 0).flatten().to(device, torch.int64)
