"""Decoded data sets in files of bytes that are mapped into memory, named by the content that was decoded."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from filelock import FileLock

from smash_lightning.data.source import RawDataset, Source, Split
from smash_lightning.files import atomic_write
from smash_lightning.progress_bars import ProgressBars

Plain = TypeVar("Plain")

FORMAT = 2  # of entries and of what sources read; a new one ignores older entries
OTHER_FOLDER = "choose another folder with dataset.cache=FOLDER, or none with dataset.cache=null"


def find_entry(source: Source, files: Sequence[Path], folder: Path) -> Path:
    """The folder of the decoded set within `folder`, which is written at first use.

    An entry is named by the content of the source's files, of which there must be one, and its options, not by their
    place, so that a moved data set is not decoded again and a changed one is. It appears under its name only when it is
    complete; processes that need it at the same time wait for the first one.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    entry = folder / _content_name(source, files, folder)
    if not _is_whole(entry):
        with _writing(folder), FileLock(folder / f"{entry.name}.lock"):
            if not _is_whole(entry):  # another process may have written it meanwhile
                _write(source.read(), entry)
    return entry


def open_entry(entry: Path) -> RawDataset:
    """The decoded set, mapped into memory: nothing is read before it is used."""
    about = json.loads((entry / "about.json").read_text(encoding="utf-8"))
    train, test = (
        Split(*(torch.from_numpy(np.load(_array(entry, split, kind), mmap_mode="c")) for kind in ("images", "labels")))
        for split in ("train", "test")
    )
    return RawDataset(train, test, tuple(about["classes"]), tuple(about["notes"]))


def split_digest(entry: Path, split: str) -> str:
    """The digest of a split's content, see `Split.content`."""
    return json.loads((entry / "about.json").read_text(encoding="utf-8"))["digests"][split]


def stored_with(entry: Path, name: str, make: Callable[[], Plain]) -> Plain:
    """The plain values that `make` returns; made once, and stored as NAME.json in an entry that may be written to."""
    file = entry / f"{name}.json"
    if file.exists():
        with suppress(ValueError):  # it is truncated: made again
            return json.loads(file.read_text(encoding="utf-8"))
    made = make()
    if os.access(entry, os.W_OK):
        with atomic_write(file) as partial:
            partial.write_text(json.dumps(made) + "\n", encoding="utf-8")
    return made


def _write(sets: RawDataset, entry: Path) -> None:
    partial = entry.with_name(f"{entry.name}.partial")
    splits = {"train": sets.train, "test": sets.test}
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
        (partial / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, entry)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        needed = sum(split.images.nbytes + split.labels.nbytes for split in splits.values())
        reason = error.strerror or error  # numpy gives no reason for an array that it could not write
        raise OSError(
            f"cannot write the decoded data set, {needed / 2**20:.1f} MiB, to {entry.parent} ({reason}): {OTHER_FOLDER}"
        ) from None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Names the cache's own folder in its errors."""
    try:
        yield
    except OSError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(folder):
            raise
        raise OSError(f"cannot write decoded data sets to {folder} ({error.strerror}): {OTHER_FOLDER}") from None


def _is_whole(entry: Path) -> bool:
    """Whether all of an entry's files exist with the sizes that were written."""
    try:
        about = json.loads((entry / "about.json").read_text(encoding="utf-8"))
        return all((entry / name).stat().st_size == size for name, size in about["sizes"].items())
    except (OSError, ValueError, KeyError):
        return False


def _array(entry: Path, split: str, kind: str) -> Path:
    return entry / f"{split}-{kind}.npy"


def _content_name(source: Source, files: Sequence[Path], folder: Path) -> str:
    """A name that depends on the content of `files` and the options of `source`.

    Contents are read once: after that, the name is found by path, size and time of change.
    """
    options = {key: value for key, value in asdict(source).items() if key != "root"}
    kind = [FORMAT, type(source).__module__, type(source).__qualname__, options]
    parent = Path(os.path.commonpath([path.parent.absolute() for path in files]))
    stats = [path.stat() for path in files]
    states = [[str(path.absolute()), s.st_size, s.st_mtime_ns] for path, s in zip(files, stats, strict=True)]
    memory = folder / f"{_digest([kind, states])}.known"
    known = memory.read_text(encoding="utf-8") if memory.exists() else ""
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
    if os.access(folder, os.W_OK):  # a shared folder may be read-only
        with _writing(folder), atomic_write(memory) as partial:
            partial.write_text(name, encoding="utf-8")
    return name


def _digest(plain: object) -> str:
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()
