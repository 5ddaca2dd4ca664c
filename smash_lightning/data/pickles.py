"""How is a pickle read without running what it might contain? By an unpickler that knows nothing but plain arrays."""

from __future__ import annotations

import math
import mmap
import pickle
import pickletools
import re
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from smash_lightning.data.official import FETCH_AGAIN

_ARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before numpy 2, and since
_SIZES = ("PUT", "BINPUT", "LONG_BINPUT", "FRAME")  # instructions for which memory is set aside


def read_pickle(path: Path) -> Any:
    """What was pickled: dictionaries, lists, numbers, text and numpy arrays of plain numbers.

    Strings of Python 2 come as bytes. Arrays may share memory with what was read: they are to be copied, not changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it asks for anything else, which is not run, or it is not a whole pickle.
    """
    try:
        with path.open("rb") as file:
            _require_bounded(file)
            return _PlainUnpickler(file, encoding="bytes").load()
    except _Refused as refused:
        name = " ".join(str(refused).split())
        raise ValueError(
            f"{path} asks for {name}, which is not what data sets are made of, and was not run: delete it and fetch "
            "the data set from its official source"
        ) from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a broken pickle makes Python raise nearly any of its exceptions
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is not a whole pickle ({reason}): {FETCH_AGAIN}") from None


def read_dictionary(path: Path) -> dict[str, Any]:
    """A pickled dictionary, its keys as text whichever Python wrote it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `read_pickle`, or it is not a dictionary.
    """
    read = read_pickle(path)
    if not isinstance(read, dict) or not all(isinstance(key, str | bytes) for key in read):
        raise ValueError(f"{path} holds no dictionary with names as keys: {FETCH_AGAIN}")
    return {text(key): value for key, value in read.items()}


def text(string: str | bytes) -> str:
    """A string of either Python as text."""
    return string.decode("latin1") if isinstance(string, bytes) else string


def _require_bounded(file: BinaryIO) -> None:
    """Refuses a file that names larger numbers than it has bytes, which a pickle would take as sizes of its memory."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # This refuses strings that are longer than the file by itself.
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], content)):
            if opcode.name in _SIZES and isinstance(argument, int) and argument > len(content):
                raise ValueError(f"{opcode.name} of {argument} in {len(content)} bytes")


class _Refused(Exception):
    """What a pickle asked for, and is not to have."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global: never the global itself."""
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
    """What a pickle may call; methods, because it could change the attributes of a function that it is given."""

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
    """Stands for a dtype, and refuses to be one of anything but plain numbers."""

    def __init__(self, name: str | bytes, align: object = None, copy: object = None) -> None:
        if not re.fullmatch(r"[biufc]\d{1,2}", text(name)):
            raise _Refused(f"numpy.dtype({text(name)!r})")
        self.name, self.order = text(name), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *compound = state[:5]
        if text(order) not in ("<", ">", "=", "|") or compound != [None, None, None]:
            raise _Refused("a numpy.dtype with fields")
        self.order = text(order)

    def plain(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.name)


class _Array(np.ndarray):
    """An array whose content is checked before numpy sees it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, fortran, content = state
        content = content if isinstance(content, bytes) else content.encode("latin1")
        dtype = kind.plain()
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f"an array {shape} of {dtype} in {len(content)} bytes")
        super().__setstate__((version, shape, dtype, fortran, content))
