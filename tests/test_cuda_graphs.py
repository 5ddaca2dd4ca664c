"""Passes recorded as CUDA graphs are those without; where there is no GPU, with a recording in Python."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from smash_lightning.cuda_graphs import recorded
from smash_lightning.hypernet import GridDenseNet, densenet
from smash_lightning.hypernet.densenet import GraphedDenseNet
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.training import HyperNetModule, RetrainModule
from smash_lightning.training.base import TrainingModule
from tests.hypernet.kinds import SPECIFICATIONS
from tests.hypernet.test_generated import SHAPES
from tests.stages.small_run import RETRAIN, SEARCH, SPACE, small_data

GPU = torch.cuda.is_available()
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not GPU, reason="there is no GPU"))]


class Recordings:
    """In place of `torch.cuda.make_graphed_callables`: copies inputs to the samples and computes with these."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, run: Callable[..., Tensor], samples: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        self.count += 1
        parameters = [sample for sample in samples if sample.requires_grad]
        for _ in range(3):
            torch.autograd.grad(run(*samples).sum(), parameters)

        def replay(*inputs: Tensor) -> Tensor:
            for sample, given in zip(samples, inputs, strict=True):
                assert sample.shape == given.shape
                assert (sample is given) == sample.requires_grad, "parameters are not copied"
                if sample is not given:
                    sample.copy_(given)
            return run(*samples)

        return replay


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> Recordings:
    made = Recordings()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", made)
    monkeypatch.setattr(TrainingModule, "may_use_graphs", lambda module: True)
    return made


@pytest.mark.parametrize("large", [0, densenet.LARGE])
@pytest.mark.parametrize("shape", SHAPES)
def test_absent_slices_change_no_value_and_no_gradient(shape: str, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(densenet, "LARGE", large)
    width, depths, growth = SHAPES[shape]
    network = GridDenseNet(7, 6, width, depths, growth, True, generator("graphs", shape)).double()
    c = torch.randn(1, 8, 3, 11, generator=generator("c"), dtype=torch.float64, requires_grad=True)
    direction = torch.randn(1, 6, 3, 11, generator=generator("direction"), dtype=torch.float64)
    graphs = GraphedDenseNet(network)
    graphs._graphs[64] = network
    results = []
    for run in (network, graphs):
        grid = run(c)
        results.append((grid, *torch.autograd.grad((grid * direction).sum(), [c, *network.parameters()])))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    present = torch.zeros(1, 1, 1, 11, dtype=torch.float64)
    present[..., :4] = 1
    assert not network(c * present, present)[..., 4:].any()


def trained(module: Any, device: str, **options: Any) -> dict[str, Tensor]:
    options |= {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "limit_val_batches": 0}
    trainer = L.Trainer(accelerator="gpu" if device == "cuda" else "cpu", devices=1, max_steps=8, **options)
    trainer.fit(module, datamodule=small_data().ordered(Stream.RETRAIN, *getattr(module, "seeds", [0])))
    return {name: tensor.cpu() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["conditional", "without noise", "unconditional", "residual", "shared"])
def test_a_hypernet_is_trained_equally(kind: str, device: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue("recordings") if device == "cpu" else None
    eager, graphs = (
        trained(HyperNetModule(SPACE, SPECIFICATIONS[kind], replace(SEARCH, graphs=graphs), 0), device)
        for graphs in (False, True)
    )
    if made is not None:
        assert made.count == (kind != "shared"), "one recording serves all architectures"
    for name, tensor in eager.items():
        torch.testing.assert_close(graphs[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("device", DEVICES)
def test_networks_are_trained_equally(device: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue("recordings") if device == "cpu" else None
    architecture, options = SPACE.sample(rng("graphs")), replace(RETRAIN, cutout=2, mixup=0.2, clip=1.0)
    eager, graphs = (
        trained(RetrainModule(architecture, SPACE.image_spec, replace(options, graphs=graphs), [3, 4]), device)
        for graphs in (False, True)
    )
    if made is not None:
        assert made.count == 1
        assert all(torch.equal(graphs[name], tensor) for name, tensor in eager.items()), "running averages too"
    for name, tensor in eager.items():
        torch.testing.assert_close(graphs[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.usefixtures("recordings")
def test_random_zeros_are_not_recorded() -> None:
    module = RetrainModule(
        SPACE.sample(rng("graphs")), SPACE.image_spec, replace(RETRAIN, dropout=0.1, graphs=True), [0]
    )
    trained(module, "cpu")
    assert module._graph is None


def test_a_pass_that_cannot_be_recorded_is_as_before(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(run: Callable[..., Tensor], samples: tuple[Tensor, ...]) -> None:
        run(*samples)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    module = torch.nn.BatchNorm1d(3)
    with caplog.at_level(logging.WARNING):
        assert recorded(module, torch.randn(5, 3)) is module
    assert [record.getMessage() for record in caplog.records] == [
        "no CUDA graph of BatchNorm1d: operation not permitted when stream is capturing"
    ]
    assert torch.equal(module.running_mean, torch.zeros(3)), "as before the attempt"


def test_there_are_no_graphs_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cuda, "make_graphed_callables")
    assert trained(HyperNetModule(SPACE, SPECIFICATIONS["residual"], replace(SEARCH, graphs=True), 0), "cpu")
