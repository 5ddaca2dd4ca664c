"""The notebook goes from a run to a drawn network."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from smash_lightning import FinishedRun

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "from_run_to_network.ipynb"


@pytest.mark.slow
def test_the_notebook_shows_a_run(tiny_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = f"folder = {str(tiny_run.folder)!r}"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output["data"] for output in outputs if "data" in output]
    assert str(tiny_run.folder) in shown[0]["text/plain"]
    (drawing,) = [data["image/svg+xml"] for data in shown if "image/svg+xml" in data]
    assert tiny_run.best["fingerprint"] in drawing
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "predicted [" in printed
    assert tiny_run.verdict in printed


def test_the_notebook_is_stored_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
