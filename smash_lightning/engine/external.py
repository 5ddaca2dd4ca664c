"""Processes started by srun or torchrun, on one machine or several: a coordinator and workers.

The first one, the coordinator, writes its address and a key to a file in the current folder, which only this user can
read; workers connect to it.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path

from smash_lightning.engine.launcher_environment import LauncherEnvironment
from smash_lightning.engine.ranks import set_local_rank
from smash_lightning.engine.worker import receive, run_jobs, send
from smash_lightning.files import atomic_write

STARTUP_TIMEOUT = 600.0  # seconds for all processes to start
HANDSHAKE_TIMEOUT = 10  # seconds for the authentication of a connection


class ExternalWorker:
    """A worker process that connected to this coordinator."""

    def __init__(self, connection: Connection, node: int, local: int, host: str) -> None:
        self.connection, self.node, self.local, self.host = connection, node, local, host
        self.reports, self.closed = True, False
        self.share = 1  # number of processes that share the cores of its machine

    def exit_reason(self) -> str:
        """Message for a broken connection."""
        return f"the process {self.local} of machine {self.node} ({self.host}) is gone"

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self.closed = True
        self.connection.close()

    def release(self) -> None:
        """Makes the process available to other pools."""
        external_workers.append(self)
        external_workers.sort(key=lambda worker: (worker.node, worker.local))


external_workers: list[ExternalWorker] = []  # those without work, of this process


@contextmanager
def coordinate(launcher: LauncherEnvironment) -> Iterator[None]:
    """Waits for all other processes of the command, and ends them together with this one.

    Raises:
        ValueError: some did not connect.
    """
    set_local_rank(launcher.local)
    path = _address_file(launcher)
    key = secrets.token_bytes(32)
    with Listener(("", 0), backlog=launcher.world) as listener:
        address = [host(), listener.address[1]]
        path.unlink(missing_ok=True)
        with atomic_write(path) as partial:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
            partial.write_text(json.dumps({"address": address, "key": key.hex()}), encoding="utf-8")
        try:
            _accept(listener, launcher.world - 1, key)
        finally:
            path.unlink(missing_ok=True)
    try:
        yield
    except SystemExit as end:
        _end_workers(int(end.code not in (None, 0)))
        raise
    except BaseException:
        _end_workers(1)
        raise
    _end_workers(0)


def work(launcher: LauncherEnvironment) -> int:
    """Runs jobs until the coordinator ends; returns an exit code.

    Raises:
        ValueError: the coordinator did not start.
    """
    set_local_rank(launcher.local)
    path, deadline = _address_file(launcher), time.monotonic() + STARTUP_TIMEOUT
    while True:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            connection = Client(tuple(content["address"]), authkey=bytes.fromhex(content["key"]))
            break
        except (OSError, EOFError, ValueError, AuthenticationError):  # not written yet, or a file of another start
            if time.monotonic() > deadline:
                raise ValueError(
                    f"no connection to the first of {launcher.world} processes by {path.resolve()}"
                ) from None
            time.sleep(0.1)
    _keep_alive(connection)
    send(connection, launcher.node, launcher.local, socket.gethostname(), sys.argv[1:])
    return run_jobs(connection)


def host() -> str:
    """A host name of this machine that others can resolve; 127.0.0.1 where it has none."""
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return "127.0.0.1"
    return socket.gethostname()


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _address_file(launcher: LauncherEnvironment) -> Path:
    return Path(f".smash_lightning-{launcher.name}.json")


def _accept(listener: Listener, count: int, key: bytes) -> None:
    sockets = listener._listener  # type: ignore[attr-defined]  # accepts without the handshake, which others may delay
    sockets._socket.settimeout(1.0)
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while len(external_workers) < count:
        if time.monotonic() > deadline:
            found = len(external_workers)
            raise ValueError(f"{found} of {count} further processes connected within {STARTUP_TIMEOUT:.0f} s")
        with suppress(TimeoutError, AuthenticationError, EOFError, OSError):  # unrelated or repeated connections
            connection = sockets.accept()
            _set_timeout(connection, HANDSHAKE_TIMEOUT)
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            node, local, name, arguments = receive(connection)
            _set_timeout(connection, 0)
            _keep_alive(connection)
            external_workers.append(ExternalWorker(connection, node, local, name))
            if arguments != sys.argv[1:]:
                raise ValueError(
                    f"srun or torchrun started process {local} of machine {node} with other arguments, {arguments}: "
                    "all processes work on one run, start different runs one by one"
                )
    external_workers.sort(key=lambda worker: (worker.node, worker.local))
    for worker in external_workers:
        worker.share = sum(other.node == worker.node for other in external_workers) + (worker.node == 0)


def _set_timeout(connection: Connection, seconds: int) -> None:
    """Longest time of a read; 0 for no limit."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def _keep_alive(connection: Connection) -> None:
    """Detects a lost machine, within a minute where the system has these options."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _end_workers(code: int) -> None:
    for worker in external_workers:
        with suppress(OSError):
            send(worker.connection, "end", code)
        worker.connection.close()
    external_workers.clear()
