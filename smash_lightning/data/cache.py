"""Decoded data sets in files of bytes that are mapped into memory, named by the content that was decoded."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from filelock import FileLock
from tqdm import tqdm

from smash_lightning.data.source import RawDataset, Source, Split
from smash_lightning.files import read_object, write_text

Plain = TypeVar("Plain")

LARGE = 2**28  # bytes of an entry that is not verified at every start
FORMAT = 3  # of entries and of what sources read; a new one ignores older entries


def find_entry(source: Source, files: Sequence[Path], folder: Path) -> Path:
    """The folder of the decoded set within `folder`, which is written at first use.

    An entry is named by the content of the source's files, of which there must be one, and its options, not by their
    place, so that a moved data set is not decoded again and a changed one is. It appears under its name only when it is
    complete; processes that need it at the same time wait for the first one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entry = folder / _name(source, files, folder)
        if not _is_whole(entry):
            with FileLock(folder / f"{entry.name}.lock"):
                if not _is_whole(entry):  # another process may have written it meanwhile
                    _write(source.read(), entry)
        return entry
    except OSError as error:
        if error.filename is not None and not Path(error.filename).is_relative_to(folder):
            raise
        raise OSError(
            f"cannot write decoded data sets to {folder} ({error.strerror or error}): choose another folder with "
            "dataset.cache=FOLDER, or none with dataset.cache=null"
        ) from error


def open_entry(entry: Path) -> RawDataset:
    """The decoded set, mapped into memory: nothing is read before it is used."""
    about = read_object(entry / "about.json")
    train, test = (
        Split(
            *(torch.from_numpy(np.load(entry / f"{name}-{kind}.npy", mmap_mode="c")) for kind in ("images", "labels"))
        )
        for name in ("train", "test")
    )
    return RawDataset(train, test, tuple(about["classes"]), tuple(about["notes"]))


def split_digest(entry: Path, split: str) -> str:
    """The digest of a split's content, see `Split.content`."""
    return read_object(entry / "about.json")["digests"][split]


def stored(file: Path, make: Callable[[], Plain]) -> Plain:
    """The plain values that `make` returns; made once where they can be stored as JSON in `file`."""
    with suppress(OSError, ValueError):  # it is missing, or truncated: made again
        return json.loads(file.read_text(encoding="utf-8"))
    made = make()
    with suppress(OSError):  # a shared folder may be read-only, or its disk full
        for leftover in file.parent.glob(f"{file.name}.*.partial"):  # of a process that was killed
            leftover.unlink(missing_ok=True)
        write_text(file, json.dumps(made) + "\n")
    return made


def _write(sets: RawDataset, entry: Path) -> None:
    partial = entry.with_name(f"{entry.name}.partial")
    for leftover in (partial, entry):  # of a process that was killed; of a disk that lost a file
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        partial.mkdir()
        for name, split in (("train", sets.train), ("test", sets.test)):
            for kind, tensor in (("images", split.images), ("labels", split.labels)):
                with (partial / f"{name}-{kind}.npy").open("wb") as file:
                    np.save(file, tensor.numpy())
                    file.flush()
                    os.fsync(file.fileno())
        digests = {"train": sets.train.content(), "test": sets.test.content()}
        about = {"classes": sets.classes, "notes": sets.notes, "digests": digests}
        (partial / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_whole(entry: Path) -> bool:
    """Whether an entry exists, and has the digests that were written with it.

    Computed at the start of a run; of a LARGE entry only where a file's size or time of change is another than when it
    was last computed, as it takes 1.2 s of a core per GB.
    """
    try:
        sets, verified = open_entry(entry), entry / "verified.json"
        states = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(entry.glob("*.npy"))}
        large = sum(size for size, _ in states.values()) > LARGE
        if large and verified.exists() and read_object(verified) == states:
            return True
        whole = all(split_digest(entry, name) == getattr(sets, name).content() for name in ("train", "test"))
        if whole and large and os.access(entry, os.W_OK):
            write_text(verified, json.dumps(states) + "\n")
        return whole
    except (OSError, ValueError, LookupError, TypeError, AssertionError, AttributeError):
        return False


def _name(source: Source, files: Sequence[Path], folder: Path) -> str:
    """A name that depends on the content of `files` and the options of `source`.

    Contents are read once: after that, the name is found by path, size and time of change.
    """
    options = {key: value for key, value in asdict(source).items() if key != "root"}
    kind = [FORMAT, type(source).__module__, type(source).__qualname__, options]
    paths = [path.absolute() for path in files]
    states = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]

    def named_by_content() -> str:
        parent = Path(os.path.commonpath([path.parent for path in paths]))
        contents = []
        for path in tqdm(paths, "reading files", disable=None):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            contents.append([path.relative_to(parent).as_posix(), digest])
        return f"{type(source).__name__.lower()}-{_digest([kind, contents])}"

    return stored(folder / f"known-{_digest([kind, states])}.json", named_by_content)


def _digest(plain: object) -> str:
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()
