"""Processes that something else began meet, and are one team."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.engine import external, ranks as place
from smash_lightning.launched import Launched, launched, require_one_sweeper

ROOT = Path(__file__).parents[2]
TEAM = """
import os, sys
from smash_lightning.launched import Launched
from smash_lightning.engine import Pool, external
from tests.engine.team import who

if __name__ == "__main__":
    own = Launched("t", 0, int(sys.argv.pop(1)), WORLD)
    external.PATIENCE = 60
    if not own.first:
        os._exit(external.serve(own))
    with external.leading(own), Pool(who, "context", WORLD) as pool:
        print(*sorted(outcome for _, outcome in pool.run(list(range(4 * WORLD)))))
        print(*(outcome for _, outcome in pool.together(["a", "b"], str)))
"""
CLIENTS = """
import sys, threading
from smash_lightning.launched import Launched
from smash_lightning.engine import external

external.work = lambda connection: external.receive(connection)[1]
codes = []
threads = [
    threading.Thread(target=lambda local=local: codes.append(external.serve(Launched("t", 0, local, WORLD))))
    for local in range(1, WORLD)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(0 if codes == [0] * (WORLD - 1) else 1)
"""


def begin(folder: Path, program: str, world: int, *arguments: list[str]) -> list[subprocess.Popen[str]]:
    """The program once for each list of arguments."""
    (folder / "program.py").write_text(program.replace("WORLD", str(world)))
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True, "stdout": -1, "stderr": -1}
    calls = ([sys.executable, "program.py", *each] for each in arguments)
    return [subprocess.Popen(call, **options) for call in calls]  # type: ignore[call-overload]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    return [(process.returncode, *told) for process in processes for told in [process.communicate(timeout=90)]]


@pytest.mark.slow
def test_they_meet_share_out_jobs_and_do_one_together(tmp_path: Path) -> None:
    found = ended(begin(tmp_path, TEAM, 3, ["0"], ["1"], ["2"]))
    assert [code for code, *_ in found] == [0] * 3, found
    several, together = found[0][1].splitlines()
    assert set(several.split()) == {"0", "1", "2"}, "each had jobs"
    assert together == "6 6"  # 1 + 2 + 3, over all of them
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"], "nothing is left of how they met"


@pytest.mark.slow
def test_other_arguments_are_no_team(tmp_path: Path) -> None:
    found = ended(begin(tmp_path, TEAM, 2, ["0", "seed=0"], ["1", "seed=1"]))
    assert [code for code, *_ in found] == [1, 1]
    assert "other arguments, ['seed=1']" in found[0][2]


def test_many_come_at_once_and_a_stranger_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a socket keeps waiting by default, and one that connects and says nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(external, "HANDSHAKE", 1)
    monkeypatch.setattr(external, "PATIENCE", 40)
    monkeypatch.setattr(sys, "argv", ["program.py"])
    accept, strangers = external._accept, []

    def after_a_stranger(listener: Any, count: int, key: bytes) -> None:
        strangers.append(socket.create_connection(("127.0.0.1", listener.address[1])))
        accept(listener, count, key)

    monkeypatch.setattr(external, "_accept", after_a_stranger)
    helpers = begin(tmp_path, CLIENTS, 17, [])
    started = time.monotonic()
    with external.leading(Launched("t", 0, 0, 17)):
        assert [one.local for one in external.joined] == list(range(1, 17))
        assert {one.share for one in external.joined} == {17}
    assert time.monotonic() - started < 30
    assert ended(helpers)[0][0] == 0
    assert external.joined == []
    strangers[0].close()


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


def test_what_the_environment_says() -> None:
    assert launched({}) is None
    assert launched({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert launched({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None, "a batch script"
    srun, again = launched(SRUN), launched({**SRUN, "SLURM_RESTART_COUNT": "1"})
    assert srun is not None
    assert again is not None
    assert (srun.node, srun.local, srun.world, srun.first) == (1, 2, 8, False)
    assert srun.name != again.name
    one, two = launched(TORCHRUN), launched({**TORCHRUN, "GROUP_WORLD_SIZE": "2"})
    assert one is not None
    assert two is not None
    assert (one.node, one.local, one.world) == (1, 3, 8)
    assert socket.gethostname() in one.name, "two machines may run the same command for themselves"
    assert "first" in two.name
    with pytest.raises(ValueError, match="lacks SLURM_NODEID"):
        launched({key: value for key, value in SRUN.items() if key != "SLURM_NODEID"})


def test_each_of_several_would_sweep() -> None:
    require_one_sweeper(["-m"], {})
    require_one_sweeper(["seed=0"], SRUN)
    with pytest.raises(ValueError, match="one of 8 processes"):
        require_one_sweeper(["-m", "seed=0,1"], SRUN)


def test_a_gpu_that_is_shown_alone_is_a_machine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = place.Rank(node=1, local=2, nodes=2, per_node=4, address="first", port=1)
    names = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for gpus, expected in ((4, (1, 2, 2, 4)), (1, (6, 0, 8, 1)), (0, (1, 2, 2, 4))):
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        with place.distributed_environment(rank):
            own = place.rank()
            assert own is not None
            assert (own.node, own.local, own.nodes, own.per_node) == expected
            assert [os.environ[name] for name in names] == [str(expected[1]), str(expected[0]), "8", "first", "1"]
        assert place.rank() is None
        assert not set(names) & set(os.environ)
