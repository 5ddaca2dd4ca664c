"""Where the first number of a HyperNet that really diverges is not finite."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.analyses import draw, replay
from smash_lightning.architecture import load_architecture
from smash_lightning.stages import search
from tests.analyses.small_analysis import NO_LOGGERS
from tests.stages.small_run import SEARCH, small_experiment


@pytest.mark.parametrize(
    ("options", "step", "found"),
    [
        ({"learning_rate": 1e30}, 1, {"step": 1, "operation": "_foreach_norm"}),  # of the HyperNet's filters
        ({"learning_rate": 1e10}, 1, {"step": 1, "operation": "convolution", "loss": "nan"}),
        (
            {"learning_rate": 3e7},
            2,
            {"step": 1, "operation": "native_batch_norm_backward"},
        ),  # a step before a loss shows it
        ({"learning_rate": 3e7, "skip_bad_steps": 2, "epochs": 9}, 8, {"step": 8, "operation": "native_batch_norm"}),
    ],
)
def test_a_divergence_is_repeated_to_its_first_number(
    tmp_path: Path, options: dict[str, Any], step: int, found: dict[str, Any]
) -> None:
    first = small_experiment(tmp_path / "first", search=replace(SEARCH, **options))
    with pytest.raises(RuntimeError, match=f"step {step}.*task=replay checkpoint=.*task.architecture="):
        search(first, NO_LOGGERS)
    file = first.folder.checkpoints / "hypernet0-diverged.json"
    again = replace(small_experiment(tmp_path / "again", search=first.search), source=first.folder.path)
    replay(again, NO_LOGGERS)
    result = json.loads((again.folder.path / "replay.json").read_text())
    assert result == result | found, result
    draw(again, NO_LOGGERS, architecture=str(file))
    assert load_architecture(again.folder.path / "architecture.json") == load_architecture(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"step": 0}))
    replay(replace(again, search=replace(again.search, learning_rate=0.0, skip_bad_steps=0)), NO_LOGGERS)
    assert "all numbers up to step 0 are finite" in (again.folder.path / "replay.json").read_text()


def test_a_file_without_a_step_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hypernet1-diverged.json"
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"hypernet1-diverged\.json has no step"):
        replay(small_experiment(tmp_path, source=tmp_path), NO_LOGGERS, str(file))
