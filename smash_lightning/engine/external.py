"""Processes that srun or torchrun began, on one machine or several: the first gives out work, the others take it.

They meet by a file in the folder that the command was started in. It says where the first one listens, and holds a key
that only this user can read.
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

from smash_lightning.engine.ranks import set_local_rank
from smash_lightning.engine.worker import receive, send, work
from smash_lightning.files import atomic_write
from smash_lightning.launched import Launched

PATIENCE = 600.0  # seconds for all processes to start
HANDSHAKE = 10  # seconds for one that connects to show that it belongs here


class Joined:
    """A process that joined this one, seen from here."""

    def __init__(self, connection: Connection, node: int, local: int, host: str) -> None:
        self.connection, self.node, self.local, self.host = connection, node, local, host
        self.speaks, self.gone = True, False
        self.share = 1  # of how many processes that share its machine's cores it is one

    def how_it_died(self) -> str:
        """What can be said once its connection broke."""
        return f"the process {self.local} of machine {self.node} ({self.host}) is gone"

    def stop(self) -> None:
        """Ends it, whatever it is doing."""
        self.gone = True
        self.connection.close()

    def release(self) -> None:
        """Lets it wait for other work."""
        joined.append(self)
        joined.sort(key=lambda one: (one.node, one.local))


joined: list[Joined] = []  # those without work now; a fact about this process, and of no experiment


@contextmanager
def leading(place: Launched) -> Iterator[None]:
    """Waits for all other processes of the command, and lets them end with this one.

    Raises:
        ValueError: they did not all come.
    """
    set_local_rank(place.local)
    path = _meeting(place)
    key = secrets.token_bytes(32)
    with Listener(("", 0), backlog=place.world) as listener:
        address = [host(), listener.address[1]]
        path.unlink(missing_ok=True)
        with atomic_write(path) as partial:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
            partial.write_text(json.dumps({"address": address, "smash_score": key.hex()}))
        try:
            _accept(listener, place.world - 1, key)
        finally:
            path.unlink(missing_ok=True)
    try:
        yield
    except SystemExit as end:
        _dismiss(int(end.code not in (None, 0)))
        raise
    except BaseException:
        _dismiss(1)
        raise
    _dismiss(0)


def serve(place: Launched) -> int:
    """Takes work until the first process ends; returns an exit code.

    Raises:
        ValueError: the first process did not come.
    """
    set_local_rank(place.local)
    path, deadline = _meeting(place), time.monotonic() + PATIENCE
    while True:
        try:
            met = json.loads(path.read_text())
            connection = Client(tuple(met["address"]), authkey=bytes.fromhex(met["smash_score"]))
            break
        except (OSError, EOFError, ValueError, AuthenticationError):  # not there yet, or left over from another start
            if time.monotonic() > deadline:
                raise ValueError(f"the first of {place.world} processes was not met by {path.resolve()}") from None
            time.sleep(0.1)
    _keep_alive(connection)
    send(connection, place.node, place.local, socket.gethostname(), sys.argv[1:])
    return work(connection)


def host() -> str:
    """A name by which this machine is found from others, or from itself alone where it has none."""
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return "127.0.0.1"
    return socket.gethostname()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _meeting(place: Launched) -> Path:
    return Path(f".smash_lightning-{place.name}.json")


def _accept(listener: Listener, count: int, key: bytes) -> None:
    sockets = listener._listener  # type: ignore[attr-defined]  # accepts without the handshake, which a stranger may delay
    sockets._socket.settimeout(1.0)
    deadline = time.monotonic() + PATIENCE
    while len(joined) < count:
        if time.monotonic() > deadline:
            raise ValueError(f"{len(joined)} of {count} further processes came within {PATIENCE:.0f} s")
        with suppress(TimeoutError, AuthenticationError, EOFError, OSError):  # of a stranger, or one that comes again
            connection = sockets.accept()
            _limit(connection, HANDSHAKE)
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            node, local, name, arguments = receive(connection)
            _limit(connection, 0)
            _keep_alive(connection)
            joined.append(Joined(connection, node, local, name))
            if arguments != sys.argv[1:]:
                raise ValueError(
                    f"srun or torchrun began process {local} of machine {node} with other arguments, {arguments}: "
                    "all are to work on one run, begin runs of their own one by one"
                )
    joined.sort(key=lambda one: (one.node, one.local))
    for one in joined:
        one.share = sum(other.node == one.node for other in joined) + (one.node == 0)


def _limit(connection: Connection, seconds: int) -> None:
    """How long a read may take; 0 is for ever."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def _keep_alive(connection: Connection) -> None:
    """Lets a machine that vanishes be noticed by the other, in a minute where the system allows to say so."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _dismiss(code: int) -> None:
    for one in joined:
        with suppress(OSError):
            send(one.connection, "end", code)
        one.connection.close()
    joined.clear()
