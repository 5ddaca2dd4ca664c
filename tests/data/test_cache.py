import json
import os
import pickle
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from smash_lightning.data import RawDataset, Source, Split
from smash_lightning.data.cache import find_entry, open_entry
from smash_lightning.random_streams import rng
from tests.command_line import Copy, wait_for
from tests.data.pictures import module


@dataclass(frozen=True)
class Raw(Source):
    """Images of 6x6 from files of bytes, the first of each image being its label; it writes down that it was read."""

    root: str
    offset: int = 0
    seconds: float = 0.0

    def files(self) -> Sequence[Path]:
        return [Path(self.root) / name for name in ("train.bin", "test.bin")]

    def read(self) -> RawDataset:
        with (Path(self.root) / "reads.txt").open("a") as file:
            file.write("read\n")
        time.sleep(self.seconds)
        splits = []
        for path in self.files():
            images = torch.from_numpy(np.fromfile(path, np.uint8).reshape(-1, 1, 6, 6))
            splits.append(Split(images + self.offset, images[:, 0, 0, 0].long() % 3))
        return RawDataset(*splits, ("a", "b", "c"), ("A note.",))

    def reads(self) -> int:
        return len((Path(self.root) / "reads.txt").read_text().splitlines())


def raw(folder: Path, count: int = 40) -> Raw:
    folder.mkdir()
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(rng(name).randbytes(count * 36))
    return Raw(str(folder))


def entry_of(source: Source, cache: Path) -> Path:
    return find_entry(source, source.files(), cache)


def assert_equal(one: RawDataset, other: RawDataset) -> None:
    for left, right in ((one.train, other.train), (one.test, other.test)):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.labels, right.labels)
    assert (one.classes, one.notes) == (other.classes, other.notes)


def test_an_entry_is_what_was_read_and_is_named_after_content_and_options(tmp_path: Path) -> None:
    source = raw(tmp_path / "raw")
    first = entry_of(source, tmp_path / "cache")
    assert_equal(open_entry(first), source.read())
    shutil.copytree(source.root, tmp_path / "moved")
    assert entry_of(Raw(str(tmp_path / "moved")), tmp_path / "cache") == first
    assert entry_of(Raw(source.root, offset=1), tmp_path / "cache") != first
    flip(tmp_path / "raw" / "test.bin")
    changed = entry_of(source, tmp_path / "cache")
    assert changed != first
    assert_equal(open_entry(changed), source.read())


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def leave_partial(entry: Path) -> None:
    """As a process that is killed leaves it."""
    entry.rename(partial := entry.with_name(f"{entry.name}.partial"))
    os.truncate(partial / "train-images.npy", 200)


DAMAGES: list[Callable[[Path], object]] = [
    lambda entry: os.truncate(entry / "train-images.npy", 200),
    lambda entry: (entry / "train-images.npy").unlink(),
    lambda entry: (entry / "about.json").write_text("{"),
    lambda entry: flip(entry / "test-images.npy"),
    leave_partial,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_written_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    source = raw(tmp_path / "raw")
    damage(entry_of(source, tmp_path / "cache"))
    assert_equal(open_entry(entry_of(source, tmp_path / "cache")), source.read())
    assert not list((tmp_path / "cache").glob("*.partial"))


@pytest.mark.parametrize("kept", [True, False])
def test_a_flipped_bit_of_a_large_entry_is_noticed_by_the_time_of_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr("smash_lightning.data.cache.LARGE", 0)
    source = raw(tmp_path / "raw")
    for _ in range(2):
        entry = entry_of(source, tmp_path / "cache")
    times = (images := entry / "train-images.npy").stat()
    flip(images)
    os.utime(images, ns=(times.st_atime_ns, times.st_mtime_ns + (not kept)))
    sets = open_entry(entry_of(source, tmp_path / "cache"))
    assert torch.equal(sets.train.images, source.read().train.images) is not kept


def test_of_two_processes_one_reads_and_the_other_waits(tmp_path: Path) -> None:
    source, reads = Raw(raw(tmp_path / "raw").root, seconds=1.0), tmp_path / "raw" / "reads.txt"
    first = Copy(entry_of, source, tmp_path / "cache")
    wait_for(reads.exists, first)
    entry = entry_of(source, tmp_path / "cache")
    assert first.result() == entry
    assert source.reads() == 1
    assert_equal(open_entry(entry), Raw(source.root).read())


def test_another_process_maps_the_entry_instead_of_receiving_it(tmp_path: Path) -> None:
    source = raw(tmp_path / "raw", count=4000)
    data = module(source, cache=tmp_path / "cache")
    data.setup()
    sent = pickle.dumps(data)
    assert len(sent) < data.sets.train.images.nbytes / 2, "indices, not images"
    received = pickle.loads(sent)
    for name in ("train", "validation", "test"):
        one, other = getattr(data, name), getattr(received, name)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    assert received.specification() == data.specification()
    assert source.reads() == 1


def test_moments_are_stored_with_the_entry_and_belong_to_their_images(tmp_path: Path) -> None:
    source = raw(tmp_path / "raw")
    for seed in (0, 1, 0):
        stored, fresh = (module(source, split_seed=seed, cache=cache) for cache in (tmp_path / "cache", None))
        assert torch.equal(stored.mean, fresh.mean)
        assert torch.equal(stored.std, fresh.std)
    assert module(source).mean != module(source, split_seed=1).mean
    assert len(list((tmp_path / "cache").glob("*/moments-*.json"))) == 2


@pytest.mark.parametrize("known", ["", "raw-12"])
def test_a_note_of_what_is_known_that_was_cut_off_does_no_harm(tmp_path: Path, known: str) -> None:
    source = raw(tmp_path / "raw")
    first = entry_of(source, tmp_path / "cache")
    (note,) = (tmp_path / "cache").glob("known-*.json")
    note.write_text(known)
    (tmp_path / "cache" / "precious.txt").write_text("kept")
    assert entry_of(source, tmp_path / "cache") == first
    assert (tmp_path / "cache" / "precious.txt").read_text() == "kept"
    assert json.loads(note.read_text()) == first.name


def test_a_cache_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(OSError, match=rf"cannot write decoded data sets to {tmp_path}/cache .*dataset\.cache=FOLDER"):
        entry_of(raw(tmp_path / "raw"), tmp_path / "cache")
