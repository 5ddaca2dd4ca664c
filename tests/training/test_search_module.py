"""The architectures of a training, its interruption, and its checkpoints."""

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from smash_lightning.architecture import Architecture
from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.data import DataModule
from smash_lightning.hypernet import HyperNetSpecification, load_hypernet
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.scoring import (
    BatchNormPolicy,
    RankingCallback,
    RecalibratedStatistics,
    RunningStatistics,
    Scorer,
    ScoringData,
)
from smash_lightning.search_space import SizeMatched
from smash_lightning.stages.search import averaging
from smash_lightning.training import DivergedError, HyperNetModule, SearchOptions
from tests.cases import CASES, V2, Case, every_case
from tests.command_line import Copy
from tests.hypernet.kinds import SPECIFICATIONS, TINY
from tests.plugins import Scaled
from tests.stages.small_run import SEARCH as ONE_EPOCH
from tests.stages.small_run import SPACE, small_data

SEARCH = replace(ONE_EPOCH, epochs=3, architectures_per_step=2)
RECALIBRATED = RecalibratedStatistics()
KINDS = SPECIFICATIONS | {"from outside": HyperNetSpecification.of(Scaled, hidden=3, names=["a"])}
every_kind = pytest.mark.parametrize("kind", KINDS)


class Training:
    """In place of Lightning's trainer: a training of a hundred steps, on one of several processes."""

    estimated_stepping_batches = 100

    def __init__(self, rank: int, world: int = 1, accumulated: int = 1) -> None:
        self.global_rank, self.world_size, self.accumulate_grad_batches = rank, world, accumulated


def on(training: Training, case: Case, options: SearchOptions = SEARCH, **more: Any) -> HyperNetModule:
    module = HyperNetModule(case.space, options=options, **{"seed": 0, "hypernet": TINY} | more)
    module.trainer = training  # type: ignore[assignment]
    return module


def draws(case: Case, microbatch_index: int = 0, **more: Any) -> list[Any]:
    module = on(Training(0), case, **more)
    return [module.draw(step, microbatch_index, index)[0] for step in (0, 1, 50, 99) for index in (0, 1)]


@every_case
def test_the_architecture_of_seed_step_and_rank_is_reproducible(case: Case) -> None:
    first = draws(case)
    torch.manual_seed(1)
    assert draws(case) == first
    assert len(set(first)) > 5
    assert draws(case, seed=1) != first
    assert draws(case, microbatch_index=1) != first
    assert all(case.space.contains(architecture) for architecture in first)


def test_ranks_have_the_architectures_of_accumulated_batches() -> None:
    alone = on(Training(0, accumulated=6), CASES["v1-2d"])
    ranks = [on(Training(rank, world=3, accumulated=2), CASES["v1-2d"]) for rank in range(3)]
    assert [alone.microbatch_index(batch) for batch in range(12)] == 2 * list(range(6))
    # Batches alternate between ranks: the first ones of all ranks come before the second of any.
    assert [each.microbatch_index(batch) for batch in range(4) for each in ranks] == 2 * list(range(6))
    shared = on(Training(2, world=3, accumulated=2), CASES["v1-2d"], replace(SEARCH, architectures="shared"))
    assert {shared.microbatch_index(batch) for batch in range(4)} == {0}


def test_held_out_architectures_are_not_sampled() -> None:
    first = draws(CASES["v1-2d"])
    held_out = frozenset(architecture.fingerprint for architecture in first[::2])
    second = draws(CASES["v1-2d"], held_out=held_out)
    assert not held_out & {architecture.fingerprint for architecture in second}
    assert second[1::2] == first[1::2], "other draws stay as they were"


def test_annealing_follows_the_progress_of_training() -> None:
    module = on(Training(0), Case(V2, 2))

    def largest(step: int) -> int:
        ops = [op for index in range(20) for op in module.draw(step, 0, index)[0].ops()]
        return max(k for op in ops for path in op.paths for c in path for k in c.kernel)

    assert [largest(step) for step in (0, 30, 60)] == [3, 5, 7]


def trainer(folder: Path, *callbacks: L.Callback, **options: Any) -> L.Trainer:
    return L.Trainer(
        max_epochs=SEARCH.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **options,
    )


class SaveAt(L.Callback):
    """Writes a checkpoint after each of `steps`."""

    def __init__(self, folder: Path, steps: tuple[int, ...]) -> None:
        self.folder, self.steps = folder, steps

    def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
        if trainer.global_step in self.steps:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


class Snapshots(L.Callback):
    """All tensors of the module after each step."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        self.states.append({name: tensor.clone() for name, tensor in module.state_dict().items()})


AVERAGED = replace(SEARCH, average=0.8)
FIXED = [SPACE.sample(rng("fixed", i)) for i in range(2)]


def scorer_on(data: DataModule, policy: BatchNormPolicy, hypernets: Any) -> Scorer:
    validation = data.normalised(data.validation)
    scoring_data = ScoringData(validation.images, validation.labels, data.recalibration_images(), (), 60)
    return Scorer(hypernets, scoring_data, policy=policy, seed=0)


def fit(
    folder: Path,
    *callbacks: L.Callback,
    checkpoint: Path | None = None,
    policy: BatchNormPolicy | None = RECALIBRATED,
    options: SearchOptions = SEARCH,
    hypernet: HyperNetSpecification = TINY,
) -> tuple[HyperNetModule, RankingCallback]:
    held_out = frozenset(architecture.fingerprint for architecture in FIXED)
    module, source = HyperNetModule(SPACE, hypernet, options, 3, held_out), small_data()
    ranking = RankingCallback(FIXED if policy else [], 2, partial(scorer_on, source, policy))
    trainer(folder, *averaging(options.average), ranking, *callbacks).fit(
        module, datamodule=source, ckpt_path=checkpoint, weights_only=True
    )
    return module, ranking


Fitted = tuple[Path, HyperNetModule, RankingCallback, Snapshots]


def fitted(folder: Path, options: SearchOptions) -> Fitted:
    snapshots = Snapshots()
    # 240 images in batches of 32: seven steps an epoch. Step 10 is within one, step 14 ends one.
    module, ranking = fit(folder, snapshots, SaveAt(folder, (10, 14, 21)), options=options)
    return folder, module, ranking, snapshots


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted(tmp_path_factory.mktemp("whole"), SEARCH)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted(tmp_path_factory.mktemp("averaged"), AVERAGED)


@pytest.mark.filterwarnings("ignore")
def test_a_hypernet_from_outside_the_package_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    module, _ = fit(tmp_path, SaveAt(tmp_path, (10,)), hypernet=KINDS["from outside"])
    torch.manual_seed(99)
    resumed, _ = fit(tmp_path, checkpoint=tmp_path / "10.ckpt", hypernet=KINDS["from outside"])
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in module.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_a_training_scores_only_architectures_that_it_does_not_sample(whole: Any) -> None:
    _, module, ranking, _ = whole
    assert [epoch for epoch, _ in ranking.history] == [2, 3], "every second epoch, and the last"
    assert not module.drawn & {architecture.fingerprint for architecture in FIXED}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "policy"), [("whole", RunningStatistics()), ("averaged", None)])
def test_scoring_does_not_change_a_training(
    name: str, policy: BatchNormPolicy | None, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    _, module, *_ = request.getfixturevalue(name)
    other, _ = fit(tmp_path, policy=policy, options=AVERAGED if name == "averaged" else SEARCH)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in module.state_dict().items())


def test_a_checkpoint_has_whether_its_training_is_finished(whole: Any) -> None:
    folder, *_ = whole
    loaded = [load_hypernet(folder / f"{step}.ckpt", SPACE, small_data().specification()) for step in (10, 14, 21)]
    assert [hypernet.finished for hypernet in loaded] == [False, False, True]


def test_a_checkpoint_of_another_space_or_split_is_refused(whole: Any) -> None:
    folder, *_ = whole
    message = r"21\.ckpt belongs to another search space: MemoryBankSpace\.max_ops was 3, now 4\. Use the options"
    with pytest.raises(ValueError, match=message):
        load_hypernet(folder / "21.ckpt", replace(SPACE, max_ops=4), small_data().specification())
    with pytest.raises(ValueError, match=r"; .* and \d+ more\. Use the options"):
        load_hypernet(folder / "21.ckpt", SizeMatched(SPACE, 0.5), small_data().specification())
    other = small_data(split_seed=5).specification()
    with pytest.raises(ValueError, match=r"21\.ckpt belongs to another data set or split: train was"):
        load_hypernet(folder / "21.ckpt", SPACE, other)
    assert small_data().ordered(Stream.SEARCH, 3).specification() == small_data().specification()


# --- steps that are not finite ---


class Spoil(L.Callback):
    """Makes the images of some steps NaN, and the gradient of one parameter in others."""

    def __init__(self, images: tuple[int, ...], gradients: tuple[int, ...] = ()) -> None:
        self.images, self.gradients = images, gradients

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step in self.images:
            batch[0].fill_(torch.nan)

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.global_step in self.gradients:
            next(p.grad for p in module.parameters() if p.grad is not None)[0] = torch.inf


@pytest.mark.filterwarnings("ignore")
def test_bad_steps_are_left_out_and_counted_and_a_training_without_one_is_the_same(whole: Any, tmp_path: Path) -> None:
    options, after, spoil = replace(SEARCH, skip_bad_steps=3), Snapshots(), Spoil((8, 9), (16,))
    module, _ = fit(tmp_path, after, SaveAt(tmp_path, (10, 14, 21)), spoil, options=options)
    for step in (8, 9, 16):
        assert all(torch.equal(tensor, after.states[step - 1][name]) for name, tensor in after.states[step].items())
    assert all(tensor.isfinite().all() for tensor in module.state_dict().values())
    skipped = [load_checkpoint(tmp_path / f"{step}.ckpt", "smash")["smash"]["skipped"] for step in (10, 14, 21)]
    assert skipped == [[8, 9], [8, 9], [8, 9, 16]]
    optimizer = torch.load(tmp_path / "21.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    assert {float(state["step"]) for state in optimizer.values()} <= {*range(19)}, "moments have counted a bad step"
    resumed, _ = fit(tmp_path, spoil, checkpoint=tmp_path / "10.ckpt", options=options)
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in module.state_dict().items())
    assert resumed.skipped() == [8, 9, 16]
    without, _ = fit(tmp_path, options=options)
    assert all(torch.equal(tensor, without.state_dict()[name]) for name, tensor in whole[1].state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_one_bad_step_too_many_ends_a_training(tmp_path: Path) -> None:
    options, places = replace(SEARCH, skip_bad_steps=1), []
    message = r"search\.skip_bad_steps=1 have .*, the last one is step 9"
    for checkpoint in (None, tmp_path / "10.ckpt"):
        with pytest.raises(DivergedError, match=message) as raised:
            fit(tmp_path, SaveAt(tmp_path, (10,)), Spoil((8, 9)), options=options, checkpoint=checkpoint)
        places.append(raised.value.args[1])
    module = on(Training(0), Case(SPACE, 2), seed=3)
    assert places[0] == places[1] == module.place(9, 0)
    assert Architecture.from_json(json.dumps(places[0]["architecture"])) == module.draw(9, 0, 0)[0]


def skips(rank: int, file: Path, loss: float) -> tuple[bool, bool]:
    """Whether each of two steps is skipped on a rank that has this loss in the first one."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    training = Training(rank, 2)
    training.log_every_n_steps, training.global_step = 50, 0  # type: ignore[attr-defined]
    module = on(training, CASES["v1-2d"], replace(SEARCH, skip_bad_steps=1))
    optimizer, found = module.configure_optimizers()["optimizer"], []
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    for value in (loss, 1.0):
        module._before = list(module.statistics.buffers())
        module._losses.append(torch.tensor(value))
        module.on_before_optimizer_step(optimizer)
        found.append(bool(optimizer.found_inf))
    return found[0], found[1]


def test_all_ranks_skip_a_step_where_the_loss_of_one_is_not_finite(tmp_path: Path) -> None:
    ranks = [Copy(skips, rank, tmp_path / "store", loss) for rank, loss in enumerate((1.0, math.inf))]
    assert [rank.result() for rank in ranks] == [(True, False)] * 2


# --- every kind of weight source ---


@every_kind
def test_every_parameter_is_trained_once_with_or_without_decay(kind: str) -> None:
    """Without it are those that are divided by their norm, and parts of a HyperNet."""
    module = on(Training(0), Case(SPACE, 2), hypernet=KINDS[kind])
    spared, others = module.configure_optimizers()["optimizer"].param_groups
    assert (spared["weight_decay"], others["weight_decay"]) == (0, SEARCH.weight_decay)
    learned = [id(parameter) for group in (spared, others) for parameter in group["params"]]
    assert sorted(learned) == sorted(id(parameter) for parameter in module.parameters())
    assert {id(parameter) for parameter in module.weights.undecayed()} == {id(p) for p in spared["params"]}
    decayed = {id(parameter) for parameter in others["params"]}
    names = {name for name, parameter in module.weights.named_parameters() if id(parameter) in decayed}
    if kind != "from outside":
        assert {"shared.stem/weight", "shared.head/weight"} <= names
        assert {name.split(".")[0] for name in names} <= {"shared", "share"}


@pytest.mark.filterwarnings("ignore")
@every_kind
def test_weights_of_every_kind_are_rebuilt_from_a_checkpoint(kind: str, tmp_path: Path) -> None:
    module, source = HyperNetModule(SPACE, KINDS[kind], SEARCH, seed=3), small_data()
    trainer(tmp_path, SaveAt(tmp_path, (2,)), max_steps=2).fit(module, datamodule=source)
    loaded = load_hypernet(tmp_path / "2.ckpt", SPACE, source.specification())
    assert type(loaded.weights) is type(module.weights)
    assert loaded.seconds > 0
    assert not loaded.weights.training
    assert not loaded.statistics.training
    for name, tensor in module.statistics.state_dict().items():
        assert torch.equal(tensor, loaded.statistics.state_dict()[name])
    assert loaded.drawn == module.drawn
    assert len(loaded.drawn) == 4
    for seed in range(3):
        architecture = SPACE.sample(rng("loaded", seed))
        z = loaded.weights.noise(architecture, generator("z"))
        ours, theirs = (dict(each.weights(architecture, z)) for each in (module, loaded))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
        if kind != "shared per kind":  # of which two steps train some
            untrained = KINDS[kind].build(SPACE, 3)(architecture, z)
            assert not torch.equal(theirs["block0.op0.pointwise.weight"], untrained["block0.op0.pointwise.weight"])


# --- averaged weights ---


def slow_averages(states: list[dict[str, torch.Tensor]], decay: float) -> Iterator[dict[str, torch.Tensor]]:
    """The average after each step; it starts with the first step's."""
    average = {name: tensor.double() for name, tensor in states[0].items()}
    for state in states:
        if state is not states[0]:
            average = {name: decay * old + (1 - decay) * state[name].double() for name, old in average.items()}
        yield average


@pytest.mark.filterwarnings("ignore")
def test_the_average_over_steps_is_saved(averaged: Any, whole: Any) -> None:
    folder, module, _, snapshots = averaged
    assert len(snapshots.states) == 21
    expected = list(slow_averages(snapshots.states, 0.8))
    for step in (10, 14, 21):
        saved = torch.load(folder / f"{step}.ckpt", weights_only=True)["state_dict"]
        assert saved.keys() == expected[step - 1].keys()
        for name, tensor in saved.items():
            torch.testing.assert_close(tensor.double(), expected[step - 1][name], rtol=1e-5, atol=1e-6)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor.double(), expected[-1][name], rtol=1e-5, atol=1e-6)
    # The training itself is that without an average.
    last = whole[1].state_dict()
    assert all(torch.equal(tensor, snapshots.states[-1][name]) for name, tensor in last.items())
    assert any(not torch.allclose(tensor, module.state_dict()[name]) for name, tensor in last.items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [10, 14])
@pytest.mark.parametrize("name", ["whole", "averaged"])
def test_a_resumed_training_is_an_uninterrupted_one_bit_for_bit(
    name: str, step: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder, module, ranking, snapshots = request.getfixturevalue(name)
    torch.manual_seed(99)
    after, options = Snapshots(), AVERAGED if name == "averaged" else SEARCH
    resumed, ranking_again = fit(tmp_path, after, checkpoint=folder / f"{step}.ckpt", options=options)
    assert len(after.states) == 21 - step
    for one, other in ((resumed.state_dict(), module.state_dict()), (after.states[-1], snapshots.states[-1])):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert resumed.drawn == module.drawn
    assert len(module.drawn) == 42
    assert ranking_again.history[-1] == ranking.history[-1]


@pytest.mark.filterwarnings("ignore")
def test_the_time_of_a_training_includes_that_before_an_interruption(whole: Any, tmp_path: Path) -> None:
    folder, *_ = whole
    content = copy.deepcopy(torch.load(folder / "14.ckpt", weights_only=True))
    assert 0 < content["smash"]["seconds"] < torch.load(folder / "21.ckpt", weights_only=True)["smash"]["seconds"]
    content["smash"]["seconds"] = 1000.0
    torch.save(content, tmp_path / "slow.ckpt")
    fit(tmp_path, SaveAt(tmp_path, (21,)), checkpoint=tmp_path / "slow.ckpt")
    assert load_hypernet(tmp_path / "21.ckpt", SPACE, small_data().specification()).seconds > 1000
