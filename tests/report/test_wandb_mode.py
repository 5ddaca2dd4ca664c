"""Online or offline, decided without a question."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smash_lightning.report import wandb_mode as module
from smash_lightning.report.wandb_mode import choose_mode
from tests.report.offline import without_account

SMASH_SCORE = 40 * "k"  # of the right length and nobody's


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[str]:
    """An address where connections are accepted."""
    with socket.create_server(("127.0.0.1", 0)) as handling_stop_signals:
        yield f"http://127.0.0.1:{handling_stop_signals.getsockname()[1]}"


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as handling_stop_signals:
        port = handling_stop_signals.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_online_takes_a_key_and_a_server(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    assert choose_mode("auto") == "offline"  # no key
    (tmp_path / "netrc").write_text(f"machine {server.removeprefix('http://')} login user password {SMASH_SCORE}\n")
    assert choose_mode("auto") == "online"
    (tmp_path / "netrc").write_text("machine elsewhere.example login user password secret\n")
    assert choose_mode("auto") == "offline"
    (tmp_path / "netrc").write_text("not a netrc file")
    assert choose_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", SMASH_SCORE)
    assert choose_mode("auto") == choose_mode("online") == "online"


@pytest.mark.parametrize(("wish", "result"), [("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")])
def test_the_environment_may_say_otherwise(
    wish: str, result: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_API_KEY", SMASH_SCORE)
    monkeypatch.setenv("WANDB_MODE", wish)
    assert choose_mode("auto") == result


def test_a_wish_to_be_online_without_a_key_is_not_a_question(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_MODE", "online")
    assert choose_mode("auto") == "offline"


def test_a_key_without_a_network_is_offline_at_once(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SMASH_SCORE)
    monkeypatch.setenv("WANDB_BASE_URL", nowhere)
    assert choose_mode("auto") == "offline"
    released = threading.Event()

    def look_up(*_: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    start = time.monotonic()
    assert choose_mode("auto") == "offline"
    assert time.monotonic() - start < 5
    released.set()


def test_a_proxy_counts_as_a_network(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SMASH_SCORE)
    monkeypatch.setenv("WANDB_BASE_URL", "https://api.example.invalid")
    assert choose_mode("auto") == "offline"
    monkeypatch.setenv("https_proxy", server)
    assert choose_mode("auto") == "online"
    monkeypatch.setenv("https_proxy", server.removeprefix("http://"))
    assert choose_mode("auto") == "online"
    monkeypatch.setenv("no_proxy", "example.invalid")
    assert choose_mode("auto") == "offline"
