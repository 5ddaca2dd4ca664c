"""Options of all tests: the same examples in every run, on one thread.

Heavy imports are inside of functions: the process that only distributes the tests does not wait for them.
"""

import os
import pickle
from collections.abc import Generator, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from smash_lightning import FinishedRun

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
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def composed_once() -> Iterator[None]:
    """Hydra reads a file of conf/ once in all commands, and composes the configuration of a command once, not twice."""
    from hydra._internal.config_repository import ConfigRepository
    from hydra._internal.hydra import Hydra

    from smash_lightning.configuration import CONF

    load, read = ConfigRepository.load_config, dict[str, bytes]()

    def load_config(repository: ConfigRepository, config_path: str) -> Any:
        if [source.path for source in repository.sources] != ["hydra.conf", str(CONF), ""]:
            return load(repository, config_path)
        if config_path not in read:
            read[config_path] = pickle.dumps(load(repository, config_path))
        return pickle.loads(read[config_path])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_config)
        patch.setattr(Hydra, "get_mode", lambda *_, **__: None)  # the option hydra.mode, which nothing sets
        yield


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and page take two seconds and have tests of their own."""
    monkeypatch.setattr(import_module("smash_lightning.stages.correlate"), "build", lambda folder: None)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, Any, Any]:
    """Without the variable that names the test, as worker processes are kept only where all variables are the same."""
    name = os.environ.pop("PYTEST_CURRENT_TEST")
    try:
        return (yield)
    finally:
        os.environ["PYTEST_CURRENT_TEST"] = name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the longest test; otherwise one process would run it at the end while the others are idle."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/test_resume.py"))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> "FinishedRun":
    """A whole run of seconds; tests only read it."""
    from tests.tiny_run import make_tiny_run

    return make_tiny_run(tmp_path_factory.mktemp("tiny") / "run")
