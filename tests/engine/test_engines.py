"""What every engine promises."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import torch

from smash_lightning.engine import Cause, Engine, Local, Stopped, computation, handling_stop_signals
from smash_lightning.engine.ray_engine import Ray, _Cluster
from smash_lightning.engine.work import failure
from tests.engine.jobs import Context, Step, meet, until_requested, work

ENGINES: dict[str, type[Engine]] = {"local": Local, "ray": Ray}
NO_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(params=["local", pytest.param("ray", marks=[pytest.mark.slow, NO_RAY])])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[type[Engine]]:
    """An engine, which leaves nothing of its own: Ray Train makes a folder, whether ranks end early or not."""
    yield ENGINES[request.param]
    assert not list(Path.cwd().glob(".ray-*"))
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() or path.name.startswith(".")]


def outcomes(engine: Engine, folder: Path, jobs: list[str]) -> tuple[dict[int, Any], list[tuple[int, Any]]]:
    messages: list[tuple[int, Any]] = []
    with engine.pool(work, Context(folder), lambda index, message: messages.append((index, message))) as pool:
        return dict(pool.run(jobs)), messages


def test_two_workers_give_the_results_of_one_bit_for_bit(kind: type[Engine], tmp_path: Path) -> None:
    jobs = ["a", "sum", "bb", "sum", "threads", "ccc"]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    (one, _), (two, _) = (outcomes(kind(workers), tmp_path, jobs) for workers in (1, 2))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert torch.equal(one.pop(1), two.pop(1))
    assert torch.equal(one.pop(3), two.pop(3))
    assert one == two == {0: "A", 2: "BB", 4: 1, 5: "CCC"}


def test_results_are_in_the_order_of_jobs_of_which_the_first_takes_longest(kind: type[Engine], tmp_path: Path) -> None:
    with kind(2).pool(work, Context(tmp_path)) as pool:
        assert list(pool.ordered_results(["long", "a", "bb", "c"], str)) == ["LONG", "A", "BB", "C"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_recorded_once_and_the_others_go_on(kind: type[Engine], workers: int, tmp_path: Path) -> None:
    found, _ = outcomes(kind(workers), tmp_path, ["a", "raises", "exits", "b"])
    assert (found[0], found[3]) == ("A", "B")
    assert found[1].reason == "KeyError: 'no such thing'"
    assert "Traceback" in found[1].details
    assert "in work" in found[1].details
    assert found[2].reason == "SystemExit: enough"
    assert len(list(tmp_path.glob("raised-*"))) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_lacks_memory_is_repeated_after_the_others(kind: type[Engine], workers: int, tmp_path: Path) -> None:
    found, messages = outcomes(kind(workers, retries=1), tmp_path, ["lacks memory once", "lacks memory always", "a"])
    assert (found[0], found[2]) == ("LACKS MEMORY ONCE", "A")
    assert (found[1].cause, found[1].reason) == (Cause.MEMORY, "OutOfMemoryError: CUDA out of memory")
    assert workers == 2 or list(found) == [2, 0, 1]
    assert Counter(index for index, _ in messages) == {0: 1, 1: 1}, "each step once"
    assert "\n" not in str(found[1].exception("a job"))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), Cause.MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), Cause.MEMORY),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), Cause.MACHINE),
        (ValueError("banks of 4 channels do not fit inputs 10, memory 24"), Cause.OTHER),
        (FloatingPointError("the loss became nan"), Cause.COMPUTATION),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Cause.COMPUTATION),
        (ValueError("Expected more than 1 value per channel when training"), Cause.COMPUTATION),
    ],
)
def test_what_an_error_of_a_computation_is_caused_by(error: Exception, cause: Cause) -> None:
    if cause is Cause.OTHER:
        assert failure(error).cause is cause
        cause = Cause.COMPUTATION
    with pytest.raises(Exception) as raised, computation():  # noqa: PT011 (its cause is compared)
        raise error
    assert failure(raised.value).cause is cause


def test_messages_come_before_the_result_and_the_context_once(kind: type[Engine], tmp_path: Path) -> None:
    arrived: Counter[int] = Counter()
    pool = kind(2).pool(work, Context(tmp_path), lambda index, message: arrived.update([index]))
    with pool:
        for jobs in (["sends much"] * 3, ["sends much"] * 8):
            arrived.clear()
            for index, outcome in pool.run(jobs):
                assert (arrived[index], outcome) == (200, "SENDS MUCH")
    assert 1 <= len(list(tmp_path.glob("context-*"))) <= 2, "once for each worker"


def test_processes_listen_on_loopback_alone_and_report_no_usage(kind: type[Engine], tmp_path: Path) -> None:
    outcomes(kind(2), tmp_path, ["process"] * 4)
    processes = descendants(os.getpid())
    assert len(processes) >= 2
    assert not listening_beyond_loopback([os.getpid(), *processes])
    if kind is Ray:
        commands = {process: Path(f"/proc/{process}/cmdline").read_bytes() for process in processes}
        daemons = [process for process in processes if b"raylet/raylet" in commands[process]]
        assert daemons
        for process in daemons:
            assert b"RAY_USAGE_STATS_ENABLED=0" in Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        session = Path(_Cluster.folder)
        assert session.is_dir()
        assert not list(session.glob("usage_stats*"))


def test_what_cannot_be_pickled(kind: type[Engine], tmp_path: Path) -> None:
    found, _ = outcomes(kind(2), tmp_path, ["a", "unpicklable"])
    assert found[0] == "A"
    assert "pickle" in found[1].reason
    with pytest.raises(Exception, match="pickle"), kind(2).pool(work, Lock()) as pool:
        list(pool.run(["a"]))
    assert outcomes(kind(2), tmp_path, []) == ({}, [])


def test_a_job_whose_process_dies_is_repeated_and_no_other_is_touched(kind: type[Engine], tmp_path: Path) -> None:
    """Also where short jobs travel together."""
    jobs = ["long", "dies once", *["a"] * 60]
    jobs[30] = "always dies"
    found, messages = outcomes(kind(2, retries=1), tmp_path, jobs)
    assert "died 2 times" in found.pop(30).reason
    assert found == {index: job.upper() for index, job in enumerate(jobs) if index != 30}
    assert [message for index, message in messages if index == 1] == [Step(0), Step(1), Step(2)], "each step once"
    found, _ = outcomes(kind(2, retries=0), tmp_path, [*["a"] * 5, "always dies", *["a"] * 15])
    assert "died 1 times" in found.pop(5).reason
    assert {*found.values()} == {"A"}, "a death together with others is no attempt"


def test_processes_are_kept_for_the_next_pool(kind: type[Engine], tmp_path: Path) -> None:
    first: set[int] = set()
    while len(first) < 2:
        found, _ = outcomes(kind(2), tmp_path, ["process"] * 4)
        first |= {*found.values()}
    again, _ = outcomes(kind(2), tmp_path, ["process"] * 4)
    assert {*again.values()} == first
    with pytest.raises(RuntimeError, match="no such thing"), kind(2).pool(work, Context(tmp_path)) as pool:
        list(pool.results(["a", "raises"], str))
    others, _ = outcomes(kind(2), tmp_path, ["process"] * 4)
    assert not {*others.values()} & first, "after a failure none is kept"


def test_a_process_that_dies_without_a_job_is_replaced(kind: type[Engine], tmp_path: Path) -> None:
    first, _ = outcomes(kind(2), tmp_path, ["process"] * 4)
    for process in {*first.values()}:
        os.kill(process, signal.SIGKILL)
    found, _ = outcomes(kind(2, retries=0), tmp_path, ["a", "process"])
    assert found[0] == "A"
    assert found[1] not in first.values()


class EndsItsReader:
    """Ends the process that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_processes_that_never_start_are_an_error(kind: type[Engine], tmp_path: Path) -> None:
    engine = kind(2, retries=0)
    # Neither is a number of threads that an option can have.
    object.__setattr__(engine, "threads", EndsItsReader() if kind is Local else 2**40)
    with pytest.raises(RuntimeError, match="3 processes in a row died at their start"):
        outcomes(engine, tmp_path, "abcd")
    with pytest.raises(RuntimeError, match="the job: "), engine.pool(meet, tmp_path) as pool:
        list(pool.together(["a", "b"], lambda index: "the job"))
    assert outcomes(kind(2), tmp_path, ["a"])[0] == {0: "A"}


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGUSR1)])
def test_after_a_request_to_stop_jobs_save(kind: type[Engine], workers: int, number: int, tmp_path: Path) -> None:
    jobs = ["short", "long", "never started"] if workers == 1 else ["short", "long", "last", "never started"]
    started: list[int] = []

    def receive(index: int, message: Any) -> None:
        started.append(index)
        if len(started) == workers + 1:
            others = descendants(os.getpid()) if number == signal.SIGTERM else []  # a scheduler sends it to all
            for process in (*others, os.getpid()):
                os.kill(process, number)

    found = {}
    with handling_stop_signals(), kind(workers).pool(until_requested, tmp_path, receive) as pool:
        ended = pool.run(jobs)
        with pytest.raises(Stopped):
            found.update(next(ended) for _ in jobs)
    assert found == ({0: "done"} if workers == 1 else {0: "done", 2: "done after all"})
    assert [path.name for path in tmp_path.iterdir()] == ["long"]
    assert sorted(started) == list(range(workers + 1))


def test_ranks_do_each_job_together_and_one_that_dies_is_repeated(kind: type[Engine], tmp_path: Path) -> None:
    messages: list[tuple[int, Any]] = []
    with kind(2).pool(meet, tmp_path, lambda index, message: messages.append((index, message))) as pool:
        found = list(pool.together(["a", "dies once", "b"], str))
    assert [(index, total) for index, (total, _) in found] == [(0, 30.0), (1, 30.0), (2, 30.0)]
    assert messages == [(0, 0), (1, 0), (1, 0), (2, 0)], "those of rank 0"


@pytest.mark.parametrize(("job", "message"), [("raises", "process 1: KeyError"), ("always dies", "died 1 times")])
def test_a_rank_that_fails_ends_the_job_for_all(kind: type[Engine], job: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"the job: .*{message}"), kind(2, retries=0).pool(meet, tmp_path) as pool:
        list(pool.together([job], lambda index: "the job"))
    assert len(list(tmp_path.glob("raised-*"))) == (job == "raises")


def test_ranks_save_after_a_request_to_stop(kind: type[Engine], tmp_path: Path) -> None:
    def receive(index: int, message: Any) -> None:
        if message == "started":
            os.kill(os.getpid(), signal.SIGTERM)

    with handling_stop_signals(), pytest.raises(Stopped), kind(2).pool(meet, tmp_path, receive) as pool:
        list(pool.together(["long", "never started"], str))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved by 0", "saved by 1"]


DRIVER = """
import sys
from pathlib import Path
from tests.engine.jobs import sleep_forever
from tests.engine.test_engines import ENGINES
if __name__ == "__main__":
    with ENGINES[sys.argv[1]](2).pool(sleep_forever, Path.cwd()) as pool:
        list(pool.run(["a", "b"]))
"""


def test_workers_end_with_the_process_that_started_them(kind: type[Engine], tmp_path: Path) -> None:
    command = driver("driver.py", DRIVER, tmp_path, kind.__name__.lower())
    deadline = time.monotonic() + 100
    while len(names := [path.name for path in tmp_path.glob("*-*")]) < 2 and time.monotonic() < deadline:
        assert command.poll() is None
        time.sleep(0.1)
    command.kill()
    command.wait()
    workers = [int(name.split("-")[1]) for name in names]
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


NODES = """
import json
import os
from pathlib import Path
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}  # on loopback, without a token
import ray
from ray.cluster_utils import Cluster
from smash_lightning.engine.ray_engine import Ray
from tests.engine.jobs import until_nodes
if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    first, second = (cluster.add_node(num_cpus=1) for _ in range(2))
    started = []

    def receive(index, node):
        started.append(node)
        if len(started) == 2:
            cluster.remove_node(first, allow_graceful=False)
            third.append(cluster.add_node(num_cpus=1).node_id)

    third = []
    with Ray(2, retries=1, address=cluster.address).pool(until_nodes, Path.cwd(), receive) as pool:
        found = dict(pool.run(["3", "3", "1", "1"]))
    nodes = {"first": first.node_id, "second": second.node_id, "third": third, "found": found}
    Path("nodes.json").write_text(json.dumps(nodes))
    ray.shutdown()  # before the cluster, whose end would end this process with an error
"""


@pytest.mark.slow
@NO_RAY
def test_jobs_of_a_lost_node_are_repeated_on_one_that_comes_later(tmp_path: Path) -> None:
    assert driver("nodes.py", NODES, tmp_path).wait(200) == 0
    nodes = json.loads((tmp_path / "nodes.json").read_text())
    places = nodes["found"]
    assert len(places) == 4
    assert nodes["first"] not in places.values()
    assert {places["0"], places["1"]} == {nodes["second"], *nodes["third"]}, "the lost job was repeated on the third"


def driver(name: str, text: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A process in a folder, of a program that imports these tests."""
    (folder / name).write_text(text)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    return subprocess.Popen([sys.executable, name, *arguments], cwd=folder, env=environment)


def descendants(process: int) -> list[int]:
    """All processes below a process."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                found += [int(path.parent.name), *descendants(int(path.parent.name))]
    return found


LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")  # as in /proc/net


def listening_beyond_loopback(processes: list[int]) -> list[str]:
    """The lines of /proc/net of sockets on which processes listen and which other machines reach."""
    sockets = set()
    for process in processes:
        with suppress(OSError):
            sockets |= {os.readlink(path) for path in Path(f"/proc/{process}/fd").iterdir()}
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return [
        line
        for line in lines
        if (fields := line.split())[3] == "0A"
        and f"socket:[{fields[9]}]" in sockets
        and fields[1].split(":")[0] not in LOOPBACK
    ]


def alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
