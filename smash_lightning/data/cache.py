"""Where does a decoded data set live? In files of bytes that are mapped into memory, named after what was decoded."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from filelock import FileLock, Timeout

from smash_lightning.data.source import RawDataset, Source, Split
from smash_lightning.files import atomic_write
from smash_lightning.progress_bars import ProgressBars

Plain = TypeVar("Plain")

FORMAT = 1  # of entries; a new one leaves older entries alone
SPLITS = ("train", "test")
OTHER_FOLDER = "choose another folder with dataset.cache=FOLDER, or none with dataset.cache=null"


def find_entry(source: Source, files: Sequence[Path], folder: Path) -> Path:
    """The folder of the decoded set, which is written at first use.

    An entry is named after the content of the source's files and its options, not after their place, so that a moved
    data set is not decoded again and a changed one is. It appears under its name only when it is complete, and
    processes that want the same entry at once wait for the one that writes it.

    Args:
        source: what reads the set.
        files: that it reads, at least one.
        folder: holds the entries.

    Raises:
        ValueError: the files are corrupt.
        OSError: they cannot be read, or the entry cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    entry = folder / _content_name(source, files, folder)
    if not _is_whole(entry):
        with _writing(folder), _alone(folder / f"{entry.name}.lock"):
            if not _is_whole(entry):  # another process may have written it meanwhile
                _write(source.read(), entry)
    return entry


def open_entry(entry: Path) -> RawDataset:
    """The decoded set, mapped into memory: nothing is read before it is used."""
    about = json.loads((entry / "about.json").read_text())
    train, test = (
        Split(*(torch.from_numpy(np.load(_array(entry, split, kind), mmap_mode="c")) for kind in ("images", "labels")))
        for split in SPLITS
    )
    return RawDataset(train, test, tuple(about["classes"]), tuple(about["notes"]))


def split_digests(entry: Path) -> tuple[str, str]:
    """Digests of the training and test split's content, see `Split.content`."""
    digests = json.loads((entry / "about.json").read_text())["digests"]
    return digests["train"], digests["test"]


def kept_beside(entry: Path, name: str, make: Callable[[], Plain]) -> Plain:
    """What `make` gives, of plain values; made once, and kept as NAME.json in an entry that may be written to."""
    file = entry / f"{name}.json"
    if file.exists():
        with suppress(ValueError):  # it was cut off: made again
            return json.loads(file.read_text())
    made = make()
    if os.access(entry, os.W_OK):
        with atomic_write(file) as partial:
            partial.write_text(json.dumps(made) + "\n")
    return made


def _write(sets: RawDataset, entry: Path) -> None:
    partial = entry.with_name(f"{entry.name}.partial")
    splits = dict(zip(SPLITS, (sets.train, sets.test), strict=True))
    for leftover in (partial, entry):  # of a process that was killed; of a disk that lost a file
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        partial.mkdir()
        for name, split in splits.items():
            for kind, tensor in (("images", split.images), ("labels", split.labels)):
                with _array(partial, name, kind).open("wb") as file:
                    np.save(file, tensor.numpy())
                    file.flush()
                    os.fsync(file.fileno())
        about = {
            "classes": sets.classes,
            "notes": sets.notes,
            "sizes": {path.name: path.stat().st_size for path in sorted(partial.iterdir())},
            "digests": {name: split.content() for name, split in splits.items()},
        }
        (partial / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        os.replace(partial, entry)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, None):  # numpy names no reason for what it could not write
            raise
        needed = sum(split.images.nbytes + split.labels.nbytes for split in splits.values())
        raise OSError(
            f"{entry.parent} has no room for the decoded data set, {needed / 2**20:.1f} MiB: {OTHER_FOLDER}"
        ) from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process after another in."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        print("waiting for another process that decodes this data set", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Says of what goes wrong in the cache's own folder that it does."""
    try:
        yield
    except OSError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(folder):
            raise
        raise OSError(f"cannot write decoded data sets to {folder} ({error.strerror}): {OTHER_FOLDER}") from None


def _is_whole(entry: Path) -> bool:
    """Whether all of an entry's files are there with the sizes that were written."""
    try:
        about = json.loads((entry / "about.json").read_text())
        return all((entry / name).stat().st_size == size for name, size in about["sizes"].items())
    except (OSError, ValueError, KeyError):
        return False


def _array(entry: Path, split: str, kind: str) -> Path:
    return entry / f"{split}-{kind}.npy"


def _content_name(source: Source, files: Sequence[Path], folder: Path) -> str:
    """A name that the content of `files` and the options of `source` decide.

    Contents are read once: they are looked up by path, size and time of change after that.
    """
    options = {key: value for key, value in asdict(source).items() if key != "root"}
    kind = [FORMAT, type(source).__module__, type(source).__qualname__, options]
    parent = Path(os.path.commonpath([path.parent.absolute() for path in files]))
    stats = [path.stat() for path in files]
    looks = [[str(path.absolute()), s.st_size, s.st_mtime_ns] for path, s in zip(files, stats, strict=True)]
    memory = folder / f"{_digest([kind, looks])}.known"
    known = memory.read_text() if memory.exists() else ""
    if re.fullmatch(rf"{type(source).__name__.lower()}-[0-9a-f]{{16}}", known):
        return known
    contents = []
    with ProgressBars(["reading files MiB"], [max(1, sum(s.st_size for s in stats) >> 20)]) as bars:
        done = 0
        for path, stat in zip(files, stats, strict=True):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            contents.append([path.absolute().relative_to(parent).as_posix(), digest])
            done += stat.st_size
            bars.show(0, done >> 20)
    name = f"{type(source).__name__.lower()}-{_digest([kind, contents])}"
    if os.access(folder, os.W_OK):  # one that others filled may be closed to us
        with _writing(folder), atomic_write(memory) as partial:
            partial.write_text(name)
    return name


def _digest(plain: object) -> str:
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()
