"""A sweep's folder: its jobs, in numbered folders, and the options of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smash_lightning.run_folder import RunFolder, job_folders


@dataclass(frozen=True, slots=True)
class SweepJob:
    """One job of a sweep, or a run."""

    folder: Path  # its numbered folder
    config: Mapping[str, Any]  # its configuration as plain values; empty where the job was not started
    options: Mapping[str, float | str]  # its values of the command line, by option: a number where the text is one

    @property
    def name(self) -> str:
        """Its number as text."""
        return self.folder.name


def read_jobs(folder: Path) -> list[SweepJob]:
    """The jobs of a sweep, by number.

    Raises:
        ValueError: the folder is not there or holds none, or a configuration cannot be read.
    """
    jobs = [read_job(path) for path in job_folders(folder)]
    if not jobs:
        raise ValueError(f"{folder} is no sweep: it holds no numbered folders, as python run.py -m makes them")
    return jobs


def read_job(folder: Path) -> SweepJob:
    """A job of a sweep, or a run; raises ValueError where its configuration cannot be read."""
    config = RunFolder(folder).read_config()
    return SweepJob(folder, config, _options(config))


def varied(jobs: Sequence[SweepJob]) -> list[str]:
    """The options in which jobs differ, in the order in which they were given; what a job lacks is a difference."""
    names = dict.fromkeys(name for job in jobs for name in job.options)
    return [name for name in names if len({job.options.get(name) for job in jobs}) > 1]


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """The values of a nested section by their dotted names."""
    if not isinstance(value, Mapping):
        return {name: value}
    parts = [leaves(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}


def _options(config: Mapping[str, Any]) -> dict[str, float | str]:
    """The later of two overrides of one option counts, as in Hydra; options of Hydra itself are left out."""
    found: dict[str, float | str] = {}
    for override in config.get("overrides") or ():
        name, _, value = str(override).lstrip("+~").partition("=")
        if not name.startswith("hydra"):
            found[name] = _value(value)
    return found


def _value(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
