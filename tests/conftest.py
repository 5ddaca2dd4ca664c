"""Options of all tests: the same examples in every run, on one thread."""

import pytest
import torch
from hypothesis import HealthCheck, settings

from smash_lightning import FinishedRun
from tests.tiny_run import make_tiny_run

settings.register_profile(
    "laws",
    deadline=None,
    max_examples=20,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("laws")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the longest test; otherwise one process would run it at the end while the others are idle."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/test_resume.py"))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A whole run of seconds; tests only read it."""
    return make_tiny_run(tmp_path_factory.mktemp("tiny") / "run")
