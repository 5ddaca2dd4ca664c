"""One small run that all tests of analyses start from."""

from pathlib import Path

import pytest

from tests.analyses.small_analysis import finished_run


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, which no test may change."""
    return finished_run(tmp_path_factory.mktemp("analyses") / "run")
