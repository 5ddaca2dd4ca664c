"""The jobs of a sweep, as a sweep that is continued finds them: what each returned, and which failed.

Jobs may run in other processes and on other machines than the sweep itself; what they say to it are files.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from smash_lightning.evaluation.sweep import leaves
from smash_lightning.files import atomic_write
from smash_lightning.run_folder import RunFolder, job_folders

EARLIER = "sweep.yaml"  # what a sweep was asked to do
PLACES = ("root", "cache", "download")  # of a data set, which may move; that it is the same one is checked elsewhere


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended, if it ended well: its task, and the task's figure where it has one."""

    task: str
    value: float | None

    def write(self, path: Path) -> None:
        """Writes `result.json`."""
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(asdict(self), allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Result | None:
        """What stands there; None where the run did not end well, or not yet.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            raise ValueError(f"{path} does not hold a result: delete it, and the job is continued") from None


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a sweep.

    Args:
        number: its place among the jobs, from 0.
        overrides: what it is asked to do.
        folder: its own.
        sweep: the folder of the sweep.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    sweep: Path

    def continues(self, config: Mapping[str, Any], excepted: Iterable[str]) -> bool:
        """Whether its folder holds a run already, which must be of the same configuration; see `require_same`.

        Raises:
            ValueError: it is another, or the job is to resume a run in another folder.
        """
        if config["resume"]:
            raise ValueError(
                f"resume={config['resume']} continues a single run; a sweep is continued by hydra.sweep.dir=FOLDER"
            )
        earlier = RunFolder(self.folder).read_config()
        if earlier:
            require_same(earlier, config, self.folder, excepted)
        return bool(earlier)

    def finished(self) -> Result | None:
        """How it ended before, if it ended well; tells so."""
        result = Result.read(self.folder / "result.json")
        if result:
            print(f"job {self.number} was finished before: {'no figure' if result.value is None else result.value}")
        return result

    def failed(self) -> bool:
        """Whether it failed before; tells so."""
        path = _note(self.sweep, self.number)
        if path.exists():
            print(f"{_told(path)}. It failed before; delete {path} to try it again", file=sys.stderr)
        return path.exists()

    def fail(self, reason: str) -> None:
        """Tells that it failed, and notes it for the sweep."""
        path = _note(self.sweep, self.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(f"job {self.number} ({' '.join(self.overrides)}): {reason}\n")
        print(f"error: {_told(path)}", file=sys.stderr)


def require_same_sweep(sweep: Path, overrides: Iterable[str], excepted: Iterable[str]) -> None:
    """Checks that a sweep's folder, if it is there, holds the sweep of the same overrides: jobs are known by number.

    Raises:
        ValueError: it holds another sweep, or a single run.
    """
    if (sweep / "config.yaml").exists():
        raise ValueError(f"{sweep} holds a single run: use another folder for a sweep")
    if not (sweep / EARLIER).exists():
        return
    earlier = yaml.safe_load((sweep / EARLIER).read_text())
    kept = [{each for each in side if not _may_differ(each.split("=")[0], excepted)} for side in (earlier, overrides)]
    if kept[0] != kept[1]:
        missing, new = (", ".join(sorted(a - b)) or "nothing" for a, b in (kept, kept[::-1]))
        raise ValueError(
            f"{sweep} holds another sweep, with {missing} instead of {new}: continue it with the same, or use another "
            "folder, as its jobs are known by their numbers"
        )


def remember_sweep(sweep: Path, overrides: Iterable[str]) -> None:
    """Notes what a sweep was asked to do."""
    sweep.mkdir(parents=True, exist_ok=True)
    with atomic_write(sweep / EARLIER) as partial:
        partial.write_text(yaml.safe_dump(list(overrides)))


def failures(sweep: Path) -> list[str]:
    """What is to be told of each failed job of a sweep, by number."""
    numbers = sorted(int(path.stem) for path in _notes(sweep).glob("*.txt"))
    return [_told(_note(sweep, number)) for number in numbers]


def unended(sweep: Path) -> list[str]:
    """The numbers of jobs that began, and neither ended well nor failed: they run, or something ended them."""
    begun = [int(folder.name) for folder in job_folders(sweep) if not (folder / "result.json").exists()]
    return [str(number) for number in begun if not _note(sweep, number).exists()]


def troubles(sweep: Path, error: str) -> list[str]:
    """What is to be told at the end of a sweep: a line for each failed job, and one for what ended the sweep.

    Args:
        sweep: its folder.
        error: what ended it; its first line is told. Empty where it came to its end.
    """
    lines = error.splitlines()[:1]
    if lines and (numbers := unended(sweep)):
        lines[0] += f" Not ended: job {', '.join(numbers)}; continue with hydra.sweep.dir={sweep}"
    return [*failures(sweep), *lines]


def forget_failures(sweep: Path) -> None:
    """Lets the failed jobs of a sweep be tried again."""
    shutil.rmtree(_notes(sweep), ignore_errors=True)


def _notes(sweep: Path) -> Path:
    return sweep / "failed"


def _note(sweep: Path, number: int) -> Path:
    return _notes(sweep) / f"{number}.txt"


def _told(path: Path) -> str:
    return path.read_text().splitlines()[0]


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, excepted: Iterable[str]) -> None:
    """Checks that the run in `folder` had the same configuration.

    Args:
        before: its configuration, as plain values.
        now: the configuration now.
        folder: names the run in the message.
        excepted: dotted names of values and sections that may differ; the place of a data set always may.

    Raises:
        ValueError: values differ; the message names the first of them.
    """
    earlier, later = leaves(before), leaves(now)
    differing = [
        f"{name} was {earlier.get(name, 'absent')}, now {later.get(name, 'absent')}"
        for name in {**earlier, **later}
        if earlier.get(name) != later.get(name) and not _may_differ(name, excepted)
    ]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(
            f"{folder} was run with other values: {'; '.join(differing[:3])}{more}. "
            "Continue it with the same, or start anew in another folder"
        )


def _may_differ(name: str, excepted: Iterable[str]) -> bool:
    group, _, rest = name.partition(".")
    if group == "dataset" and rest.split(".")[-1] in PLACES:
        return True
    return any(name == other or name.startswith(f"{other}.") for other in excepted)
