from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.data.download import fetch_archive
from smash_lightning.data.source import Download
from smash_lightning.random_streams import rng

# Noise does not shrink when it is packed, so that an archive takes about as many bytes as it holds.
NOISE = rng("noise").randbytes(300_000)
FILES = {"set/a.bin": NOISE, "set/deep/b.txt": b"bee", "set/huge.bin": b"unwanted" * 99, "beside.txt": b"not in it"}
UNPACKED = {"a.bin": NOISE, "deep/b.txt": b"bee"}


def wanted(name: str) -> bool:
    return not name.endswith("huge.bin")


def tar(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def zip_(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


PACK: dict[str, Callable[[dict[str, bytes]], bytes]] = {"set.tar.gz": tar, "set.zip": zip_}
every_format = pytest.mark.parametrize("name", PACK)


@dataclass
class Site:
    """A web server of one file, with the faults of real ones."""

    content: bytes = b""
    tag: str | None = '"1"'
    ranges: bool = True
    heeds_if_range: bool = True
    stops_after: int | None = None  # bytes of an answer, once
    stalls: threading.Event = field(default_factory=threading.Event)  # set: it holds its breath before it stops
    before_body: Callable[[], object] = lambda: None
    asked: list[str | None] = field(default_factory=list)  # range of each request
    sent: list[int] = field(default_factory=list)  # bytes of each answer
    address: str = ""

    def download(self, name: str = "set.tar.gz", **changes: Any) -> Download:
        values = {"size": len(self.content), "md5": hashlib.md5(self.content).hexdigest()}
        return Download(f"{self.address}/{name}", **values | changes)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        place = request.headers.get("Range")
        self.asked.append(place)
        first = int(re.fullmatch(r"bytes=(\d+)-", place).group(1)) if place and self.ranges else 0  # type: ignore[union-attr]
        if self.heeds_if_range and request.headers.get("If-Range") != self.tag:
            first = 0
        if first >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if first else 200)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        if self.tag:
            request.send_header("ETag", self.tag)
        body = self.content[first:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        self.before_body()
        if self.stops_after is not None:
            body, self.stops_after = body[: self.stops_after], None
        self.sent.append(len(body))  # before a client can have it all
        request.wfile.write(body)
        request.wfile.flush()
        if self.stalls.is_set():
            self.stalls.clear()
            self.stalls.wait(10)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    site = Site(tar(FILES))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("absent.zip"):
                self.send_error(404)
            else:
                site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield site
        site.stalls.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.getuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def beside(root: Path) -> set[str]:
    """What lies in a folder besides locks, which stay."""
    return {path.name for path in root.iterdir() if path.suffix != ".lock"}


@every_format
def test_the_wanted_files_of_the_folder_come_and_nothing_else_stays(site: Site, tmp_path: Path, name: str) -> None:
    site.content = PACK[name](FILES)
    root = tmp_path / "not" / "yet"
    fetch_archive(site.download(name), root, "set", wanted)
    assert content(root / "set") == UNPACKED
    assert beside(root) == {"set"}
    assert site.sent == [len(site.content)]


def test_progress_is_shown(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_archive(site.download(), tmp_path, "set", wanted)
    shown = capsys.readouterr().err
    assert "set.tar.gz MiB" in shown
    assert "unpacked" in shown


def test_a_folder_that_is_there_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    fetch_archive(site.download(), tmp_path, "set", wanted)
    assert site.asked == []
    assert content(tmp_path / "set") == {}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_broken_download_is_continued_where_it_broke(site: Site, tmp_path: Path, share: float) -> None:
    size = len(site.content)
    site.stops_after = have = int(share * size)
    with pytest.raises(OSError, match=rf"cannot download {site.address}/set\.tar\.gz \(the connection broke after"):
        fetch_archive(site.download(), tmp_path, "set", wanted)
    assert (tmp_path / "set.tar.gz.part").read_bytes() == site.content[:have]
    assert not (tmp_path / "set").exists()
    fetch_archive(site.download(), tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED
    assert beside(tmp_path) == {"set"}
    assert site.asked == [None, f"bytes={have}-" if have else None]
    assert site.sent == [have, size - have]


def test_a_download_that_breaks_many_times_comes_in_pieces(site: Site, tmp_path: Path) -> None:
    size = len(site.content)
    for _ in range(3):
        site.stops_after = size // 4
        with pytest.raises(OSError, match="connection broke"):
            fetch_archive(site.download(), tmp_path, "set", wanted)
    fetch_archive(site.download(), tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED
    assert sum(site.sent) == size


@pytest.mark.parametrize("fault", ["no ranges", "no tag", "weak tag"])
def test_what_a_server_cannot_continue_is_started_anew(site: Site, tmp_path: Path, fault: str) -> None:
    site.ranges = fault != "no ranges"
    site.tag = {"no tag": None, "weak tag": 'W/"1"'}.get(fault, '"1"')
    site.stops_after = len(site.content) // 2
    with pytest.raises(OSError, match="connection broke"):
        fetch_archive(site.download(), tmp_path, "set", wanted)
    fetch_archive(site.download(), tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED
    assert site.sent[-1] == len(site.content)


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_started_anew(site: Site, tmp_path: Path, heeds_if_range: bool) -> None:
    site.heeds_if_range = heeds_if_range
    stored = {name: zip_({name: data}) for name, data in (("set/old", b"old"), ("set/new", b"new"))}
    assert len(stored["set/old"]) == len(stored["set/new"])
    site.content = stored["set/old"]
    site.stops_after = 40
    with pytest.raises(OSError, match="connection broke"):
        fetch_archive(site.download("set.zip", md5=None), tmp_path, "set")
    site.content, site.tag = stored["set/new"], '"2"'
    fetch_archive(site.download("set.zip", md5=None), tmp_path, "set")
    assert content(tmp_path / "set") == {"new": b"new"}
    assert site.sent[-1] == len(site.content)


def test_a_file_that_became_shorter_is_named(site: Site, tmp_path: Path) -> None:
    published = site.download()
    site.stops_after = len(site.content) // 2
    with pytest.raises(OSError, match="connection broke"):
        fetch_archive(published, tmp_path, "set")
    site.content = site.content[: len(site.content) // 3]
    with pytest.raises(OSError, match="the connection broke after"):
        fetch_archive(published, tmp_path, "set")
    assert site.sent[-1] == len(site.content), "the server refused to continue, and was asked for the whole file"


def test_a_longer_file_is_not_what_was_published(site: Site, tmp_path: Path) -> None:
    published = site.download(md5=None)
    site.content += NOISE
    with pytest.raises(ValueError, match=r"gave something else than was published \([\d,]+ bytes instead of [\d,]+\)"):
        fetch_archive(published, tmp_path, "set")
    assert beside(tmp_path) == set()


def test_a_wrong_checksum_deletes_what_came(site: Site, tmp_path: Path) -> None:
    published = site.download()
    right = site.content
    site.content = right[:-1] + b"?"
    with pytest.raises(ValueError, match=r"\(MD5 \w{32} instead of \w{32}\): it was deleted, the next call downloads"):
        fetch_archive(published, tmp_path, "set")
    assert beside(tmp_path) == set()
    site.content = right
    fetch_archive(published, tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED
    assert site.asked == [None, None]


@every_format
@pytest.mark.parametrize("fault", ["cut", "changed", "no archive", "other folder"])
def test_a_corrupt_archive_is_deleted(site: Site, tmp_path: Path, name: str, fault: str) -> None:
    right = PACK[name](FILES)
    middle = len(right) // 2
    site.content = {
        "cut": right[:middle],
        "changed": right[:middle] + bytes(byte ^ 255 for byte in right[middle : middle + 99]) + right[middle + 99 :],
        "no archive": NOISE,
        "other folder": PACK[name]({"other/a": b"a"}),
    }[fault]
    with pytest.raises(ValueError, match=r"set\.\S+ is corrupt \(.+\): it was deleted, fetch the data set again"):
        fetch_archive(site.download(name, md5=None), tmp_path, "set")
    assert beside(tmp_path) == set()
    site.content = right
    fetch_archive(site.download(name), tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED


@every_format
@pytest.mark.parametrize("evil", ["set/../../evil", "../evil", "/evil"])
def test_an_archive_that_leaves_its_folder_is_refused(site: Site, tmp_path: Path, name: str, evil: str) -> None:
    evil = evil if evil != "/evil" else f"{tmp_path}/evil"
    site.content = PACK[name]({"set/a": b"a", evil: b"evil", "set/b": b"b"})
    root = tmp_path / "root" / "deep"
    with pytest.raises(ValueError, match=r"is corrupt \(it would write to .*evil\)"):
        fetch_archive(site.download(name), root, "set")
    assert not list(tmp_path.rglob("evil"))
    assert beside(root) == set()


def test_links_in_an_archive_are_not_followed(site: Site, tmp_path: Path) -> None:
    packed = io.BytesIO()
    outside = tmp_path / "outside"
    outside.mkdir()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        member = tarfile.TarInfo("set/link/a")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"a"))
    site.content = packed.getvalue()
    fetch_archive(site.download(), tmp_path / "root", "set")
    assert content(tmp_path / "root" / "set") == {"link/a": b"a"}
    assert list(outside.iterdir()) == []


def test_an_archive_that_was_put_there_by_hand_is_unpacked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "set.tar.gz").write_bytes(site.content)
    fetch_archive(site.download(), tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED
    assert site.asked == []


@pytest.mark.parametrize("keep", [0, 1, 1000])
def test_a_truncated_archive_that_was_put_there_by_hand_is_named(site: Site, tmp_path: Path, keep: int) -> None:
    (tmp_path / "set.tar.gz").write_bytes(site.content[:keep])
    with pytest.raises(
        ValueError, match=r"set\.tar\.gz is not what http\S+ publishes \([\d,]+ bytes instead of .*delete"
    ):
        fetch_archive(site.download(), tmp_path, "set")
    assert (tmp_path / "set.tar.gz").exists(), "it may still be on its way"
    assert site.asked == []


def test_without_a_network_it_is_said_where_the_archive_belongs(site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url, reason in ((f"http://127.0.0.1:{port}/set.zip", ".*refused"), (f"{site.address}/absent.zip", "Not Found")):
        name = url.rpartition("/")[2]
        with pytest.raises(OSError, match="cannot download") as caught:
            fetch_archive(Download(url, 9, None), tmp_path, "set")
        message = str(caught.value)
        assert re.fullmatch(
            rf"cannot download {url} \({reason}\): call again to continue, or get it elsewhere and put {name} "
            rf"into {tmp_path}",
            message,
        ), message


def test_a_server_that_speaks_no_http_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"hello?\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(OSError, match=r"cannot download http\S+ \(hello\?\): call again"):
            fetch_archive(Download(f"http://127.0.0.1:{server.getsockname()[1]}/set.zip", 9, None), tmp_path, "set")
        thread.join()


def test_two_processes_at_once_download_once(site: Site, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(2)

    def fetch() -> None:
        together.wait()
        fetch_archive(site.download(), tmp_path, "set", wanted)
        os._exit(0 if content(tmp_path / "set") == UNPACKED else 1)

    site.before_body = lambda: time.sleep(0.5)  # long enough for both to meet
    processes = [fork.Process(target=fetch) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert site.sent == [len(site.content)]
    assert beside(tmp_path) == {"set"}


def test_what_a_killed_process_left_is_continued(site: Site, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    site.stops_after = have = len(site.content) // 2
    site.stalls.set()
    process = fork.Process(target=fetch_archive, args=(site.download(), tmp_path, "set", wanted))
    process.start()
    part = tmp_path / "set.tar.gz.part"
    for _ in range(1000):
        if part.exists() and part.stat().st_size > 0:
            break
        process.join(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    arrived = part.stat().st_size
    assert 0 < arrived <= have
    (tmp_path / "set.partial" / "set").mkdir(parents=True)  # as one that was killed while it unpacked leaves it
    (tmp_path / "set.partial" / "set" / "half").write_bytes(b"half")
    fetch_archive(site.download(), tmp_path, "set", wanted)
    assert content(tmp_path / "set") == UNPACKED
    assert site.asked == [None, f"bytes={arrived}-"]
    assert beside(tmp_path) == {"set"}


def test_a_disk_without_room_for_the_archive_is_told_before_it_comes(site: Site, small_disk: Path) -> None:
    site.content = NOISE * 4
    message = f"{small_disk} has no room for set.tar.gz, 1,200,000 bytes: free some, or choose another folder with data"
    with pytest.raises(OSError, match=re.escape(message)):
        fetch_archive(site.download(), small_disk, "set")
    assert site.asked == []
    assert beside(small_disk) == set()


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half_written_in_place(site: Site, small_disk: Path) -> None:
    filler = small_disk / "filler"
    site.before_body = lambda: filler.write_bytes(bytes(900_000))
    message = f"{small_disk} has no room for set.tar.gz, {len(site.content):,} bytes: free some"
    with pytest.raises(OSError, match=re.escape(message)):
        fetch_archive(site.download(), small_disk, "set")
    assert beside(small_disk) <= {"filler", "set.tar.gz.part", "set.tar.gz.part.version"}
    filler.unlink()
    site.before_body = lambda: None
    fetch_archive(site.download(), small_disk, "set", wanted)
    assert content(small_disk / "set") == UNPACKED


@every_format
def test_a_disk_without_room_to_unpack_keeps_the_archive_for_later(site: Site, small_disk: Path, name: str) -> None:
    files = {"set/a": b"a", "set/b": bytes(2_000_000)}
    site.content = PACK[name](files)
    with pytest.raises(OSError, match=re.escape(f"{small_disk} has no room for set, 2,000,001 bytes: free some")):
        fetch_archive(site.download(name), small_disk, "set")
    assert beside(small_disk) == {name}
    fetch_archive(site.download(name), small_disk, "set", lambda name: name == "set/a")
    assert content(small_disk / "set") == {"a": b"a"}
    assert len(site.asked) == 1


def test_a_folder_that_cannot_be_written_is_named(site: Site, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for root in (small_disk, small_disk / "deep"):
        with pytest.raises(OSError, match=f"cannot write to {root} .*: choose another folder with dataset.root=FOLDER"):
            fetch_archive(site.download(), root, "set")


def test_a_file_in_place_of_the_folder_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(OSError, match=rf"cannot write to {root} \(.*\): choose another folder"):
            fetch_archive(site.download(), root, "set")
