"""Jobs of a sweep. One rule: a job whose result.json exists returns the value in it, any other is run or continued.

Jobs may run in other processes and on other machines than the sweep itself, so what is known of them is in files.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from smash_lightning.files import quoted, read_object, write_text
from smash_lightning.run_folder import RunFolder, job_folders

ERROR = "error.txt"  # why a job failed


class CurrentSweep(Callback):
    """Notes the folder of the sweep that this process has started."""

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before the first job."""
        CurrentSweep.folder = Path(config.hydra.sweep.dir)


def write_result(folder: Path, task: str, value: float | None) -> None:
    """Writes `result.json`, the last file of a run that ended well; `value` is None where the task has none."""
    write_text(RunFolder(folder).result, json.dumps({"task": task, "value": value}, allow_nan=False) + "\n")
    (folder / ERROR).unlink(missing_ok=True)  # of an earlier attempt


def finished_value(folder: Path, is_search: bool) -> tuple[bool, float | None]:
    """Whether a job needs no further run, and its value.

    Args:
        folder: of the job.
        is_search: whether values decide which jobs come next: then a job that failed is not run again, as those after
            it were chosen without its value.

    Raises:
        ValueError: its `result.json` holds something else.
    """
    path, failed = RunFolder(folder).result, folder / ERROR
    if path.exists():
        try:
            value: float | None = read_object(path)["value"]
        except (KeyError, ValueError):
            raise ValueError(f"{path} does not hold a result: delete it, and the job is continued") from None
        print(f"job {folder.name} was finished before: {'no value' if value is None else value}")
        failed.unlink(missing_ok=True)
        return True, value
    if is_search and failed.exists():
        print(f"{failed.read_text(encoding='utf-8').strip()}. Delete {failed} to run it again", file=sys.stderr)
        return True, None
    return False, None


def note_failure(folder: Path, overrides: Sequence[str], reason: str) -> None:
    """Prints why a job failed, and writes it into the job's folder."""
    line = f"job {folder.name} ({' '.join(overrides)}): {next(iter(reason.splitlines()), '')}"
    (folder / ERROR).write_text(f"{line}\n", encoding="utf-8")
    print(f"error: {line}", file=sys.stderr)


def problems(sweep: Path, problem: str) -> str:
    """What is printed at the end of a sweep: a line for each job that failed or did not end, and one for the sweep."""
    jobs = job_folders(sweep)
    lines = [f"error: {(job / ERROR).read_text(encoding='utf-8').strip()}" for job in jobs if (job / ERROR).exists()]
    missing = [job.name for job in jobs if not (job / ERROR).exists() and not RunFolder(job).result.exists()]
    if missing:
        job = ", ".join(missing)
        lines.append(
            f"error: job {job} did not end; continue with the same command and {quoted('hydra.sweep.dir', sweep)}"
        )
    return "\n".join([*lines, *problem.splitlines()[:1]])
