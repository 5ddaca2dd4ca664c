"""Collects task=gradient_conflict of several spaces:
python docs/results/gradient_conflict.py FOLDER... > docs/results/gradient_conflict.json.

A folder's name is the name of its row.
"""

import json
import sys
from pathlib import Path

import yaml
from collect import overrides_of, record

if __name__ == "__main__":
    commands, figures = [], {}
    for folder in map(Path, sys.argv[1:]):
        source = Path(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["source_run"])
        kept = " ".join(overrides_of(source))
        commands.append(f"python run.py {kept}; python run.py task=gradient_conflict checkpoint=FOLDER")
        figures[folder.name] = json.loads((folder / "gradient_conflict.json").read_text(encoding="utf-8"))
    print(record(commands, figures))
