"""Whether W&B is used online or offline: an API key, and a server that accepts connections."""

from __future__ import annotations

import netrc
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import wandb

MODES = ("auto", "online", "offline", "disabled")
SECONDS = 2.0  # within which a server has to answer; W&B itself would wait for minutes


def choose_mode(mode: str) -> str:
    """The mode that `auto` means here, decided within seconds; others are kept.

    Raises:
        ValueError: an unknown mode, or online without an API key.
    """
    if mode not in MODES:
        raise ValueError(f"logger.wandb.mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode == "online" and not has_key():
        raise ValueError("W&B online needs an API key: run `wandb login`, set WANDB_API_KEY, or use the mode auto")
    if mode != "auto":
        return mode
    requested = os.environ.get("WANDB_MODE", "online")
    if requested == "disabled":
        return requested
    online = requested not in ("offline", "dryrun") and has_key() and _answers(_server())
    return "online" if online else "offline"


def has_key() -> bool:
    """Whether an API key is in the environment (WANDB_API_KEY) or in .netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    with suppress(OSError, netrc.NetrcParseError):
        return bool({urlsplit(_server()).netloc, "api.wandb.ai"} & netrc.netrc(path).hosts.keys())
    return False


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url


def _answers(url: str) -> bool:
    """Whether the server, or the proxy before it, accepts a connection in time, name look-up included."""
    server = urlsplit(url)
    proxy = "" if proxy_bypass(server.hostname or "") else getproxies().get(server.scheme, "")
    target = urlsplit(proxy if "://" in proxy else f"//{proxy}") if proxy else server
    address = (target.hostname, target.port or (80 if target.scheme == "http" else 443))
    connected = threading.Event()

    def connect() -> None:
        with suppress(OSError), socket.create_connection(address, SECONDS):
            connected.set()

    thread = threading.Thread(target=connect, daemon=True)  # a look-up of a name cannot be given a time limit
    thread.start()
    thread.join(SECONDS)
    return connected.is_set()
