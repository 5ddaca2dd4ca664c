"""Whole commands by Ray: stopped and continued, and two of them that share one cluster."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from smash_lightning.checkpoint import load_checkpoint
from tests.command_line import end, process, smash, wait_for
from tests.engine.test_engines import NO_RAY, descendants, listening_beyond_loopback

SEARCH = [
    *("task=search", "logger=none", "search_space.max_ops=4", "search.hypernets=2", "search.epochs=8"),
    *("search.checkpoint_every=1", "ranking.fixed=2", "ranking.fixed_every=2"),
]
pytestmark = [pytest.mark.slow, NO_RAY]


def same_hypernets(one: Path, other: Path) -> None:
    """Both folders have the same two HyperNets, bit for bit."""
    for name in ("hypernet0.ckpt", "hypernet1.ckpt"):
        mine, its = (load_checkpoint(folder / "checkpoints" / name, "smash") for folder in (one, other))
        assert mine["smash"]["finished"]
        assert mine["smash"]["drawn"] == its["smash"]["drawn"]
        assert mine["state_dict"].keys() == its["state_dict"].keys()
        assert all(torch.equal(tensor, its["state_dict"][key]) for key, tensor in mine["state_dict"].items())


def test_a_command_that_is_stopped_ends_in_the_bits_of_an_undisturbed_one(tmp_path: Path) -> None:
    first = process(tmp_path, *SEARCH, "engine=ray", "workers=2", "hydra.run.dir=run")
    wait_for(lambda: list((tmp_path / "run" / "checkpoints").glob("*.ckpt")), first)
    os.killpg(first.pid, signal.SIGTERM)  # as a scheduler does, which sends it to all processes
    code, _, error = end(first)
    assert (code, error.splitlines()[-1]) == (1, f"stopped; continue with resume={tmp_path / 'run'}")
    assert not (tmp_path / "run" / "result.json").exists()
    code, _, error = end(process(tmp_path, "resume=run"))
    assert code == 0, error
    assert smash(tmp_path, *SEARCH, "workers=1", "hydra.run.dir=undisturbed").well
    same_hypernets(tmp_path / "run", tmp_path / "undisturbed")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A cluster of two cores, as docs/howto/cluster.md starts it: its address, and the process that holds it."""
    (tmp_path / "token").write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    address = f"127.0.0.1:{find_free_network_port()}"
    options = ["--head", "--block", "--node-ip-address=127.0.0.1", f"--port={address.split(':')[1]}", "--num-cpus=2"]
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:  # a path of a socket is short
        options += ["--disable-usage-stats", "--include-dashboard=false", f"--temp-dir={folder}"]
        call = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
        head = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield address, head.pid
        head.terminate()
        head.wait(60)


def test_jobs_of_a_sweep_share_a_cluster_that_only_this_machine_reaches(
    cluster: tuple[str, int], tmp_path: Path
) -> None:
    address, head = cluster
    sweep = ["-m", *SEARCH, "search.epochs=2", "seed=0,1", "workers=1"]
    by_ray = [*sweep, "hydra/launcher=gpus", "hydra.launcher.n_jobs=2", "engine=ray", f"engine.address={address}"]
    command = process(tmp_path, *by_ray, "hydra.sweep.dir=ray")
    wait_for(lambda: len(list((tmp_path / "ray").glob("*/checkpoints/*.ckpt"))) == 2, command)
    processes = [head, *descendants(head), command.pid, *descendants(command.pid)]
    assert sum(b"ray::Actor" in Path(f"/proc/{each}/cmdline").read_bytes() for each in processes) == 2
    assert not listening_beyond_loopback(processes)
    code, _, error = end(command)
    assert code == 0, error
    assert smash(tmp_path, *sweep, "hydra.sweep.dir=local").well
    for job in "01":
        same_hypernets(tmp_path / "ray" / job, tmp_path / "local" / job)
