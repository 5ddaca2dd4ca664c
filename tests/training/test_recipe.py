"""Parts of a recipe of standalone training, against laws and slow obvious versions."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.engine import Stopped
from smash_lightning.evaluation.ground_truths import named_digest
from smash_lightning.network import Dropping, StandaloneNetwork
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.search_space.presets import fractalnet, resnet, shake
from smash_lightning.stages.calibrate import identity_of
from smash_lightning.stages.retrain import Job, train_networks
from smash_lightning.training import GracefulStop, RetrainModule, networks_side_by_side
from smash_lightning.training.base import TrainingModule
from smash_lightning.training.recipe import clip, cut_out, mix
from tests.stages.small_run import RETRAIN, SPACE, small_experiment
from tests.training.test_search_module import Snapshots, slow_averages

EVERYTHING: dict[str, Any] = {
    "optimizer": partial(torch.optim.AdamW, betas=(0.8, 0.99)),
    "warm_up": 0.2,
    "clip": 0.5,
    "average": 0.8,
    "label_smoothing": 0.1,
    "dropout": 0.2,
    "drop_path": 0.2,
    "shake": True,
    "cutout": 3,
    "mixup": 0.2,
    "cutmix": 1.0,
}
SIZES = [(7, 9), (5, 4, 6)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [1, 3, 4])
def test_cutout_is_a_square_around_a_pixel_that_ends_at_the_border(size: tuple[int, ...], side: int) -> None:
    images = torch.rand(200, 2, *size) + 1
    cut = cut_out(images, side, 7, 0)
    draws = generator(Stream.CUTOUT, 7, 0)
    centers = torch.stack([torch.randint(length, (200,), generator=draws) for length in size], 1).tolist()
    for image, before, center in zip(cut, images, centers, strict=True):
        for pixel in product(*map(range, size)):
            zero = all(c - side // 2 <= p < c - side // 2 + side for p, c in zip(pixel, center, strict=True))
            place = (slice(None), *pixel)
            assert torch.equal(image[place], torch.zeros(2) if zero else before[place])


@pytest.mark.parametrize("size", SIZES)
def test_mixup_is_the_mean_of_two_images_weighted_by_the_share(size: tuple[int, ...]) -> None:
    images = torch.rand(8, 2, *size, dtype=torch.float64)
    mixed, partners, share = mix(images, 0.4, 0, 8, 0)
    assert sorted(partners.tolist()) == list(range(8))
    for image, own, partner in zip(mixed, images, partners, strict=True):
        torch.testing.assert_close(image, share * own + (1 - share) * images[partner])
    shares = torch.tensor([mix(images, 0.4, 0, 8, step)[2] for step in range(2000)])
    # Mean and variance of the beta distribution: 1/2 and 1 / (4 (2 alpha + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.04)
    assert shares.var() == pytest.approx(1 / 4 / 1.8, abs=0.01)


@pytest.mark.parametrize("size", SIZES)
def test_cutmix_is_a_box_of_the_other_image_and_its_share_is_counted(size: tuple[int, ...]) -> None:
    images = torch.arange(8.0).view(8, 1, *[1] * len(size)).expand(8, 2, *size)
    for step in range(20):
        mixed, partners, share = mix(images, 0, 1.0, 8, step)
        for index, partner in enumerate(partners.tolist()):
            other = mixed[index, 0] != index
            assert torch.equal(mixed[index], torch.where(other, images[partner], images[index]))
            if partner != index:
                assert share == pytest.approx(1 - other.double().mean().item())
                inside = [other.any(dim=tuple(d for d in range(other.ndim) if d != axis)) for axis in range(other.ndim)]
                assert math.prod(int(line.sum()) for line in inside) == other.sum(), "one box"


def test_with_both_a_batch_is_mixed_by_one_of_them() -> None:
    images = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 1, 8, 8)
    by_cutmix = [bool(((x := mix(images, 1.0, 1.0, 9, step)[0]) == x.round()).all()) for step in range(400)]
    assert 160 < sum(by_cutmix) < 240


def test_the_loss_of_mixed_images_is_the_cross_entropy_with_both_labels() -> None:
    """And with smoothed ones, for each seed on its own."""
    options = replace(RETRAIN, mixup=1.0, label_smoothing=0.2)
    module = RetrainModule(SPACE.sample(rng("loss", 0)), SPACE.image_spec, options, [3, 4]).double()
    module._trainer = SimpleNamespace(current_epoch=0, global_step=0, log_every_n_steps=2)
    images, labels = torch.randn(6, 2, 8, 8, dtype=torch.float64), torch.randint(10, (6, 2))
    loss, expected = module.training_step((images, labels), 5), 0.0
    parts = [mix(images[:, k, None], 1.0, 0, seed, 0, 5) for k, seed in enumerate((3, 4))]
    logits = module.network(torch.cat([part[0] for part in parts], 1)).view(6, 2, 10)
    for k, (_, partners, share) in enumerate(parts):
        hot = F.one_hot(labels[:, k], 10).double()
        target = 0.8 * (share * hot + (1 - share) * hot[partners]) + 0.2 / 10
        expected -= (target * logits[:, k].log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("by_trainer", [False, True])
def test_gradients_are_clipped_for_each_network(by_trainer: bool) -> None:
    networks = [StandaloneNetwork(resnet(10, 4), ImageSpec(1, (8, 8), 3), generator(k)) for k in range(3)]
    together = StandaloneNetwork(resnet(10, 4), ImageSpec(1, (8, 8), 3), *map(generator, range(3)))
    for network, scale in zip(networks, (1e-3, 1.0, math.nan), strict=True):
        for parameter in network.parameters():
            parameter.grad = scale * torch.randn(parameter.shape)
    for parameter, *alone in zip(together.parameters(), *(network.parameters() for network in networks), strict=True):
        parameter.grad = torch.cat([own.grad for own in alone])
    if by_trainer:
        module = RetrainModule(resnet(10, 4), ImageSpec(1, (8, 8), 3), RETRAIN, range(3))
        module.network = together
        module.configure_gradient_clipping(module.configure_optimizers(), 0.5)
    else:
        clip(together.parameters(), 3, 0.5)
    for network in networks:
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    for parameter, *alone in zip(together.parameters(), *(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(parameter.grad, torch.cat([own.grad for own in alone]), equal_nan=True)


def test_dropout_is_of_values_and_drop_path_of_images() -> None:
    x = torch.rand(64, 6, 5, 5) + 1
    values = Dropping(units=0.3, generators=(generator(0), generator(1))).of_units(x)
    torch.testing.assert_close(values, torch.where(values == 0, 0, x / 0.7))
    assert (values == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    for k in range(2):
        draws = torch.rand(64, 3, 5, 5, generator=generator(k))
        assert torch.equal(values[:, 3 * k : 3 * k + 3] == 0, draws < 0.3)
    images = Dropping(paths=0.25, generators=(generator(0), generator(1))).of_paths(x)
    for k in range(2):
        own = slice(3 * k, 3 * k + 3)
        kept = torch.rand(64, generator=generator(k)) >= 0.25
        torch.testing.assert_close(images[:, own], torch.where(kept[:, None, None, None], x[:, own] / 0.75, 0))


def test_a_path_whose_last_convolution_reads_zeros_is_a_path_that_is_dropped() -> None:
    network = StandaloneNetwork(SPACE.sample(rng("zeros", 0)), SPACE.image_spec, generator(0))
    images, most = torch.randn(4, 1, 8, 8), 1 - 1e-9
    units, paths = (network(images, Dropping(*both, generators=(generator(1),))) for both in ((most, 0.0), (0.0, most)))
    torch.testing.assert_close(units, paths)
    assert not torch.allclose(units, network(images))


def test_a_random_mean_of_two_paths_has_other_shares_of_the_gradient() -> None:
    first, second = (torch.full((64, 4, 3, 3), value, requires_grad=True) for value in (1.0, 0.0))
    mixed = Dropping(shake=True, generators=(generator(0), generator(1))).mixed(first, second)
    mixed.sum().backward()
    torch.testing.assert_close(first.grad, 1 - second.grad)
    for k in range(2):
        share, of_gradient = torch.rand(2, 64, 1, 1, 1, generator=generator(k)).expand(-1, -1, 2, 3, 3)
        torch.testing.assert_close(mixed[:, 2 * k : 2 * k + 2], share)
        torch.testing.assert_close(first.grad[:, 2 * k : 2 * k + 2], of_gradient)
    torch.testing.assert_close(Dropping().mixed(first, second), torch.full_like(first, 0.5))


def test_a_mean_is_that_of_the_parts_that_remain() -> None:
    """Of three parts of a join, each remains with one half, and at least one: six subsets of 1/8, and 1/8 more for one
    of the single parts.
    """
    (block,) = fractalnet(columns=3, blocks=1).blocks
    images, value = torch.zeros(20_000, 3, 1, 1), {-1: 1.0, 2: 10.0, 3: 100.0}
    content = torch.full((20_000,), value[-1])
    for o, count in enumerate(Dropping(paths=0.5, generators=(generator(0),)).writes(block, images)):
        if block.ops[o].write == (0,):
            content = torch.lerp(content, torch.tensor(value[o]), 1 / count[:, 0])
        else:
            assert count.eq(1).all() or block.ops[o].write == (1,), "the only part of a bank remains"
    subsets = [some for size in (1, 2, 3) for some in combinations(value.values(), size)]
    found = [content.sub(mean(some)).abs().lt(1e-3).double().mean().item() for some in subsets]
    assert sum(found) == 1
    assert found == pytest.approx([1 / 8 + 1 / 24] * 3 + [1 / 8] * 4, abs=0.01)


@pytest.mark.parametrize("architecture", [fractalnet(3, 4), shake(14, 4)], ids=["fractalnet", "shake-shake"])
def test_networks_with_random_paths_side_by_side_are_each_alone(architecture: Architecture) -> None:
    spec, dropping = ImageSpec(1, (8, 8), 5), partial(Dropping, 0.2, 0.3, True)
    images = torch.randn(6, 2, 8, 8, dtype=torch.float64)
    network = StandaloneNetwork(architecture, spec, generator(0), generator(1)).double()
    logits = network(images, dropping((generator(10), generator(11)))).chunk(2, 1)
    for k in range(2):
        alone = StandaloneNetwork(architecture, spec, generator(k)).double()
        torch.testing.assert_close(logits[k], alone(images[:, k : k + 1], dropping((generator(10 + k),))))
    assert not torch.allclose(logits[0], network(images).chunk(2, 1)[0])


def test_the_learning_rate_rises_before_the_cosine() -> None:
    module, optimizer = TrainingModule(), torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], 0.4)
    module._trainer = SimpleNamespace(estimated_stepping_batches=20)
    scheduler, rates = module.with_cosine(optimizer, 0.25)["lr_scheduler"]["scheduler"], []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    cosine = [0.2 * (1 + math.cos(math.pi * step / 15)) for step in range(15)]
    assert rates == pytest.approx([0, 0.08, 0.16, 0.24, 0.32, *cosine])


def test_only_elementwise_optimizers_train_seeds_side_by_side() -> None:
    small = ImageSpec(1, (8, 8), 10)
    assert networks_side_by_side(small, "cpu", EVERYTHING["optimizer"]) is None
    assert networks_side_by_side(small, "cpu", torch.optim.Adafactor) == 1


class StopAt(L.Callback):
    """Requests a stop at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step - 1:
            next(each for each in trainer.callbacks if isinstance(each, GracefulStop)).requested = lambda: True


def trained(folder: Path, *seeds: int, callbacks: Any = (), precision: str = "32-true", **recipe: Any) -> Any:
    """Rows, history and state of each seed after two epochs of seven steps."""
    experiment = small_experiment(folder, retrain=replace(RETRAIN, epochs=2, **recipe), callbacks=callbacks)
    experiment = replace(experiment, trainer=partial(experiment.trainer, precision=precision))
    experiment.folder.checkpoints.mkdir(exist_ok=True)
    architecture = resnet(10, 4)
    rows, history = train_networks(experiment, Job(architecture, frozenset(), seeds), lambda message: None)
    assert not any(row["failure"] for row in rows)
    states = [torch.load(experiment.folder.network(architecture.fingerprint, seed))["state_dict"] for seed in seeds]
    return [row["true_loss"] for row in rows], [row["epoch_loss"] for row in history], states


@pytest.mark.parametrize("recipe", [{}, EVERYTHING], ids=["plain", "every part"])
def test_seeds_side_by_side_are_each_alone(tmp_path: Path, recipe: dict[str, Any]) -> None:
    together = trained(tmp_path / "together", 0, 1, 2, precision="64-true", **recipe)
    for seed in range(3):
        alone = trained(tmp_path / str(seed), seed, precision="64-true", **recipe)
        assert together[0][seed] == pytest.approx(alone[0][0], rel=1e-9)
        assert together[1][2 * seed : 2 * seed + 2] == pytest.approx(alone[1], rel=1e-9)
        torch.testing.assert_close(together[2][seed], alone[2][0], rtol=1e-9, atol=1e-11)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", [{}, EVERYTHING], ids=["plain", "every part"])
def test_half_precision_is_near_full_precision(tmp_path: Path, recipe: dict[str, Any]) -> None:
    full, half = (trained(tmp_path / name, 0, 1, precision=name, **recipe) for name in ("32-true", "bf16-mixed"))
    assert half[0] != full[0]
    assert half[0] == pytest.approx(full[0], rel=0.05)
    assert half[1] == pytest.approx(full[1], rel=0.05)
    stored = [torch.load(path)["state_dict"] for path in (tmp_path / "bf16-mixed").glob("checkpoints/*.ckpt")]
    assert {tensor.dtype for state in stored for tensor in state.values()} <= {torch.float32, torch.int64}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [4, 7, 10])
def test_seeds_with_every_part_continue_to_the_same_bits(tmp_path: Path, step: int) -> None:
    whole = trained(tmp_path / "whole", 0, 1, **EVERYTHING)
    with pytest.raises(Stopped):
        trained(tmp_path / "stopped", 0, 1, callbacks=[partial(StopAt, step)], **EVERYTHING)
    resumed = trained(tmp_path / "stopped", 0, 1, **EVERYTHING)
    assert resumed[:2] == whole[:2]
    for one, other in zip(resumed[2], whole[2], strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.filterwarnings("ignore")
def test_the_averaged_network_is_saved_and_tested(tmp_path: Path) -> None:
    snapshots = Snapshots()
    (loss,), _, (state,) = trained(tmp_path / "averaged", 0, callbacks=[lambda: snapshots], average=0.8)
    *_, average = slow_averages(snapshots.states, 0.8)
    for name, tensor in average.items():
        torch.testing.assert_close(state[name].double(), tensor, rtol=1e-5, atol=1e-6)
    assert loss != trained(tmp_path / "plain", 0)[0][0]


def test_a_part_at_its_default_leaves_the_recipe_as_it_was(tmp_path: Path) -> None:
    """So the ground truths of earlier versions, which had no such options, are of the same recipe."""
    experiment = small_experiment(tmp_path)
    names = ("epochs", "learning_rate", "momentum", "weight_decay", "start", "use_validation")
    known = {name: getattr(RETRAIN, name) for name in names} | {"batch_size": 32, "augmentation": "None", "views": 1}
    assert identity_of(experiment).recipe == named_digest("1_epochs", known)
    assert EVERYTHING.keys() <= {field.name for field in fields(RETRAIN)}
    others = [replace(experiment, retrain=replace(RETRAIN, **{name: value})) for name, value in EVERYTHING.items()]
    recipes = {identity_of(other).recipe for other in others}
    assert len(recipes | {named_digest("1_epochs", known)}) == len(EVERYTHING) + 1
