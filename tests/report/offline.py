"""Reads back what W&B wrote offline."""

import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import Record, RunRecord


def offline_runs(folder: Path) -> list[list[Record]]:
    """The records of each offline run below a folder, oldest run first, once all are whole."""
    deadline = time.monotonic() + 20
    while True:
        files = sorted(folder.glob("**/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_ctime_ns)
        runs = [records(path.read_bytes()) for path in files]
        if all(run and run[-1].HasField("exit") for run in runs):
            return runs
        assert time.monotonic() < deadline, f"no exit record in {files}"
        time.sleep(0.05)


def records(data: bytes) -> list[Record]:
    """What LevelDB's log framing holds: fragments in blocks of 32 KiB, after W&B's own header of 7 bytes."""
    found, at, fragments = [], 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        fragments += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or its last fragment
            found.append(Record.FromString(fragments))
            fragments = b""
    return found


def merged(run: list[Record], kind: str, items: str) -> dict[str, Any]:
    """All values that a run set, by key, such as those of its configuration or summary."""
    values = {}
    for record in run:
        if record.HasField(kind):  # type: ignore[arg-type]
            for item in getattr(getattr(record, kind), items):
                values["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    return values


def history(run: list[Record]) -> list[dict[str, Any]]:
    rows = [record.history.item for record in run if record.HasField("history")]
    return [{"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row} for row in rows]


def only(paths: Iterator[Path]) -> Path:
    (path,) = paths
    return path


def start(run: list[Record]) -> RunRecord:
    """What a run records: id, group, job type, tags."""
    return next(record.run for record in run if record.HasField("run"))


def without_account(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nothing of the account that runs the tests: no key, no server, no proxy; what a logger sets is taken back."""
    for name in list(os.environ):
        if (name.startswith("WANDB_") and name != "WANDB_SERVICE") or name.lower().endswith("_proxy"):
            patch.delenv(name)
    patch.setenv("NETRC", str(folder / "netrc"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        patch.setenv(name, str(folder.with_name(f"{folder.name}-wandb")))  # restored after the test
