"""Counts copies to a device, and reads of values."""

from collections import Counter
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class TransferCounter(TorchFunctionMode):
    """Counts copies between devices, and reads of values, for which the host waits for a GPU.

    On the device "meta" no value exists, so that everything is counted and nothing is computed. Counted by name are
    functions that make a tensor of Python values on a device, and operations that read a value or a size of a result.
    """

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "_unique2")
    FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.inner = _Dispatched(self.counts)

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.inner.__exit__(*error)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in self.FROM_VALUES and torch.device(kwargs.get("device") or "cpu").type != "cpu":
            self.counts["blocking copy"] += 1
        return function(*args, **kwargs)


class _Dispatched(TorchDispatchMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function._schema.name.removeprefix("aten::")
        if name in TransferCounter.READS:
            self.counts["read"] += 1
        elif name in ("copy_", "_to_copy"):
            source = args[name == "copy_"]
            target = kwargs.get("device") or args[0].device
            if source.device != target:
                kind = "asynchronous copy" if kwargs.get("non_blocking") or True in args[2:] else "blocking copy"
                self.counts[kind] += 1
        return function(*args, **kwargs)
