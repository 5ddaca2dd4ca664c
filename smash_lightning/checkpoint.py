"""Checkpoints: written atomically, read without executing code, refused with a reason."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from smash_lightning.files import atomic_write
from smash_lightning.option_types import differences


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint once the new one is on the disk: after a full disk or a power cut the old one is unchanged.

    Lightning itself writes to another file system and copies the file over the old one.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        del storage_options
        save_checkpoint(checkpoint, Path(path))

    @override
    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        del map_location, weights_only
        return load_checkpoint(Path(path), "state_dict")


def save_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes plain values and tensors; raises OSError with the name of the file where this fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial, partial.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """Reads a checkpoint that holds `key`.

    Raises ValueError where the file is missing, truncated, damaged, or holds something else; the message has its path.
    """
    if not path.is_file():
        raise ValueError(f"there is no checkpoint at {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch does not compare the checksums
                raise ValueError(f"the checksum of {damaged} is wrong")
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("it is compressed, and could be of any size in memory")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise any error in the unpickler
        reason = (str(error).partition(". ")[0].splitlines() or [type(error).__name__])[0]
        remedy = "If it is in the run's own folder, delete it, and the run repeats this part"
        raise ValueError(
            f"{path} is not a readable checkpoint, perhaps truncated or damaged: {reason}. {remedy}"
        ) from None
    if not isinstance(checkpoint, dict) or key not in checkpoint:
        raise ValueError(
            f"{path} is a checkpoint of something else or of an earlier version, as it holds no {key!r}: name another, "
            "or delete it in the run's own folder, and the run repeats this part"
        )
    return checkpoint


def require_same(saved: Mapping[str, str], expected: Mapping[str, str], path: str, what: str) -> None:
    """Checks that a checkpoint has the expected options `what`, such as "search space".

    Raises:
        ValueError: they differ; the message has the first differences.
    """
    if found := differences(saved, expected):
        raise ValueError(f"{path} belongs to another {what}: {found}. Use the options it was trained with")


def require_same_data(saved: Mapping[str, str], data: Mapping[str, str], path: str) -> None:
    """Checks that a checkpoint was trained on `data`, as far as it is known of both: 0.2.0 saved fewer digests.

    Raises:
        ValueError: they differ; the message has the splits that do.
    """
    both = saved.keys() & data.keys()
    saved, data = ({key: of[key] for key in of if key in both} for of in (saved, data))
    require_same(saved, data, path, "data set or split")
