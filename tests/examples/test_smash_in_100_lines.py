"""The method on one screen gives the scores of the package."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import lightning as L
import pytest

from smash_lightning.hypernet import ConditionalHyperNet, HyperNetSpecification, TrainedHyperNet
from smash_lightning.python_api import experiment
from smash_lightning.random_streams import Stream, rng
from smash_lightning.stages.search import make_scorer
from smash_lightning.training import HyperNetModule

EXAMPLES = Path(__file__).parents[2] / "examples"
EPOCHS = 3


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("smash_in_100_lines", EXAMPLES / "smash_in_100_lines.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_the_example_gives_the_scores_of_the_package(example: ModuleType, tmp_path: Path) -> None:
    made, hypernet = experiment(tmp_path, seed=0), HyperNetSpecification.of(ConditionalHyperNet, depths=(6,))
    module = HyperNetModule(made.space, hypernet, replace(made.search, epochs=EPOCHS), 0)
    options = {"max_epochs": EPOCHS, "limit_val_batches": 0, "enable_checkpointing": False, "logger": False}
    trainer = L.Trainer(accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, **options)
    trainer.fit(module, datamodule=made.data.ordered(Stream.SEARCH, 0))
    trained = TrainedHyperNet(module.weights.eval(), module.statistics.eval(), frozenset())
    scorer = make_scorer(made.data, made.ranking, 0, "cpu", [trained])

    ours = example.train(made.space, made.data, 0, EPOCHS)
    for index in range(5):
        architecture = made.space.sample(rng(Stream.CANDIDATE, 0, index))
        assert example.score(ours, architecture, made.data, 0) == pytest.approx(scorer(architecture).val_loss, rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_the_example_prints_the_best_candidates(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=1, candidates=6)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    losses = [float(line.split()[1]) for line in lines]
    assert losses == sorted(losses)
