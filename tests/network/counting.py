"""Counts tensor operations, which a GPU would have to launch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

ALLOCATIONS = {f"aten::{name}" for name in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")}
NO_WORK = ALLOCATIONS | {"aten::detach"}


class OperationCounter(TorchDispatchMode):
    """Counts the dispatched operations within a `with` block that are neither views nor allocations."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        schema = function._schema
        view = any(a.alias_info is not None and not a.alias_info.is_write for a in schema.arguments)
        if not view and schema.name not in NO_WORK:
            self.counts[schema.name] += 1
        return function(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """Number of all operations."""
        return sum(self.counts.values())
