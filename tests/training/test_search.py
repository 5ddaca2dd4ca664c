"""The architectures of a training, its interruption, and its checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from smash_lightning.architecture import Skeleton
from smash_lightning.dataset import DataModule, Digits
from smash_lightning.randomness import rng
from smash_lightning.ranking import Random, Ranking, RankingCallback, Scorer
from smash_lightning.search_space import EqualSize, SingleConvolution
from smash_lightning.training import HyperNetOptions, SearchOptions, SmashModule, load_checkpoint, load_hypernet
from tests.cases import CASES, V2, Case, every_case, small

HYPERNET = HyperNetOptions(width=None, depths=(2, 1), growth=4, noise=True, depth_compression=2)
SEARCH = SearchOptions(
    hypernets=1,
    epochs=3,
    learning_rate=1e-3,
    betas=(0.5, 0.999),
    epsilon=1e-4,
    weight_decay=1e-4,
    architectures_per_step=2,
    checkpoint_every=1,
)
DIGITS = small(Skeleton(1, (8, 8), 10), SingleConvolution())


class Training:
    """Stands for Lightning's trainer: a training of a hundred steps, on one of several processes."""

    estimated_stepping_batches = 100

    def __init__(self, rank: int) -> None:
        self.global_rank = rank


def draws(case: Case, seed: int = 0, rank: int = 0, held_out: frozenset[str] = frozenset()) -> list[Any]:
    module = SmashModule(case.space, HYPERNET, SEARCH, seed, held_out)
    training = Training(rank)
    module.trainer = training  # type: ignore[assignment]
    return [module.draw(step, index) for step in (0, 1, 50, 99) for index in (0, 1)]


@every_case
def test_the_architecture_of_seed_step_and_rank_is_reproducible(case: Case) -> None:
    first = draws(case)
    torch.manual_seed(1)
    assert draws(case) == first
    assert len(set(first)) > 5
    assert draws(case, seed=1) != first
    assert draws(case, rank=1) != first
    assert all(case.space.contains(architecture) for architecture in first)


def test_held_out_architectures_are_not_drawn() -> None:
    first = draws(CASES["v1-2d"])
    held_out = frozenset(architecture.fingerprint for architecture in first[::2])
    second = draws(CASES["v1-2d"], held_out=held_out)
    assert not held_out & {architecture.fingerprint for architecture in second}
    assert second[1::2] == first[1::2], "other draws stay as they were"


def test_annealing_follows_the_training() -> None:
    module = SmashModule(V2, HYPERNET, SEARCH, 0)
    training = Training(0)
    module.trainer = training  # type: ignore[assignment]

    def largest(step: int) -> int:
        ops = [op for index in range(20) for op in module.draw(step, index).ops()]
        return max(k for op in ops for path in op.paths for c in path for k in c.kernel)

    assert [largest(step) for step in (0, 30, 60)] == [3, 5, 7]


def data(**changes: Any) -> DataModule:
    options: dict[str, Any] = {
        "name": "digits",
        "source": Digits(test=1497),
        "validation": 60,
        "train": None,
        "batch_size": 32,
        "eval_batch_size": 60,
        "recalibration": 64,
        "stem_stride": 1,
        "split_seed": 0,
    }
    return DataModule(**options | changes)


def trainer(folder: Path, *callbacks: L.Callback) -> L.Trainer:
    return L.Trainer(
        max_epochs=SEARCH.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )


class SaveAt(L.Callback):
    """Writes a checkpoint after each of `steps`, whatever Lightning's own habits."""

    def __init__(self, folder: Path, steps: tuple[int, ...]) -> None:
        self.folder, self.steps = folder, steps

    def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
        if trainer.global_step in self.steps:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


def ranking_callback(data: DataModule, policy: Any = "recalibrated") -> RankingCallback:
    validation = data.normalised(data.validation)

    def make_scorer(hypernets: Any) -> Scorer:
        images, labels, training = validation.images, validation.labels, data.recalibration_images()
        return Scorer(hypernets, images, labels, training, batch_size=60, policy=policy, seed=0)

    fixed = [DIGITS.sample(rng("fixed", i)) for i in range(2)]
    return RankingCallback(
        fixed, 2, make_scorer, lambda drawn: Ranking(DIGITS, (Random(3),), 0, drawn, validation.labels)
    )


def fit(folder: Path, *callbacks: L.Callback, checkpoint: Path | None = None, policy: Any = "recalibrated") -> Any:
    module, source = SmashModule(DIGITS, HYPERNET, SEARCH, seed=3), data()
    ranking = ranking_callback(source, policy)
    trainer(folder, ranking, *callbacks).fit(module, datamodule=source, ckpt_path=checkpoint, weights_only=True)
    return module, ranking


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SmashModule, RankingCallback]:
    folder = tmp_path_factory.mktemp("whole")
    # 240 images in batches of 32: seven steps an epoch. Step 10 is within one, step 14 ends one.
    module, ranking = fit(folder, SaveAt(folder, (10, 14, 21)))
    return folder, module, ranking


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [10, 14])
def test_a_resumed_training_is_an_uninterrupted_one_bit_for_bit(whole: Any, tmp_path: Path, step: int) -> None:
    folder, module, ranking = whole
    torch.manual_seed(99)
    resumed, ranking_again = fit(tmp_path, checkpoint=folder / f"{step}.ckpt")
    assert resumed.drawn == module.drawn
    assert len(module.drawn) == 42
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert ranking_again.history[-1] == ranking.history[-1]
    assert ranking_again.state.rows == ranking.state.rows


@pytest.mark.filterwarnings("ignore")
def test_a_training_scores_what_it_does_not_draw(whole: Any) -> None:
    _, module, ranking = whole
    assert [epoch for epoch, _ in ranking.history] == [2, 3], "every second epoch, and the last"
    assert len(ranking.state.rows) == 3
    assert not module.drawn & {row.candidate.architecture.fingerprint for row in ranking.state.rows}


@pytest.mark.filterwarnings("ignore")
def test_scoring_by_running_statistics_does_not_move_them(whole: Any, tmp_path: Path) -> None:
    _, module, _ = whole
    other, _ = fit(tmp_path, policy="running")
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_checkpoint_alone_gives_the_hypernet_back(whole: Any) -> None:
    folder, module, _ = whole
    loaded = load_hypernet(folder / "21.ckpt", DIGITS, data().specification())
    assert loaded.drawn == module.drawn
    for name, tensor in module.weights.state_dict().items():
        assert torch.equal(tensor, loaded.weights.state_dict()[name])
    for name, tensor in module.statistics.state_dict().items():
        assert torch.equal(tensor, loaded.statistics.state_dict()[name])
    assert not loaded.statistics.training


def test_a_checkpoint_knows_whether_its_training_came_to_the_end(whole: Any) -> None:
    folder, _, _ = whole
    loaded = [load_hypernet(folder / f"{step}.ckpt", DIGITS, data().specification()) for step in (10, 14, 21)]
    assert [hypernet.finished for hypernet in loaded] == [False, False, True]


def test_a_checkpoint_of_another_space_is_refused(whole: Any) -> None:
    folder, _, _ = whole
    message = r"21\.ckpt belongs to another search space: MemoryBankSpace\.max_ops was 3, now 4\. Use the options"
    with pytest.raises(ValueError, match=message):
        load_hypernet(folder / "21.ckpt", replace(DIGITS, max_ops=4), data().specification())
    with pytest.raises(ValueError, match=r"; .* and \d+ more\. Use the options"):
        load_hypernet(folder / "21.ckpt", EqualSize(DIGITS, 0.5), data().specification())


def test_a_checkpoint_of_another_split_is_refused(whole: Any) -> None:
    folder, _, _ = whole
    other = data(split_seed=5).specification()
    with pytest.raises(ValueError, match=r"21\.ckpt belongs to another data set or split: train was"):
        load_hypernet(folder / "21.ckpt", DIGITS, other)
    assert data().ordered("search", 3).specification() == data().specification()


def test_damaged_checkpoints_are_named(whole: Any, tmp_path: Path) -> None:
    folder, _, _ = whole
    with pytest.raises(ValueError, match=r"there is no checkpoint at .*none\.ckpt"):
        load_checkpoint(tmp_path / "none.ckpt", "smash")
    cut = tmp_path / "cut.ckpt"
    content = (folder / "21.ckpt").read_bytes()
    for size in (0, 10, len(content) // 2):
        cut.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.ckpt is not a readable checkpoint, perhaps it was cut off"):
            load_checkpoint(cut, "smash")
    torch.save({"state_dict": {}}, cut)
    with pytest.raises(ValueError, match=r"cut\.ckpt is a checkpoint of something else: it holds no 'smash'"):
        load_checkpoint(cut, "smash")


@pytest.mark.parametrize("name", ["hypernets", "epochs", "architectures_per_step", "checkpoint_every"])
def test_impossible_options_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"search\.{name} must be at least 1, got 0"):
        replace(SEARCH, **{name: 0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"hypernet\.width must be at least 1, got 0"),
        ({"growth": 0}, r"hypernet\.growth must be at least 1, got 0"),
        ({"depth_compression": 0}, r"hypernet\.depth_compression must be at least 1, got 0"),
        ({"depths": (2, 0)}, r"hypernet\.depths must be at least 1, got 0"),
        ({"depths": ()}, r"hypernet\.depths must name at least one dense block"),
    ],
)
def test_impossible_hypernets_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HYPERNET, **changes)
