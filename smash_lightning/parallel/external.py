"""Processes that srun or torchrun began, on one machine or several: the first gives out work, the others take it.

They meet by a file in the folder that the command was started in. It says where the first one listens, and holds a key
that only this user can read.
"""

from __future__ import annotations

import json
import os
import pickle
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from smash_lightning.files import replacing
from smash_lightning.launched import Launched
from smash_lightning.parallel.place import settle
from smash_lightning.parallel.worker import work

PATIENCE = 600.0  # seconds for all processes to start


class Joined:
    """A process that joined this one, seen from here."""

    def __init__(self, connection: Connection, node: int, local: int, host: str) -> None:
        self.connection, self.node, self.local, self.host = connection, node, local, host
        self.speaks, self.gone = True, False

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
    settle(place.local)
    path = _meeting(place)
    key = secrets.token_bytes(32)
    with Listener(("", 0), authkey=key) as listener:
        address = [host(), listener.address[1]]
        path.unlink(missing_ok=True)
        with replacing(path) as partial:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
            partial.write_text(json.dumps({"address": address, "key": key.hex()}))
        try:
            _accept(listener, place.world - 1)
        finally:
            path.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        _dismiss(1)
        raise
    _dismiss(0)


def serve(place: Launched) -> int:
    """Takes work until the first process ends; returns an exit code.

    Raises:
        ValueError: the first process did not come.
    """
    settle(place.local)
    path, deadline = _meeting(place), time.monotonic() + PATIENCE
    while True:
        try:
            met = json.loads(path.read_text())
            connection = Client(tuple(met["address"]), authkey=bytes.fromhex(met["key"]))
            break
        except (OSError, EOFError):  # not there yet, or left over from one that was killed
            if time.monotonic() > deadline:
                raise ValueError(f"the first of {place.world} processes was not met by {path.resolve()}") from None
            time.sleep(0.1)
    _keep_alive(connection)
    connection.send((place.node, place.local, socket.gethostname()))
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


def _accept(listener: Listener, count: int) -> None:
    listener._listener._socket.settimeout(PATIENCE)  # type: ignore[attr-defined]  # it offers no way of its own
    while len(joined) < count:
        try:
            connection = listener.accept()
            joined.append(Joined(connection, *connection.recv()))
        except TimeoutError:
            raise ValueError(f"{len(joined)} of {count} further processes came within {PATIENCE:.0f} s") from None
        except (AuthenticationError, EOFError, ConnectionError):
            continue  # a stranger, or one that comes again
        _keep_alive(connection)
    joined.sort(key=lambda one: (one.node, one.local))


def _keep_alive(connection: Connection) -> None:
    """Lets a machine that vanishes be noticed, in time, by the other."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _dismiss(code: int) -> None:
    for one in joined:
        with suppress(OSError):
            one.connection.send_bytes(pickle.dumps(("end", code)))
        one.connection.close()
    joined.clear()
