"""The notebook goes from a run to a drawn network."""

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from smash_lightning import FinishedRun
from tests.command_line import ROOT, Copy

CELLS = json.loads((ROOT / "examples" / "from_run_to_network.ipynb").read_text(encoding="utf-8"))["cells"]


def executed(sources: list[str], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """What cells show and what they print, in an empty folder."""
    os.chdir(folder)
    os.environ["IPYTHONDIR"] = str(folder)
    shell = InteractiveShell.instance(user_module=ModuleType("notebook"))
    with shell.display_trap, capture_output() as captured:  # otherwise each cell would display elsewhere
        for source in sources:
            shell.run_cell(source).raise_error()
    return [output.data for output in captured.outputs], captured.stdout


@pytest.mark.slow
def test_the_notebook_shows_a_run(tiny_run: FinishedRun, tmp_path: Path) -> None:
    sources = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
    (parameters,) = [cell for cell in CELLS if "parameters" in cell["metadata"].get("tags", [])]
    sources[sources.index("".join(parameters["source"]))] = f"folder = {str(tiny_run.folder)!r}"
    shown, printed = Copy(executed, sources, tmp_path).result()
    assert str(tiny_run.folder) in shown[0]["text/plain"]
    (drawing,) = [data["image/svg+xml"] for data in shown if "image/svg+xml" in data]
    assert tiny_run.best["fingerprint"] in drawing
    assert "predicted [" in printed
    assert tiny_run.verdict in printed


def test_the_notebook_is_stored_without_outputs() -> None:
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in CELLS)
