"""What a step copies to a GPU, and what it waits for: counted on the device "meta", checked where there is a GPU."""

import itertools
import pickle
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.host_tables import unpack
from smash_lightning.hypernet import WeightSource
from smash_lightning.network import StandaloneNetwork, Weights, forward
from smash_lightning.network.banks import accesses
from smash_lightning.training import HyperNetModule
from smash_lightning.training.planning import Planner, make_plan
from tests.cases import CASES, Case
from tests.network.counting import TransferCounter
from tests.scoring.small_scoring_data import CASE, make_scorer
from tests.stages.small_run import SPACE, small_data
from tests.training.test_search_module import KINDS, SEARCH, Training

CPU, META = torch.device("cpu"), torch.device("meta")
OUR_KINDS = [kind for kind in KINDS if kind != "from outside"]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise without a generator, which the device "meta" does not have; nothing is cached."""

    def noise(source: WeightSource, architecture: Any, generator: None) -> Tensor | None:
        shape = source.noise_shape(architecture)
        return None if shape is None else torch.randn(shape, device="meta")

    monkeypatch.setattr(WeightSource, "noise", noise)
    for module in ("training.search_module", "scoring.scorer"):
        monkeypatch.setattr(f"smash_lightning.{module}.generator", lambda *key, device: None)
    monkeypatch.setattr(torch, "autocast", lambda *device, enabled: nullcontext())
    accesses.cache_clear()


def module_of(kind: str, case: Case, ahead: int, device: torch.device) -> HyperNetModule:
    module = HyperNetModule(case.space, KINDS[kind], SEARCH, 0).to(device)
    training = Training(0)
    training.log_every_n_steps = training.global_step = 50  # type: ignore[attr-defined]
    training.lightning_module = module  # type: ignore[attr-defined]
    module.trainer = training  # type: ignore[assignment]
    module.planner = Planner(module.draw, ahead)
    return module


@pytest.mark.parametrize("bad_steps", [0, 1])
@pytest.mark.parametrize("kind", OUR_KINDS)
@pytest.mark.usefixtures("meta")
def test_a_step_planned_ahead_makes_one_asynchronous_copy_and_reads_nothing(kind: str, bad_steps: int) -> None:
    case = CASES["v2-2d"]
    module = module_of(kind, case, ahead=0, device=META)
    module.options = replace(SEARCH, skip_bad_steps=bad_steps)
    draw = pickle.dumps(module.draw)
    module.planner.plan = lambda batches: make_plan(draw, *next(batches))  # type: ignore[method-assign]
    optimizer = module.configure_optimizers()["optimizer"]
    batch = (torch.empty(4, 3, 8, 8, device=META), torch.empty(4, dtype=torch.int64, device=META))
    for index in range(2):
        with TransferCounter() as counter:
            module.training_step(batch, index).backward()
            module.on_before_optimizer_step(optimizer)
        assert counter.counts == {"asynchronous copy": 1}


@pytest.mark.usefixtures("meta")
def test_a_standalone_step_copies_once_in_a_training() -> None:
    network = StandaloneNetwork(CASES["v2-2d"].draw(1), CASES["v2-2d"].space.image_spec).to(META)
    images, labels = torch.empty(4, 3, 8, 8, device=META), torch.empty(4, dtype=torch.int64, device=META)
    counts = []
    for _ in range(2):
        with TransferCounter() as counter:
            F.cross_entropy(network(images), labels).backward()
        counts.append(counter.counts)
    assert counts == [{"asynchronous copy": len(network.architecture.blocks)}, {}]


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_mixed_precision_is_for_the_network_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    types: list[set[torch.dtype]] = []

    def observed(
        architecture: Architecture, image_spec: ImageSpec, weights: Weights, *rest: Any, **more: Any
    ) -> Tensor:
        logits = forward(architecture, image_spec, weights, *rest, **more)
        types.extend([{weight.dtype for weight in weights.values()}, {logits.dtype}])
        return logits

    monkeypatch.setattr("smash_lightning.training.search_module.forward", observed)
    module = module_of(kind, CASE, ahead=0, device=CPU)
    with torch.autocast("cpu", torch.bfloat16):
        loss = module.training_step((torch.randn(8, 3, 8, 8), torch.arange(8) % 5), 0)
    loss.backward()
    assert types[:2] == [{torch.float32}, {torch.bfloat16}]
    assert loss.dtype == torch.float32
    assert all(buffer.dtype == torch.float32 for buffer in module.statistics.buffers())
    assert all(
        p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in module.parameters() if p.grad is not None
    )


@pytest.mark.parametrize("kind", OUR_KINDS)
@pytest.mark.usefixtures("meta")
def test_a_score_stays_on_the_device_until_all_are_known(kind: str) -> None:
    scorer = make_scorer(kind=kind, hypernets=2).to("meta")
    with TransferCounter() as counter, pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        scorer.scores([CASE.draw(1), CASE.draw(2)])
    assert counter.counts.pop("asynchronous copy", 0) <= 2 * 7, "2 blocks have 2 tables, and c is one for each HyperNet"
    assert counter.counts == {"blocking copy": 1}, "the result of both"


def test_a_plan_made_ahead_is_the_plan_of_the_step() -> None:
    module = module_of("residual", CASES["v1-2d"], ahead=2, device=CPU)
    batches = list(itertools.islice(module.batches(0, 0), 6))
    assert batches == [(step, 0) for step in range(6)]
    here, there = Planner(module.draw, 0), module.planner
    for first in (0, 1, 2, 5, 3):  # also where the steps that were planned do not come, as after a resumption
        plan, ahead = (planner.plan(iter(batches[first:])) for planner in (here, there))
        assert plan.drawn == ahead.drawn
        assert plan.tables is None
        assert ahead.tables is not None
        calls = module.draw.calls(ahead.drawn)
        assert len({function for function, _ in calls}) == 3, "of banks, c and shared matrices"
        for (function, arguments), table in zip(calls, unpack(ahead.tables, CPU), strict=True):
            assert torch.equal(table, torch.from_numpy(function(*arguments)))
    there.close()
    assert there.plan(iter(batches)).drawn == here.plan(iter(batches)).drawn, "without the process"


def test_batches_ahead_follow_accumulation_and_ranks() -> None:
    module = HyperNetModule(SPACE, KINDS["residual"], SEARCH, 0)
    module.trainer = Training(1, world=2, accumulated=2)  # type: ignore[assignment]
    assert list(itertools.islice(module.batches(7, 1), 4)) == [(7, 3), (8, 1), (8, 3), (9, 1)]


class Strict(L.Callback):
    """Raises an error where a step waits for the GPU, between the first step and the last."""

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if trainer.global_step else "default")

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@on_gpu
@pytest.mark.parametrize("bad_steps", [0, 1])
@pytest.mark.parametrize("kind", OUR_KINDS)
def test_no_step_waits_for_a_gpu(kind: str, bad_steps: int) -> None:
    module = HyperNetModule(SPACE, KINDS[kind], replace(SEARCH, skip_bad_steps=bad_steps), 0)
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="gpu", devices=1, max_steps=8, callbacks=[Strict()], log_every_n_steps=99, **options
    )
    trainer.fit(module, datamodule=small_data())
