"""Files of an official distribution: found in a folder or downloaded into it; and pickled batches of images."""

import pickle
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
from numpy.typing import NDArray
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
    """A pickled dictionary of lists, numbers and text, its keys as text; an array in it remains its `_State`.

    Strings of Python 2 are returned as bytes. Anything else in it is not executed, but a ValueError, and so is a
    truncated pickle.
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
        if f"{module}.{name}" == "_codecs.encode":
            return bytes
        if module.partition(".")[0] == "numpy":
            return _State
        raise pickle.UnpicklingError(f"{module}.{name} is not part of arrays, and was not run")


class _State:
    """What is pickled of an array or of its type."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def rows(self) -> NDArray[np.uint8]:
        """An array of bytes, whose content shares memory with that of the file."""
        _, shape, kind, fortran, content = self.state
        if text(kind.arguments[0]) != "u1":
            raise ValueError
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


def read_batches(paths: Sequence[Path], key: str) -> Split:
    """Images (count, 3, 32, 32) of all batches, of which there is never a second copy, and the labels named `key`.

    A batch is a pickled dictionary with `data`, a row of 3 x 32 x 32 bytes for each image; others are a ValueError.
    """
    # The images take no more bytes than the files: so many are reserved; an end that stays unused costs nothing.
    images = np.empty((sum(path.stat().st_size for path in paths) // ROW + 1, ROW), np.uint8)
    labels = []
    done = 0
    for path in paths:
        batch = read_dictionary(path)
        try:
            data, numbers = batch["data"].rows(), np.array(batch[key])
            if data.shape != (len(numbers), ROW) or numbers.dtype.kind not in "iu":
                raise ValueError
        except (LookupError, AttributeError, TypeError, ValueError):
            raise ValueError(
                f"{path} does not hold rows of {ROW:,} bytes as data and an integer for each as {key}: {FETCH_AGAIN}"
            ) from None
        images[done : done + len(data)] = data
        labels.append(torch.from_numpy(numbers.astype(np.int64)))
        done += len(data)
    return Split(torch.from_numpy(images[:done]).view(-1, 3, 32, 32), torch.cat(labels))


def text(string: str | bytes) -> str:
    """A string of either Python as text."""
    return string.decode("latin1") if isinstance(string, bytes) else string
