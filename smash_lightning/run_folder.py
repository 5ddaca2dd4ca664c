"""The files of a run folder: their names, the architectures, and the run that a run builds on.

A run that builds on another one records that folder as `source_run` in its config.yaml.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.files import named, parse, read_object, read_text, write_text

CONFIG = "config.yaml"
NAMED = '{"name":'  # begins the line of a given architecture in architectures.jsonl
PER_HYPERNET = re.compile(r"val_loss_\d+")  # columns of ranking.csv, one for each HyperNet


class Architectures(dict[str, Architecture]):
    """Architectures by fingerprint, of a file that is named where one is missing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __missing__(self, name: str) -> Architecture:
        raise ValueError(f"{self.path} lacks architecture {name}, which a table of this run has: restore the file")


class _WithoutAliases(yaml.SafeLoader):
    """Refuses aliases, which no run writes, and by which a short file can expand to any number of values."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has a YAML alias, which no run writes")
        return super().compose_node(parent, index)


class File:
    """An attribute of `RunFolder`: the path of a file in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: "RunFolder", owner: type["RunFolder"]) -> Path:
        return folder.path / self.name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run and the paths of its files."""

    path: Path

    config = File(CONFIG)  # the resolved configuration
    data = File("data.json")  # name, sizes, classes and notes of the data set
    checkpoints = File("checkpoints")  # folder of HyperNets and retrained networks
    architectures = File("architectures.jsonl")  # fingerprint and JSON of each scored or given architecture
    ranking = File("ranking.csv")  # a row per scored architecture, best first once the ranking is complete
    ranking_state = File("checkpoints/ranking.pt")  # from which an interrupted ranking continues
    race_state = File("checkpoints/race.pt")  # from which an interrupted race of candidates continues
    settling = File("settling.csv")  # losses of the held-out architectures during the search
    retrained = File("retrained.csv")  # a row per standalone training
    training_history = File("training_history.csv")  # training loss of every epoch of every standalone training
    baselines = File("baselines.csv")  # a row per architecture and baseline; missing where none was computed
    ground_truths = File("ground_truths.csv")  # a row per trained architecture with all that is known of it
    calibration = File("calibration.json")  # how well what is known predicts together
    correlation = File("correlation.json")  # all coefficients, and the verdict as data
    report = File("report.html")  # the page that shows the run
    result = File("result.json")  # the task and its value; missing until the run has finished

    def hypernet(self, index: int, name: str = "hypernet") -> Path:
        """Checkpoint of a HyperNet, or of another source of weights with a name of its own."""
        return self.checkpoints / f"{name}{index}.ckpt"

    def hypernets(self) -> list[Path]:
        """Checkpoints of this run's own HyperNets that exist, by index."""
        return sorted(self.checkpoints.glob("hypernet*.ckpt"), key=lambda path: (len(path.name), path.name))

    def network(self, fingerprint: str, seed: int) -> Path:
        """Checkpoint of a retrained network."""
        return self.checkpoints / f"{fingerprint}-{seed}.ckpt"

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration as plain values; empty where there is none.

        Raises ValueError where the file cannot be read, or holds no mapping.
        """
        if not self.config.exists():
            return {}
        text = read_text(self.config)
        try:
            config = yaml.load(text, _WithoutAliases)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise ValueError(f"cannot read {self.config}: {' '.join(str(error).split())}") from None
        if not isinstance(config, dict):
            raise ValueError(f"{self.config} holds no configuration")
        return config

    def read_data(self) -> dict[str, Any]:
        """The content of data.json; empty where there is none. Raises ValueError as `read_object`."""
        return read_object(self.data) if self.data.exists() else {}

    def sources(self) -> Iterator["RunFolder"]:
        """The run itself, the run that it builds on, and so on, as far as they exist."""
        folder, seen = self, set[Path]()
        while folder.path not in seen:
            seen.add(folder.path)
            yield folder
            source = folder.read_config().get("source_run")
            if source is None or not Path(source).is_dir():
                return
            folder = RunFolder(Path(source))

    def find_hypernets(self) -> list[Path]:
        """Checkpoints of the HyperNets that scored the ranking: this run's, or those of a run that it builds on.

        Empty where none exists any more.
        """
        for folder in self.sources():
            if found := folder.hypernets():
                return found
            named = folder.read_config().get("checkpoint")
            if named is not None and Path(named).is_file() and folder._hypernets_in_ranking() == 1:
                return [Path(named)]  # one of several that was selected by its path
        return []

    def read_architectures(self) -> dict[str, Architecture]:
        """Every scored or given architecture by fingerprint.

        Raises ValueError where the file is missing, or a line holds no architecture or that of another fingerprint.
        """
        found = Architectures(self.architectures)
        for number, line in enumerate(read_text(self.architectures).splitlines(), start=1):
            try:
                plain = parse(line)
                architecture = Architecture.from_json(json.dumps(plain["architecture"]))
                if architecture.fingerprint != plain["fingerprint"]:
                    raise ValueError(f"the architecture's fingerprint is {architecture.fingerprint}")
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{self.architectures}, line {number}: {error}") from None
            found[architecture.fingerprint] = architecture
        return found

    def write_architectures(self, architectures: Iterable[Architecture]) -> None:
        """Replaces all but those that have a name, at once."""
        lines = [*map(_line, architectures), *(f"{line}\n" for line in self._named_lines())]
        write_text(self.architectures, "".join(lines))

    def append_architecture(self, architecture: Architecture, name: str | None = None) -> None:
        """Adds a line."""
        with named(self.architectures), self.architectures.open("a", encoding="utf-8") as file:
            file.write(_line(architecture, name))

    def read_names(self) -> dict[str, str]:
        """Names of the given architectures by fingerprint."""
        return {plain["fingerprint"]: plain["name"] for plain in map(json.loads, self._named_lines())}

    def _named_lines(self) -> list[str]:
        lines = read_text(self.architectures).splitlines() if self.architectures.exists() else []
        return [line for line in lines if line.startswith(NAMED) and line.endswith("}}")]  # the last may be cut off

    def _hypernets_in_ranking(self) -> int:
        if not self.ranking.exists():
            return 0
        with self.ranking.open(newline="", encoding="utf-8") as file:
            return sum(PER_HYPERNET.fullmatch(column) is not None for column in next(csv.reader(file), []))


def job_folders(folder: Path) -> list[Path]:
    """The numbered folders of a sweep, by number; none where the folder is a run's own."""
    if not folder.is_dir() or (folder / CONFIG).exists():
        return []
    jobs = [path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
    return sorted(jobs, key=lambda path: int(path.name))


def source_run(checkpoint: Path) -> Path:
    """The folder of the run that `checkpoint` is of: a run folder, a checkpoint in one, or a sweep (its first job)."""
    if checkpoint.is_file():
        return checkpoint.parent.parent
    jobs = (job for job in job_folders(checkpoint) if (job / CONFIG).exists())
    return next(jobs, checkpoint)


def image_spec_of(data: Mapping[str, Any]) -> ImageSpec:
    """Image and classifier around the architectures of a run, from its data.json."""
    return ImageSpec(data["channels"], tuple(data["size"]), len(data["classes"]), data["stem_stride"])


def _line(architecture: Architecture, name: str | None = None) -> str:
    start = "{" if name is None else f"{NAMED}{json.dumps(name)},"
    return f'{start}"fingerprint":"{architecture.fingerprint}","architecture":{architecture.to_json()}}}\n'
