from pathlib import Path

import pytest

from smash_lightning.report.build import build
from tests.report.offline import without_account
from tests.report.small_run import write_run


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder with its report; tests do not change what is in it."""
    folder = write_run(tmp_path_factory.mktemp("run"))
    build(folder)
    return folder
