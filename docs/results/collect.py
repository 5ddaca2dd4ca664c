"""Collects the figures of finished runs: python docs/results/collect.py FOLDER... > docs/results/default.json."""

import argparse
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

COPIED = ("architectures", "counts", "resamples", "confidence", "loss", "error", "comparison", "verdict")
CALIBRATION = ("architectures", "earlier", "basis", "spearman", "size_matched_tau", "own", "library", "scored")
CALIBRATION += ("differences", "best_single", "predicted_sd", "covered", "compared_with_loss", "best_found")
PATH = re.compile(r"(?<=[=\[,])/[^,\]]*")
LEFT_OUT = ("hydra.run.dir", "workers", "logger")  # options that change no figure
MEASUREMENTS = ("benchmark", "growth", "soak", "strategies")  # files of the tasks of these names


def collect(folders: list[Path], commit: str, machine: str) -> dict[str, Any]:
    """Command, commit, machine, date of the last run, and each run's figures by seed.

    Measurements, such as by task=benchmark, have their command in place of the seed.

    Raises:
        ValueError: a run is not finished, or two runs have one seed.
    """
    commands, figures, finished = [], {}, []
    for folder in folders:
        if not (folder / "result.json").exists():
            raise ValueError(f"{folder}: there is no result.json, so the run is not finished")
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        commands.append(command_of(folder))
        finished.append((folder / "result.json").stat().st_mtime)
        if measured := [name for name in MEASUREMENTS if (folder / f"{name}.json").exists()]:
            figures[commands[-1]] = json.loads((folder / f"{measured[0]}.json").read_text(encoding="utf-8"))
            continue
        correlation = json.loads((folder / "correlation.json").read_text(encoding="utf-8"))
        label = f"seed {config['seed']}"
        if label in figures:
            raise ValueError(f"{folder}: another folder has {label} too")
        calibration = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
        figures[label] = {key: correlation[key] for key in COPIED}
        figures[label]["calibration"] = {key: calibration.get(key) for key in CALIBRATION}
    date = datetime.fromtimestamp(max(finished), UTC).date().isoformat()
    return {"command": commands, "commit": commit, "machine": machine, "date": date, "figures": figures}


def overrides_of(folder: Path) -> list[str]:
    """The options of a run's command line that change its figures, with those of the runs that it builds on."""
    overrides = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["overrides"]
    return [one for one in overrides if one.split("=")[0] not in LEFT_OUT]


def command_of(folder: Path) -> str:
    """The command of a run after those of the runs that it builds on; absolute paths are replaced."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    own, before = overrides_of(folder), ""
    if source := config.get("source_run"):
        earlier = overrides_of(Path(source))
        own, before = [one for one in own if one not in earlier], f"{command_of(Path(source))}; "
    shown = [re.sub(r"=/.*", "=FOLDER", one) if one.startswith("checkpoint=") else PATH.sub("PATH", one) for one in own]
    return before + " ".join(["python run.py", *shown])


def this_commit() -> str:
    """The commit of this clone, with `-dirty` where files were changed."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def this_machine() -> str:
    """Processor, number of CPUs and system."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}"


def markdown(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    first, *others = [f"| {' | '.join(map(str, row))} |" for row in (header, *rows)]
    return "\n".join([first, "|---" * len(header) + "|", *others])


def record(commands: list[str], figures: dict[str, Any]) -> str:
    """The JSON of what commands have just computed, one for each of the figures; estimates may be dataclasses."""
    source = {"commit": this_commit(), "machine": this_machine(), "date": datetime.now(UTC).date().isoformat()}
    return json.dumps({"command": commands, **source, "figures": figures}, indent=1, default=asdict)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--commit", default=this_commit(), help="that the runs used (%(default)s)")
    parser.add_argument("--machine", default=this_machine(), help="of the runs (%(default)s)")
    print(json.dumps(collect(**vars(parser.parse_args())), separators=(",", ":")))
