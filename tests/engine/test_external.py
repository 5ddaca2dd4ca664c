"""Processes that srun or torchrun started connect to the first one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.engine import external, ranks
from smash_lightning.engine.launcher_environment import LauncherEnvironment, launcher_environment, require_one_sweeper

ROOT = Path(__file__).parents[2]
TEAM = """
import os, sys
from smash_lightning.engine.launcher_environment import LauncherEnvironment
from smash_lightning.engine import Pool, external
from tests.engine.team import local_index

if __name__ == "__main__":
    own = LauncherEnvironment("t", 0, int(sys.argv.pop(1)), WORLD)
    external.STARTUP_TIMEOUT = 60
    if not own.first:
        os._exit(external.work(own))
    with external.coordinate(own), Pool(local_index, "context", WORLD) as pool:
        print(*sorted(outcome for _, outcome in pool.run(list(range(4 * WORLD)))))
        print(*(outcome for _, outcome in pool.together(["a", "b"], str)))
"""
CLIENTS = """
import sys, threading
from smash_lightning.engine.launcher_environment import LauncherEnvironment
from smash_lightning.engine import external

external.run_jobs = lambda connection: external.receive(connection)[1]
codes = []
threads = [
    threading.Thread(target=lambda local=local: codes.append(external.work(LauncherEnvironment("t", 0, local, WORLD))))
    for local in range(1, WORLD)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(0 if codes == [0] * (WORLD - 1) else 1)
"""


def begin(folder: Path, program: str, world: int, *arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Starts the program once for each list of arguments."""
    (folder / "program.py").write_text(program.replace("WORLD", str(world)))
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True, "stdout": -1, "stderr": -1}
    calls = ([sys.executable, "program.py", *each] for each in arguments)
    return [subprocess.Popen(call, **options) for call in calls]  # type: ignore[call-overload]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    return [(process.returncode, *output) for process in processes for output in [process.communicate(timeout=90)]]


@pytest.mark.slow
def test_processes_connect_share_jobs_and_do_one_together(tmp_path: Path) -> None:
    found = ended(begin(tmp_path, TEAM, 3, ["0"], ["1"], ["2"]))
    assert [code for code, *_ in found] == [0] * 3, found
    several, together = found[0][1].splitlines()
    assert set(several.split()) == {"0", "1", "2"}, "each had jobs"
    assert together == "6 6"  # 1 + 2 + 3, over all of them
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"], "the address file is removed"


@pytest.mark.slow
def test_processes_of_other_arguments_are_refused(tmp_path: Path) -> None:
    found = ended(begin(tmp_path, TEAM, 2, ["0", "seed=0"], ["1", "seed=1"]))
    assert [code for code, *_ in found] == [1, 1]
    assert "other arguments, ['seed=1']" in found[0][2]


def test_many_connect_at_once_and_an_unrelated_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the default backlog of a socket, and one that connects and sends nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(external, "HANDSHAKE_TIMEOUT", 1)
    monkeypatch.setattr(external, "STARTUP_TIMEOUT", 40)
    monkeypatch.setattr(sys, "argv", ["program.py"])
    accept, unrelated = external._accept, []

    def after_an_unrelated_one(listener: Any, count: int, key: bytes) -> None:
        unrelated.append(socket.create_connection(("127.0.0.1", listener.address[1])))
        accept(listener, count, key)

    monkeypatch.setattr(external, "_accept", after_an_unrelated_one)
    helpers = begin(tmp_path, CLIENTS, 17, [])
    started = time.monotonic()
    with external.coordinate(LauncherEnvironment("t", 0, 0, 17)):
        assert [one.local for one in external.external_workers] == list(range(1, 17))
        assert {one.share for one in external.external_workers} == {17}
    assert time.monotonic() - started < 30
    assert ended(helpers)[0][0] == 0
    assert external.external_workers == []
    unrelated[0].close()


SRUN = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_ID": "0",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "2",
    "SLURM_STEP_NUM_TASKS": "8",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "MASTER_ADDR": "first",
    "MASTER_PORT": "29500",
    "GROUP_RANK": "1",
    "LOCAL_RANK": "3",
    "WORLD_SIZE": "8",
}


def test_the_launcher_environment_is_read_without_torch() -> None:
    program = "import sys, smash_lightning.engine.launcher_environment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_environments_of_launchers() -> None:
    assert launcher_environment({}) is None
    assert launcher_environment({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert launcher_environment({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None, (
        "a batch script"
    )
    srun, again = launcher_environment(SRUN), launcher_environment({**SRUN, "SLURM_RESTART_COUNT": "1"})
    assert srun is not None
    assert again is not None
    assert (srun.node, srun.local, srun.world, srun.first) == (1, 2, 8, False)
    assert srun.name != again.name
    one, two = launcher_environment(TORCHRUN), launcher_environment({**TORCHRUN, "GROUP_WORLD_SIZE": "2"})
    assert one is not None
    assert two is not None
    assert (one.node, one.local, one.world) == (1, 3, 8)
    assert socket.gethostname() in one.name, "two machines may run the same command independently"
    assert "first" in two.name
    with pytest.raises(ValueError, match="lacks SLURM_NODEID"):
        launcher_environment({key: value for key, value in SRUN.items() if key != "SLURM_NODEID"})


def test_a_sweep_by_each_of_several_processes_is_refused() -> None:
    require_one_sweeper(["-m"], {})
    require_one_sweeper(["seed=0"], SRUN)
    with pytest.raises(ValueError, match="one of 8 processes"):
        require_one_sweeper(["-m", "seed=0,1"], SRUN)


def test_with_one_visible_gpu_each_rank_is_on_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = ranks.Rank(node=1, local=2, nodes=2, per_node=4, address="first", port=1)
    names = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for gpus, expected in ((4, (1, 2, 2, 4)), (1, (6, 0, 8, 1)), (0, (1, 2, 2, 4))):
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        with ranks.distributed_environment(rank):
            own = ranks.rank()
            assert own is not None
            assert (own.node, own.local, own.nodes, own.per_node) == expected
            assert [os.environ[name] for name in names] == [str(expected[1]), str(expected[0]), "8", "first", "1"]
        assert ranks.rank() is None
        assert not set(names) & set(os.environ)
