"""The operations of a process that write files below a folder, and its jobs, one of which fails."""

import builtins
import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from smash_lightning.engine.base import Pool

ERRORS = {
    f"{errno.errorcode[number]}{', ever after' * forever}": (number, forever)
    for number in (errno.ENOSPC, errno.EIO, errno.EACCES)
    for forever in (False, True)
}
END, NO_MEMORY = "end of the process", ("MemoryError", "MemoryError, ever after", "out of memory")
EVENTS = ("mkdir", "rename", "link", "symlink", "remove", "rmdir", "truncate", "utime", "chmod")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Operations:
    """Operations and jobs of this process from now on, of which the one of number `at` fails in a way, if any."""

    def __init__(self, root: Path, at: int = 0, kind: str = "") -> None:
        self.root, self.at, self.kind = str(root), at, kind
        self.number, self.forever = ERRORS.get(kind, (0, "ever after" in kind))
        self.names, self.jobs = list[str](), list[str]()

    def fails(self, counted: list[str], name: str) -> bool:
        """Counts; whether this one fails."""
        counted.append(name)
        return len(counted) == self.at or (self.forever and len(counted) > self.at > 0)

    def on_file(self, name: str, path: Any) -> None:
        """One operation on a path; raises OSError where it fails."""
        path = os.fspath(path) if isinstance(path, str | bytes | os.PathLike) else None
        if path is None or not os.path.abspath(os.fsdecode(path)).startswith(self.root):
            return
        if self.fails(self.names, name) and self.kind not in NO_MEMORY:
            if self.kind == END:
                os._exit(137)
            raise OSError(self.number, os.strerror(self.number), *(() if name in ("write", "fsync") else (path,)))

    def on_job(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a pool, which lacks memory where it fails."""

        def call(*arguments: Any) -> Any:
            if self.fails(self.jobs, function.__name__) and self.kind in NO_MEMORY:
                raise torch.OutOfMemoryError("CUDA out of memory") if self.kind == "out of memory" else MemoryError
            return function(*arguments)

        return call

    def install(self) -> None:
        """Watches this process until its end."""
        operations, io_open, os_fsync, make_pool = self, io.open, os.fsync, Pool.__init__

        class Raw(io.FileIO):
            def write(self, content: Any) -> Any:
                operations.on_file("write", self.name)
                return super().write(content)

        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, opener: Any = None, **more: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return io_open(file, mode, buffering, *rest, opener=opener, **more)
            raw = Raw(file, mode.replace("b", "").replace("t", ""), opener=opener)
            if buffering == 0:
                return raw
            buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **more)

        def fsync(file: int) -> None:
            operations.on_file("fsync", os.readlink(f"/proc/self/fd/{file}"))
            os_fsync(file)

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open":
                if isinstance(arguments[2], int) and arguments[2] & WRITES:
                    operations.on_file("open", arguments[0])
            elif event.startswith("os.") and event[3:] in EVENTS:
                operations.on_file(event[3:], arguments[0])

        def pool(self: Any, engine: Any, function: Any, *rest: Any) -> None:
            make_pool(self, engine, operations.on_job(function), *rest)

        builtins.open = io.open = opened
        os.fsync, Pool.__init__ = fsync, pool
        sys.addaudithook(watch)
