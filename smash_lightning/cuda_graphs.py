"""CUDA graphs: the kernels of a pass through a module, recorded once and launched together.

A replay computes on the tensors of the recording. It serves one pass forward and one backward at a time, and its
gradients are overwritten by the next one: it is not for gradients that are accumulated over several passes.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn


def recorded(module: nn.Module, *samples: Tensor) -> Callable[..., Tensor]:
    """The module's pass, forward and backward, as CUDA graphs; where recording fails, a logged line and the module.

    The module is run a few times, after which its buffers, such as running averages, are restored. Parameters and
    buffers must stay the same tensors. Within the module no random numbers may be drawn, and cached tensors that it
    uses must live as long as the graphs.

    Args:
        module: on a GPU, in the mode in which it is used.
        samples: inputs of the shapes and types of all later ones, which need no gradients.
    """
    names, parameters = zip(*module.named_parameters(), strict=True)
    buffers = [buffer.clone() for buffer in module.buffers()]

    def run(*tensors: Tensor) -> Tensor:
        own = dict(zip(names, tensors[len(samples) :], strict=True))
        found: Tensor = torch.func.functional_call(module, own, tensors[: len(samples)])
        return found

    # Parameters are inputs of a function, as torch would replace the method of a module by a closure that refers to the
    # module: a cycle, with which the memory of the graphs would remain until it is collected.
    inputs = (*(sample.detach().clone() for sample in samples), *parameters)
    try:
        replay = torch.cuda.make_graphed_callables(run, inputs)
    except RuntimeError as error:
        logging.getLogger(__name__).warning("no CUDA graph of %s: %s", type(module).__name__, error)
        return module
    finally:
        with torch.no_grad():
            for buffer, before in zip(module.buffers(), buffers, strict=True):
                buffer.copy_(before)

    def replayed(*given: Tensor) -> Tensor:
        output = replay(*given, *parameters)
        assert isinstance(output, Tensor)
        return output

    return replayed
