from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.data.pickles import read_dictionary
from smash_lightning.random_streams import rng

PROTOCOLS = range(5)  # the fifth writes arrays in another way, which no official file uses
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def write(path: Path, value: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def python2(array: np.ndarray, labels: list[int]) -> bytes:
    """A batch, instruction for instruction as Python 2 and its numpy wrote the official ones."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|")
    dtype += b"NNN" + 2 * number(-1) + b"K\x00tb"
    rows, columns = array.shape
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    shape = number(rows) + number(columns) + b"\x86"
    data = empty + b"(K\x01" + shape + dtype + b"\x89" + string(array.tobytes()) + b"tb"
    numbers = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + string(b"data") + data + string(b"labels") + numbers + b"u."


@given(
    dtype=st.sampled_from(["u1", "i1", "<i4", ">i4", "<i8", "<f4", ">f8", "?", "c16"]),
    shape=st.lists(st.integers(1, 4), max_size=3),
    protocol=st.sampled_from(PROTOCOLS),
    fortran=st.booleans(),
)
def test_plain_arrays_are_those_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, shape: list[int], protocol: int, fortran: bool
) -> None:
    array = np.frombuffer(rng("array").randbytes(1024), np.uint8)[: int(np.prod(shape))].reshape(shape).astype(dtype)
    array = np.asfortranarray(array) if fortran else array
    value = {"data": array, "labels": [1, 1000], "mean": 0.5, "none": None}
    read = read_dictionary(write(tmp_path_factory.mktemp("pickle") / "array", value, protocol))
    assert read["data"].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read.pop("data"), array)
    assert read == {"labels": [1, 1000], "mean": 0.5, "none": None}


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    array = np.arange(600, dtype=np.int64).astype(np.uint8).reshape(2, 300)
    (tmp_path / "batch").write_bytes(python2(array, [3, 70_000]))
    read = read_dictionary(tmp_path / "batch")
    np.testing.assert_array_equal(read["data"], array)
    assert (read["data"].dtype, read["labels"]) == (np.uint8, [3, 70_000])


class Calls:
    """Pickles to a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@every_protocol
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, r"(posix|nt)\.system"),
        (builtins.eval, r"(builtins|__builtin__)\.eval"),
        (builtins.getattr, r"(builtins|__builtin__)\.getattr"),
        (subprocess.Popen, r"(subprocess|commands)\.Popen"),
        (np.load, r"numpy\.load"),
    ],
)
def test_a_pickle_that_calls_anything_is_refused(
    tmp_path: Path, function: Callable[..., Any], name: str, protocol: int
) -> None:
    path = write(tmp_path / "batch", {"data": Calls(function, "1")}, protocol)
    with pytest.raises(
        ValueError, match=rf"^{path} names {name}, which is not .* and was not run: delete it and fetch"
    ):
        read_dictionary(path)


@every_protocol
def test_nothing_in_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "marker"
    for command in (Calls(os.system, f"touch {marker}"), Calls(eval, f"open({str(marker)!r}, 'w')")):
        path = write(tmp_path / "batch", {"labels": [1], "data": command}, protocol)
        with pytest.raises(ValueError, match="was not run"):
            read_dictionary(path)
        assert not marker.exists()
        pickle.loads(path.read_bytes())
        assert marker.exists(), "the same pickle runs elsewhere"
        marker.unlink()


@every_protocol
@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array([None, "text"], dtype=object), r"numpy\.dtype\('O8'\)"),
        (np.array(["text"]), r"numpy\.dtype\('U4'\)"),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), r"numpy\.dtype\('V12'\)"),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(
    tmp_path: Path, array: np.ndarray, what: str, protocol: int
) -> None:
    with pytest.raises(ValueError, match=f"names {what}, which is not part of data sets"):
        read_dictionary(write(tmp_path / "batch", [array], protocol))


@pytest.mark.parametrize("state", [b"(K\x03U\x01|NU\x01aN", b"(K\x03U\x03|O8NNN"])
def test_a_type_cannot_become_another(tmp_path: Path, state: bytes) -> None:
    right = python2(np.zeros((2, 3), np.uint8), [1])
    assert right.count(b"(K\x03U\x01|NNN") == 1
    (tmp_path / "batch").write_bytes(right.replace(b"(K\x03U\x01|NNN", state))
    with pytest.raises(ValueError, match=r"numpy\.dtype with fields"):
        read_dictionary(tmp_path / "batch")


@pytest.mark.parametrize("shape", [(2, 4), (1, 1), (-2, -3), (2**31 - 1, 2**31 - 1)])
def test_an_array_that_does_not_fit_its_bytes_is_broken(tmp_path: Path, shape: tuple[int, int]) -> None:
    right = python2(np.zeros((2, 3), np.uint8), [1])
    two, wrong = (b"J" + struct.pack("<i", a) + b"J" + struct.pack("<i", b) + b"\x86" for a, b in ((2, 3), shape))
    assert right.count(two) == 1
    (tmp_path / "batch").write_bytes(right.replace(two, wrong))
    with pytest.raises(ValueError, match=r"is not a whole pickle \(ValueError: an array .* in 6 bytes\)"):
        read_dictionary(tmp_path / "batch")


@every_protocol
def test_a_truncated_or_damaged_pickle_gives_a_value_or_one_line(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps({"data": np.arange(12, dtype=np.uint8).reshape(2, 6), "labels": [1, 700]}, protocol)
    path, random = tmp_path / "batch", rng("damage", protocol)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"^{path} is not a whole pickle \(.*\): delete it and fetch"):
            read_dictionary(path)
    refusals = []
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(whole))] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            read_dictionary(path)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(refusal.startswith(str(path)) and "\n" not in refusal for refusal in refusals)


@pytest.mark.parametrize(
    "claim", [b"r\xff\xff\xff\x7f", b"\x95" + struct.pack("<Q", 2**50), b"\x8e" + struct.pack("<Q", 2**50)]
)
def test_a_pickle_that_reserves_much_memory_is_broken(tmp_path: Path, claim: bytes) -> None:
    (tmp_path / "batch").write_bytes(b"\x80\x04K\x01" + claim + b".")
    with pytest.raises(ValueError, match="is not a whole pickle"):
        read_dictionary(tmp_path / "batch")


def test_other_content_is_named(tmp_path: Path) -> None:
    for content in (b"", b"no pickle", b"<html>Not found</html>", b"\x80\x09K\x01."):
        (tmp_path / "batch").write_bytes(content)
        with pytest.raises(ValueError, match=r"batch is not a whole pickle \(.+\): delete it and fetch the data set"):
            read_dictionary(tmp_path / "batch")
    for value in ([1, 2], 3, {1: 2}, None):
        with pytest.raises(ValueError, match="batch holds no dictionary with names as keys: delete it and fetch"):
            read_dictionary(write(tmp_path / "batch", value))
    with pytest.raises(FileNotFoundError, match="none"):
        read_dictionary(tmp_path / "none")
