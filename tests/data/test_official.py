"""Downloads, from a web server in this process."""

import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.data import CIFAR10, Download
from smash_lightning.data.official import fetch
from smash_lightning.random_streams import rng
from tests.data.official_files import cifar10
from tests.data.pictures import module

NOISE = rng("noise").randbytes(300_000)
FILES = {"set/a.bin": NOISE, "set/deep/b.txt": b"bee", "set/huge.bin": b"unwanted" * 99, "other.txt": b"not in it"}
UNPACKED = {"a.bin": NOISE, "deep/b.txt": b"bee"}


def tar(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


PACK: dict[str, Callable[[dict[str, bytes]], bytes]] = {"set.tar.gz": tar, "set.zip": zipped}
every_format = pytest.mark.parametrize("name", PACK)


class Site:
    """A web server of one file, which may break off."""

    def __init__(self) -> None:
        self.content, self.requests, self.address = b"", 0, ""
        self.stops_after: int | None = None
        self.pause = 0.0

    def offers(self, name: str, content: bytes, **changes: Any) -> Download:
        self.content = content
        values = {"size": len(content), "md5": hashlib.md5(content).hexdigest(), "folder": "set"}
        return Download(f"{self.address}/{name}", **values | {"files": ("a.bin", "deep")} | changes)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests += 1
            time.sleep(site.pause)
            if self.path.endswith("absent.zip"):
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(site.content)))
            self.end_headers()
            return self.wfile.write(site.content[: site.stops_after]) and None

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def content_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.suffix != ".lock")


@every_format
@pytest.mark.parametrize("given", [False, True])
def test_an_archive_is_unpacked_once_and_deleted_if_it_was_downloaded(
    tmp_path: Path, site: Site, name: str, given: bool
) -> None:
    download, root = site.offers(name, PACK[name](FILES)), tmp_path / "new" / "root"
    if given:
        root.mkdir(parents=True)
        (root / name).write_bytes(site.content)
    for _ in range(2):
        fetch(download, root)
    assert content_of(root / "set") == UNPACKED
    assert names_in(root) == (["set", name] if given else ["set"])
    assert site.requests == (not given)


def test_other_content_than_published_is_refused_and_not_kept(tmp_path: Path, site: Site) -> None:
    download = site.offers("set.zip", zipped(FILES), md5="0" * 32)
    for given in ([], ["set.zip"]):
        with pytest.raises(ValueError, match=r"set\.zip\) does not match the known hash: expected md5:0000"):
            fetch(download, tmp_path)
        assert names_in(tmp_path) == given
        (tmp_path / "set.zip").write_bytes(b"the user's own, which stays")


def test_a_failed_download_is_named_and_the_next_call_succeeds(tmp_path: Path, site: Site) -> None:
    download = site.offers("set.tar.gz", tar(FILES))
    site.stops_after = 1000
    with pytest.raises(OSError, match=r"cannot download http\S+set\.tar\.gz .*: call again, or get it elsewhere"):
        fetch(download, tmp_path)
    assert not (tmp_path / "set").exists()
    site.stops_after = None
    fetch(download, tmp_path)
    assert content_of(tmp_path / "set") == UNPACKED
    with pytest.raises(OSError, match=r"cannot download \S+absent\.zip \(.*404.*\)"):
        fetch(replace(download, url=f"{site.address}/absent.zip"), tmp_path / "other")
    with pytest.raises(OSError, match=r"cannot download http://127\.0\.0\.1:9/set\.zip"):
        fetch(replace(download, url="http://127.0.0.1:9/set.zip"), tmp_path / "other")


@every_format
def test_a_corrupt_archive_is_named(tmp_path: Path, site: Site, name: str) -> None:
    whole = PACK[name](FILES)
    for content in (whole[: len(whole) // 2], b"", b"garbage" * 100, PACK[name]({"else/a": b"1"})):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is corrupt \(.*\): delete it and fetch the data set again"):
            fetch(site.offers(name, content), tmp_path)
        assert not (tmp_path / "set").exists()
        assert not (tmp_path / "set.partial").exists()


@every_format
def test_nothing_is_written_outside_the_folder(tmp_path: Path, site: Site, name: str) -> None:
    content = PACK[name]({"set/../../outside.txt": b"1", "set/a.txt": b"2"})
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / name).write_bytes(content)
    try:
        fetch(site.offers(name, content), tmp_path / "root")
    except ValueError as error:
        assert "corrupt" in str(error)  # noqa: PT017  (a zip drops the dots, a tar is refused)
    assert not (tmp_path / "outside.txt").exists()


def test_of_two_calls_at_once_one_downloads_and_the_other_waits(tmp_path: Path, site: Site) -> None:
    """Of two processes: see tests/data/test_cache.py, by the same lock."""
    download, site.pause = site.offers("set.tar.gz", tar(FILES)), 0.2
    first = threading.Thread(target=fetch, args=(download, tmp_path))
    first.start()
    fetch(download, tmp_path)
    first.join()
    assert content_of(tmp_path / "set") == UNPACKED
    assert site.requests == 1


def test_a_missing_set_is_downloaded_only_if_wanted(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = CIFAR10(str(tmp_path / "root"))
    folder = cifar10(tmp_path / "made")
    files = {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}
    offered = site.offers("cifar-10-python.tar.gz", tar(files), folder=folder.name, files=())
    monkeypatch.setattr(CIFAR10, "download", offered)
    with pytest.raises(
        FileNotFoundError, match=r"no cifar-10-batches-py .* Or download it with dataset\.download=true"
    ):
        module(source).setup()
    assert len(module(source, download=True).sets.train) == 20
    assert len(module(source).sets.train) == 20
