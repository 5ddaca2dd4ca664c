"""Reads the pickled batches of CIFAR and ImageNet32 with an unpickler that accepts nothing but plain arrays.

The unpickler never returns a global that the file names, so that no code of the file runs.
"""

from __future__ import annotations

import math
import mmap
import pickle
import pickletools
import re
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch

from smash_lightning.data.official import FETCH_AGAIN
from smash_lightning.data.source import Split

_ARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before numpy 2, and since
_SIZES = ("PUT", "BINPUT", "LONG_BINPUT", "FRAME")  # instructions that reserve memory


def read_dictionary(path: Path) -> dict[str, Any]:
    """A pickled dictionary of lists, numbers, text and numpy arrays of plain numbers, its keys as text.

    Strings of Python 2 are returned as bytes. Arrays may share memory with the file's content: copy, do not change.

    Raises:
        ValueError: it contains anything else, which is not executed, or it is not a whole pickle.
    """
    try:
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for opcode, argument, _ in pickletools.genops(cast(IO[bytes], content)):
                    if opcode.name in _SIZES and isinstance(argument, int) and argument > len(content):
                        raise ValueError(f"{opcode.name} of {argument} in {len(content)} bytes")
            read = _PlainUnpickler(file, encoding="bytes").load()
    except _Refused as refused:
        raise ValueError(
            f"{path} names {' '.join(str(refused).split())}, which is not part of data sets, and was not run: delete "
            "it and fetch the data set from its official source"
        ) from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a broken pickle makes Python raise nearly any of its exceptions
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is not a whole pickle ({reason}): {FETCH_AGAIN}") from None
    if not isinstance(read, dict) or not all(isinstance(key, str | bytes) for key in read):
        raise ValueError(f"{path} holds no dictionary with names as keys: {FETCH_AGAIN}")
    return {text(key): value for key, value in read.items()}


def read_batch(path: Path, key: str, numbers: range) -> Split:
    """One batch: images (count, 3, 32, 32), which are not to be written to, and labels counted from 0.

    A batch is a dictionary with `data`, a row of 3 x 32 x 32 bytes for each image, and labels named `key`, each one of
    `numbers`.

    Raises:
        ValueError: it is not such a batch.
    """
    batch = read_dictionary(path)
    data, labels = batch.get("data"), np.asarray(batch.get(key), dtype=object)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path} holds {found} as data instead of rows of 3,072 bytes: {FETCH_AGAIN}")
    if labels.ndim != 1 or not all(isinstance(label, int | np.integer) for label in labels):
        raise ValueError(f"{path} has no list of integers as {key}: {FETCH_AGAIN}")
    if len(labels) != len(data):
        raise ValueError(f"{path} holds {len(data)} images but {len(labels)} labels: {FETCH_AGAIN}")
    if wrong := [label for label in labels if label not in numbers]:
        among = f"from {numbers.start} to {numbers.stop - 1}"
        raise ValueError(f"{path} has an image of class {wrong[0]}, but classes are numbered {among}: {FETCH_AGAIN}")
    targets = torch.from_numpy(labels.astype(np.int64) - numbers.start)
    return Split(torch.from_numpy(np.ascontiguousarray(data)).view(-1, 3, 32, 32), targets)


def text(string: str | bytes) -> str:
    """A string of either Python as text."""
    return string.decode("latin1") if isinstance(string, bytes) else string


class _Refused(Exception):
    """A global that is not part of plain arrays."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A substitute for a global: never the global itself."""
        if module in _ARRAY and name == "_reconstruct":
            return _Calls.reconstruct
        if (module, name) == ("_codecs", "encode"):
            return _Calls.encode
        if (module, name) == ("numpy", "dtype"):
            return _Type
        if (module, name) == ("numpy", "ndarray"):
            return "numpy.ndarray"
        raise _Refused(f"{module}.{name}")


class _Calls:
    """What a pickle may call; methods, because it could change the attributes of a function."""

    @classmethod
    def reconstruct(cls, kind: object, shape: object, code: object) -> _Array:
        """An array to be filled."""
        return np.empty(0, np.uint8).view(_Array)

    @classmethod
    def encode(cls, string: str, encoding: str) -> bytes:
        """Bytes as protocols 0 to 2 write them; any other encoding would make Python import a module."""
        if text(encoding) not in ("latin1", "latin-1"):
            raise _Refused(f"_codecs.encode with {encoding!r}")
        return string.encode("latin1")


class _Type:
    """A dtype of plain numbers."""

    def __init__(self, name: str | bytes, align: object = None, copy: object = None) -> None:
        if not re.fullmatch(r"[biufc]\d{1,2}", text(name)):
            raise _Refused(f"numpy.dtype({text(name)!r})")
        self.name, self.order = text(name), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *compound = state[:5]
        if text(order) not in ("<", ">", "=", "|") or compound != [None, None, None]:
            raise _Refused("a numpy.dtype with fields")
        self.order = text(order)


class _Array(np.ndarray):
    """An array whose content is checked before numpy reads it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, fortran, content = state
        content = content if isinstance(content, bytes) else content.encode("latin1")
        dtype = np.dtype(kind.order + kind.name)
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f"an array {shape} of {dtype} in {len(content)} bytes")
        super().__setstate__((version, shape, dtype, fortran, content))
