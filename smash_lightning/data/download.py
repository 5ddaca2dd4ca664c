"""How does an official distribution come into its folder?"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock

from smash_lightning.data.official import FETCH_AGAIN
from smash_lightning.data.source import Download
from smash_lightning.progress_bars import ProgressBars

OTHER_FOLDER = "choose another folder with dataset.root=FOLDER"
CHUNK = 1 << 20  # bytes between two movements of a progress bar
SILENCE = 60.0  # seconds after which a server that says nothing is given up

Show = Callable[[int], None]


def fetch_archive(
    download: Download, root: Path, folder: str, wanted: Callable[[str], bool] = lambda name: True
) -> None:
    """Downloads a .tar.gz or .zip archive and unpacks one folder of it, which appears when it is complete.

    Nothing is done where the folder is there already. Processes that want the same archive wait for the one that
    fetches it. An archive that lies in `root` already, under the name that its address gives it, is taken instead, and
    stays; what was downloaded is deleted once it is unpacked.

    Args:
        download: the archive.
        root: where the folder is put; made if need be.
        folder: at the top of the archive; what lies beside it is not unpacked.
        wanted: whether to unpack a file, by its path in the archive.

    Raises:
        OSError: the download failed, and what has arrived is kept for the next call to continue; or there is no room,
            or no permission to write.
        ValueError: what arrived is not what was published, or is corrupt; it was deleted. Or an archive that lay in
            `root` already is; it was not.
    """
    if (root / folder).is_dir():
        return
    archive = root / PurePosixPath(urlsplit(download.url).path).name
    steps = [f"{archive.name} MiB", "  checked", "  unpacked"]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{archive.name}.lock"):
            if (root / folder).is_dir():  # another process has fetched it meanwhile
                return
            with ProgressBars(steps, [max(download.size >> 20, 1)] * len(steps)) as bars:
                shows = [lambda done, bar=bar: bars.show(bar, done >> 20) for bar in range(len(steps))]
                ours = _obtain(download, archive, shows[0], shows[1])
                _unpack(archive, folder, wanted, shows[2], ours)
            if ours:
                archive.unlink()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR):
            raise
        raise OSError(f"cannot write to {root} ({error.strerror}): {OTHER_FOLDER}") from None


def _obtain(download: Download, archive: Path, show_arrived: Show, show_checked: Show) -> bool:
    """Puts the archive in its place, checked; and says whether it was not there before."""
    if archive.exists():
        show_arrived(download.size)
        if mismatch := _mismatch(download, archive, show_checked):
            raise ValueError(f"{archive} is not what {download.url} publishes ({mismatch}): {FETCH_AGAIN}")
        return False
    part = archive.with_name(f"{archive.name}.part")
    with _room_for(archive, lambda: download.size):
        _continue(download, part, show_arrived)
    _version_file(part).unlink(missing_ok=True)
    if mismatch := _mismatch(download, part, show_checked):
        part.unlink()
        raise ValueError(
            f"{download.url} gave something else than was published ({mismatch}): it was deleted, "
            f"the next call downloads it anew; or get {archive.name} elsewhere and put it into {archive.parent}"
        )
    os.replace(part, archive)
    return True


def _continue(download: Download, part: Path, show: Show) -> None:
    """Appends what is missing to `part`."""
    have = part.stat().st_size if part.exists() else 0
    if have >= download.size:
        return
    room = shutil.disk_usage(part.parent)
    if room.total and room.free < download.size - have:  # better said now than in an hour; some folders do not know it
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    version_file = _version_file(part)
    with _network(download, part):
        response, have = _ask(download, have, version_file.read_text() if version_file.exists() else None)
    with response, part.open("ab" if have else "wb") as file:
        if not have:
            version_file.write_text(_version(response) or "")
        for chunk in _received(download, part, response):
            file.write(chunk)
            have += len(chunk)
            show(have)
            if have > download.size:
                break
    if have < download.size:
        raise _unreachable(download, part, f"the connection broke after {have:,} of {download.size:,} bytes")


def _ask(download: Download, have: int, version: str | None) -> tuple[HTTPResponse, int]:
    """The server's answer, and how many of the bytes that we have it continues."""
    if have and version:
        headers = {"Range": f"bytes={have}-", "If-Range": version}
        try:
            response = urlopen(Request(download.url, headers=headers), timeout=SILENCE)
        except HTTPError as error:
            error.close()
            if error.code != 416:  # the file has become shorter
                raise
        else:
            if response.status == 200:
                return response, 0
            place = response.headers.get("Content-Range", "")
            same = _version(response) in (version, None)
            if same and place == f"bytes {have}-{download.size - 1}/{download.size}":
                return response, have
            response.close()
    return urlopen(download.url, timeout=SILENCE), 0


def _version(response: HTTPResponse) -> str | None:
    """What a server calls this state of a file, if it calls it anything that identifies its bytes."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _received(download: Download, part: Path, response: HTTPResponse) -> Iterator[bytes]:
    with _network(download, part):
        while chunk := response.read1(CHUNK):
            yield chunk


@contextmanager
def _network(download: Download, part: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise _unreachable(download, part, f"{getattr(error, 'reason', None) or error}") from None


def _unreachable(download: Download, part: Path, reason: str) -> OSError:
    return OSError(
        f"cannot download {download.url} ({' '.join(reason.split())}): call again to continue, or get it elsewhere and "
        f"put {part.stem} into {part.parent}"
    )


def _mismatch(download: Download, path: Path, show: Show) -> str | None:
    """How a file differs from what was published."""
    size = path.stat().st_size
    if size != download.size:
        return f"{size:,} bytes instead of {download.size:,}"
    if download.md5 is None:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            show(file.tell())
    return None if digest.hexdigest() == download.md5 else f"MD5 {digest.hexdigest()} instead of {download.md5}"


def _unpack(archive: Path, folder: str, wanted: Callable[[str], bool], show: Show, ours: bool) -> None:
    """Unpacks the folder beside its place, and moves it there; a corrupt archive is deleted if it is `ours`."""
    place, beside = archive.with_name(folder), archive.with_name(f"{folder}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    try:
        with _room_for(place, lambda: sum(size for size, _ in _files_in(archive, folder, wanted, show))):
            for _, extract in _files_in(archive, folder, wanted, show):
                extract(path=beside)
        if not (beside / folder).is_dir():
            raise tarfile.ReadError(f"it holds no {folder}")
        os.replace(beside / folder, place)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if not ours:
            raise ValueError(f"{archive} is corrupt ({reason}): {FETCH_AGAIN}") from None
        archive.unlink()
        raise ValueError(f"{archive} is corrupt ({reason}): it was deleted, fetch the data set again") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _files_in(
    archive: Path, folder: str, wanted: Callable[[str], bool], show: Show
) -> Iterator[tuple[int, Callable[..., object]]]:
    """Size, and what extracts it to a path, of each file that is wanted."""
    with archive.open("rb") as file:
        members = _members_of_zip(file) if archive.suffix == ".zip" else _members_of_tar(file)
        for name, size, extract in members:
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts:
                raise tarfile.ReadError(f"it would write to {name}")
            if parts[0] == folder and wanted(name):
                yield size, extract
            show(file.tell())


def _members_of_tar(file: BinaryIO) -> Iterator[tuple[str, int, Callable[..., object]]]:
    with gzip.open(file) as content, tarfile.open(fileobj=content, mode="r:") as tar:
        for member in tar:
            if member.isfile():
                yield member.name, member.size, partial(tar.extract, member, filter="data")
        while content.read(CHUNK):  # to its checksum
            pass


def _members_of_zip(file: BinaryIO) -> Iterator[tuple[str, int, Callable[..., object]]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield member.filename, member.file_size, partial(archive.extract, member)


@contextmanager
def _room_for(place: Path, needed: Callable[[], int]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"{place.parent} has no room for {place.name}, {needed():,} bytes: free some, or {OTHER_FOLDER}"
        ) from None
