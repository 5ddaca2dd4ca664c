"""Jobs of a sweep. One rule: a job whose result.json exists returns the value in it, any other is run or continued.

Jobs may run in other processes and on other machines than the sweep itself, so what is known of them is in files.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from smash_lightning.configuration.folders import new_folder
from smash_lightning.files import atomic_write

RESULT, ERROR = "result.json", "error.txt"
FLAGS = {"-m", "--multirun", "hydra.mode=MULTIRUN"}
NO_RUN = {"-h", "--help", "--hydra-help", "--version", "-i", "--info", "-c", "--cfg"}
FOLDER = "hydra.sweep.dir="


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended that ended well: the task, and its value where it has one."""

    task: str
    value: float | None

    def write(self, folder: Path) -> None:
        """Writes `result.json`, the last file of a run."""
        with atomic_write(folder / RESULT) as partial:
            partial.write_text(json.dumps(asdict(self), allow_nan=False) + "\n", encoding="utf-8")
        (folder / ERROR).unlink(missing_ok=True)  # of an earlier attempt

    @classmethod
    def read(cls, folder: Path) -> Result | None:
        """None where the run has not ended well, or not yet.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            return cls(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            raise ValueError(f"{folder / RESULT} does not hold a result: delete it, and the job is continued") from None


def sweep_folder(arguments: Sequence[str]) -> Path | None:
    """The folder of the sweep that a command line starts; None where it starts a single run, or none.

    Raises:
        ValueError: the folder holds a single run, or its name is an interpolation.
    """
    if not FLAGS & {*arguments} or NO_RUN & {argument.split("=")[0] for argument in arguments}:
        return None
    named = [argument.removeprefix(FOLDER) for argument in arguments if argument.startswith(FOLDER)]
    if named and "${" in named[-1]:
        raise ValueError(f"{FOLDER}{named[-1]}: name the folder without an interpolation, so that it can be continued")
    folder = Path(named[-1] if named else new_folder("multirun"))
    if (folder / "config.yaml").exists():
        raise ValueError(f"{folder} holds a single run: use another folder for a sweep")
    return folder


def with_override(arguments: Sequence[str], override: str) -> list[str]:
    """The arguments with one more override next to the first one: Hydra accepts no flag between overrides."""
    first = next((i for i, argument in enumerate(arguments) if not argument.startswith("-")), len(arguments))
    return [*arguments[:first], override, *arguments[first:]]


def export_path(package: Path) -> None:
    """Lets jobs in other processes import the package from the folder `package`, and modules of the working folder."""
    folders = [str(package), *os.environ.get("PYTHONPATH", "").split(os.pathsep), os.getcwd()]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, folders)))


def finished_value(folder: Path, is_search: bool) -> tuple[bool, float | None]:
    """Whether a job needs no further run, and its value.

    Args:
        folder: of the job.
        is_search: whether values decide which jobs come next: then a job that failed is not run again, as those after
            it were chosen without its value.
    """
    if result := Result.read(folder):
        print(f"job {folder.name} was finished before: {'no value' if result.value is None else result.value}")
        (folder / ERROR).unlink(missing_ok=True)
        return True, result.value
    failed = is_search and (folder / ERROR).exists()
    if failed:
        print(
            f"{(folder / ERROR).read_text(encoding='utf-8').strip()}. Delete {folder / ERROR} to run it again",
            file=sys.stderr,
        )
    return failed, None


def note_failure(folder: Path, overrides: Sequence[str], reason: str) -> None:
    """Prints why a job failed, and writes it into the job's folder."""
    line = f"job {folder.name} ({' '.join(overrides)}): {next(iter(reason.splitlines()), '')}"
    (folder / ERROR).write_text(f"{line}\n", encoding="utf-8")
    print(f"error: {line}", file=sys.stderr)


def problems(sweep: Path, problem: str) -> str:
    """What is printed at the end of a sweep: a line for each job that failed or did not end, and one for the sweep.

    Args:
        sweep: its folder.
        problem: what ended it; empty where it came to its end.
    """
    jobs = sorted((path for path in sweep.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    lines = [f"error: {(job / ERROR).read_text(encoding='utf-8').strip()}" for job in jobs if (job / ERROR).exists()]
    missing = [job.name for job in jobs if not (job / ERROR).exists() and not (job / RESULT).exists()]
    if missing:
        lines.append(f"error: job {', '.join(missing)} did not end; continue with the same command and {FOLDER}{sweep}")
    return "\n".join([*lines, *problem.splitlines()[:1]])
