"""Files of an official distribution: found in a folder or downloaded into it; and pickled batches of images."""

import math
import pickle
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pooch
import torch
from filelock import FileLock
from requests import RequestException

from smash_lightning.data.source import Download, Split

FETCH_AGAIN = "delete it and fetch the data set again"
TIMEOUT = 60.0  # seconds without an answer of a server
ROW = 3 * 32 * 32  # bytes of an image in a batch


def find_files(root: str, folder: str, names: Sequence[str]) -> list[Path]:
    """The files `names` of a distribution's `folder`, which is in `root` or is `root` itself.

    None of them is a FileNotFoundError, after which they may be downloaded; some of them are a ValueError.
    """
    base = Path(root).expanduser()
    place = base / folder if (base / folder).is_dir() else base
    missing = [name for name in names if not (place / name).is_file()]
    if place == base and len(missing) == len(names):
        raise FileNotFoundError(f"no {folder} in {base}: name its folder with dataset.root=FOLDER.")
    if missing:
        raise ValueError(
            f"{place} lacks {' and '.join(missing)}: complete it, or remove it and fetch the data set again."
        )
    return [place / name for name in names]


def shortfall(name: str, counts: tuple[int, int], official: tuple[int, int]) -> tuple[str, ...]:
    """Notes on training and test images that are not as many as the official ones."""
    return tuple(
        f"{count:,} {split} images instead of the official {published:,}: this is not the whole {name}."
        for split, count, published in zip(("training", "test"), counts, official, strict=True)
        if count != published
    )


def fetch(download: Download, root: Path) -> None:
    """Downloads an official archive and unpacks its folder into `root`, where it appears when it is complete.

    Nothing is done where the folder exists. Processes that need the same archive wait for the first one. The published
    archive, where it is in `root` already under the name in its address, is unpacked instead, and kept. A failed
    download is an OSError; an archive that differs from the published one, or is corrupt, a ValueError.
    """
    archive = root / PurePosixPath(urlsplit(download.url).path).name
    partial = root / f"{download.folder}.partial"
    members = [f"{download.folder}/{name}" for name in download.files] or [download.folder]
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{archive.name}.lock"):
        if (root / download.folder).is_dir():  # also where another process has fetched it meanwhile
            return
        given = archive.exists()
        shutil.rmtree(partial, ignore_errors=True)  # of a killed process
        try:
            pooch.retrieve(
                download.url,
                f"md5:{download.md5}" if download.md5 else None,
                archive.name,
                root,
                (pooch.Unzip if archive.suffix == ".zip" else pooch.Untar)(members, partial.name),
                pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT),
            )
            (partial / download.folder).replace(root / download.folder)
        except RequestException as error:
            raise OSError(
                f"cannot download {download.url} ({' '.join(str(error).split())}): call again, or get it elsewhere and "
                f"put {archive.name} into {root}"
            ) from None
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, FileNotFoundError) as error:
            raise ValueError(f"{archive} is corrupt ({' '.join(str(error).split())}): {FETCH_AGAIN}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        if not given:
            archive.unlink()


def read_dictionary(path: Path) -> dict[str, Any]:
    """A pickled dictionary of lists, numbers, text and numpy arrays of plain numbers, its keys as text.

    Strings of Python 2 are returned as bytes. Arrays may share memory with the file's content: copy, do not change.
    Anything else in it is not executed, but a ValueError, and so is a truncated pickle.
    """
    try:
        with path.open("rb") as file:
            return {text(key): value for key, value in _ArrayUnpickler(file, encoding="bytes").load().items()}
    except OSError:
        raise
    except Exception as error:  # a broken pickle makes Python raise nearly any of its exceptions
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is not a pickled dictionary of arrays ({reason}): {FETCH_AGAIN}") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Never returns a global that the file names: no code of it runs, and numpy reads no state at which it crashes."""

    def find_class(self, module: str, name: str) -> Any:
        """A substitute for a global of numpy's arrays."""
        found = {
            "numpy.core.multiarray._reconstruct": _Array.reconstruct,  # before numpy 2
            "numpy._core.multiarray._reconstruct": _Array.reconstruct,
            "_codecs.encode": bytes,
            "numpy.dtype": _Type,
            "numpy.ndarray": "numpy.ndarray",
        }.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of arrays, and was not run")
        return found


class _Type:
    def __init__(self, name: str | bytes, align: object = None, copy: object = None) -> None:
        if not re.fullmatch(r"[biufc]\d{1,2}", text(name)):
            raise pickle.UnpicklingError(f"numpy.dtype({text(name)!r}) is no type of plain numbers")
        self.name, self.order = text(name), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">", "=": "=", "|": "="}[text(state[1])]


class _Array(np.ndarray):
    """An array whose content is checked before numpy reads it."""

    @classmethod
    def reconstruct(cls, kind: object, shape: object, code: object) -> "_Array":
        """An array to be filled; a method, as a pickle could change the attributes of a function."""
        return np.empty(0, np.uint8).view(cls)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, fortran, content = state
        content = content if isinstance(content, bytes) else content.encode("latin1")
        dtype = np.dtype(kind.order + kind.name)
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f"an array {shape} of {dtype} in {len(content)} bytes")
        super().__setstate__((version, shape, dtype, fortran, content))


def read_batches(paths: Sequence[Path], key: str) -> Split:
    """Images (count, 3, 32, 32) of all batches, of which there is never a second copy, and the labels named `key`.

    A batch is a pickled dictionary with `data`, a row of 3 x 32 x 32 bytes for each image; others are a ValueError.
    """
    # The images take no more bytes than the files: so many are reserved; an end that stays unused costs nothing.
    images = torch.empty(sum(path.stat().st_size for path in paths) // ROW + 1, ROW, dtype=torch.uint8)
    labels = []
    done = 0
    for path in paths:
        batch = read_dictionary(path)
        try:
            data, numbers = batch["data"], np.array(batch[key])
            if data.dtype != np.uint8 or data.shape != (len(numbers), ROW) or numbers.dtype.kind not in "iu":
                raise ValueError
        except (KeyError, AttributeError, TypeError, ValueError):
            raise ValueError(
                f"{path} does not hold rows of {ROW:,} bytes as data and an integer for each as {key}: {FETCH_AGAIN}"
            ) from None
        images[done : done + len(data)] = torch.from_numpy(data)
        labels.append(torch.from_numpy(numbers.astype(np.int64)))
        done += len(data)
    return Split(images[:done].view(-1, 3, 32, 32), torch.cat(labels))


def text(string: str | bytes) -> str:
    """A string of either Python as text."""
    return string.decode("latin1") if isinstance(string, bytes) else string
