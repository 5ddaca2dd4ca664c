"""Files of an official distribution: found in a folder, or downloaded into it by pooch."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch
from filelock import FileLock
from requests import RequestException

from smash_lightning.data.source import Download

FETCH_AGAIN = "delete it and fetch the data set again"
TIMEOUT = 60.0  # seconds without an answer of a server
CORRUPT = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


def find_files(root: str, folder: str, names: Sequence[str]) -> list[Path]:
    """The files `names` of a distribution's `folder`, which is in `root` or is `root` itself.

    Raises:
        FileNotFoundError: there are none.
        ValueError: some are missing.
    """
    base = Path(root).expanduser()
    place = base / folder if (base / folder).is_dir() else base
    missing = [name for name in names if not (place / name).is_file()]
    if place == base and len(missing) == len(names):
        raise FileNotFoundError(f"no {folder} in {base}: name its folder with dataset.root=FOLDER.")
    if missing:
        others = f" and {len(missing) - 1} other files" if len(missing) > 1 else ""
        raise ValueError(f"{place} lacks {missing[0]}{others}: complete it, or remove it and fetch the data set again.")
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

    Nothing is done where the folder exists. Processes that need the same archive wait for the first one. An archive
    that is in `root` already, under the name in its address, is unpacked instead, and kept.

    Raises:
        OSError: the download failed, or `root` cannot be written or has no room.
        ValueError: the archive differs from the published one, or is corrupt.
    """
    archive = root / PurePosixPath(urlsplit(download.url).path).name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{archive.name}.lock"):
            if (root / download.folder).is_dir():  # also where another process has fetched it meanwhile
                return
            given = archive.exists()
            if not given:
                _retrieve(download, archive)
            if mismatch := _mismatch(download, archive):
                raise ValueError(f"{archive} is not what {download.url} publishes ({mismatch}): {FETCH_AGAIN}")
            _unpack(archive, download)
            if not given:
                archive.unlink()
    except OSError as error:
        if error.errno is None:  # of the download
            raise
        reason = f"cannot write to {root} ({error.strerror})"
        raise OSError(f"{reason}: free some space or choose another folder with dataset.root=FOLDER") from None


def _retrieve(download: Download, archive: Path) -> None:
    checksum = f"md5:{download.md5}" if download.md5 else None
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    remedy = f"call again, or get it elsewhere and put {archive.name} into {archive.parent}"
    try:
        pooch.retrieve(download.url, checksum, archive.name, archive.parent, downloader=downloader)
    except RequestException as error:
        raise OSError(f"cannot download {download.url} ({' '.join(str(error).split())}): {remedy}") from None
    except ValueError as error:  # its checksum; nothing is kept
        raise ValueError(f"{download.url} differs from the published file ({error}): {remedy}") from None
    if not download.md5 and (mismatch := _mismatch(download, archive)):
        archive.unlink()
        raise ValueError(f"{download.url} differs from the published file ({mismatch}): {remedy}")


def _mismatch(download: Download, archive: Path) -> str | None:
    """How an archive differs from the published one."""
    if (size := archive.stat().st_size) != download.size:
        return f"{size:,} bytes instead of {download.size:,}"
    if download.md5 and (digest := pooch.file_hash(str(archive), alg="md5")) != download.md5:
        return f"MD5 {digest} instead of {download.md5}"
    return None


def _unpack(archive: Path, download: Download) -> None:
    folder, skip = download.folder, download.skip
    partial = archive.with_name(f"{folder}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process

    def wanted(name: str) -> bool:
        return PurePosixPath(name).parts[:1] == (folder,) and not (skip and name.endswith(skip))

    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(partial, [name for name in zipped.namelist() if wanted(name)])
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(partial, (member for member in tar if wanted(member.name)), filter="data")
        if not (partial / folder).is_dir():
            raise tarfile.ReadError(f"it holds no {folder}")
        (partial / folder).replace(archive.with_name(folder))
    except CORRUPT as error:
        raise ValueError(f"{archive} is corrupt ({' '.join(str(error).split())}): {FETCH_AGAIN}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
