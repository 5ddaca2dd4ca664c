"""Checkpoints that can be trusted: written as a whole, read without executing anything, refused with a reason."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from smash_lightning.files import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the checkpoint that is replaced: a full disk, or a power cut, leaves that one as it was.

    Lightning's own way goes by another file system, from which a file is copied over the one that was good.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Replaces `path` once everything is on the disk."""
        del storage_options
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


def load_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """Reads a checkpoint that holds `key`.

    Raises:
        ValueError: the file is missing, truncated, or holds something else; the message names it.
    """
    if not path.is_file():
        raise ValueError(f"there is no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes of the unpickler
        reason = str(error).partition(". ")[0].splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} is not a readable checkpoint, perhaps it was cut off: {reason}. If it is a run's own, "
            "delete it, and the run begins this part again"
        ) from None
    if not isinstance(checkpoint, dict) or key not in checkpoint:
        raise ValueError(f"{path} is a checkpoint of something else: it holds no {key!r}")
    return checkpoint


def require_same(saved: Mapping[str, str], wanted: Mapping[str, str], path: str, what: str) -> None:
    """Compares what a checkpoint belongs to with what is asked for: `what`, such as "search space".

    Raises:
        ValueError: they differ; the message names the first differences.
    """
    keys = [key for key in {**saved, **wanted} if saved.get(key) != wanted.get(key)]
    if keys:
        shown = "; ".join(f"{key} was {saved.get(key, 'absent')}, now {wanted.get(key, 'absent')}" for key in keys[:3])
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise ValueError(f"{path} belongs to another {what}: {shown}{more}. Use the options it was trained with")
