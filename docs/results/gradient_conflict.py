"""Collects task=gradient_conflict of several spaces:
python docs/results/gradient_conflict.py FOLDER... > docs/results/gradient_conflict.json.

A folder's name is the name of its row.
"""

import json
import sys
from pathlib import Path

import yaml
from collect import record

LEFT_OUT = ("hydra.run.dir", "workers", "logger")  # options that change no figure


def overrides_of(folder: Path) -> list[str]:
    """The options of a run's command line that change its figures."""
    overrides = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["overrides"]
    return [one for one in overrides if one.split("=")[0] not in LEFT_OUT]


if __name__ == "__main__":
    commands, figures = [], {}
    for folder in map(Path, sys.argv[1:]):
        source = Path(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["source_run"])
        kept = " ".join(overrides_of(source))
        commands.append(f"python run.py {kept}; python run.py task=gradient_conflict checkpoint=FOLDER")
        figures[folder.name] = json.loads((folder / "gradient_conflict.json").read_text(encoding="utf-8"))
    print(record(commands, figures))
