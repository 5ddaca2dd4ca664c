"""HyperNets that are told another c than the architecture's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from smash_lightning.analyses import corruption
from smash_lightning.analyses.corrupted_encoding import Another, Misinformed, Noisy, Nothing, Told
from smash_lightning.analyses.corruption import ANOTHER, OWN, Corrupted, compare, conditions
from smash_lightning.architecture import Architecture
from smash_lightning.encoding.encoder import EMPTY
from smash_lightning.evaluation.tables import Scored, read_records
from smash_lightning.hypernet import (
    ConditionalHyperNet,
    HyperNetSpecification,
    SharedWeights,
    UnconditionalHyperNet,
    WeightSource,
)
from smash_lightning.random_streams import generator, rng
from tests.analyses.small_analysis import NOBODY, RANDOM, TRAINED, Noting, experiment_on, left, run_to_investigate
from tests.cases import BARE_CASES, Case, every_bare_case
from tests.hypernet.kinds import of_case
from tests.stages.small_run import SEARCH

NAN = float("nan")
LEVELS = [0, 0.5, 4]


def weights_of(case: Case, kind: type[Any] = ConditionalHyperNet) -> Any:
    return of_case(kind, case)


def told(source: ConditionalHyperNet, lie: Told, architecture: Architecture) -> dict[str, Tensor]:
    z = source.noise(architecture, generator("z"))
    return dict(Misinformed(source, lie)(architecture, z))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@every_bare_case
def test_told_the_truth_nothing_changes(case: Case) -> None:
    source, architecture, other = weights_of(case), case.draw(1), case.draw(2)
    expected = dict(source(architecture, source.noise(architecture, generator("z"))))
    assert same(told(source, Noisy(0, 5), architecture), expected)
    assert same(told(source, Another({architecture.fingerprint: architecture}), architecture), expected)
    assert not same(told(source, Noisy(1, 5), architecture), expected)
    assert not same(told(source, Another({architecture.fingerprint: other}), architecture), expected)


@every_bare_case
def test_told_nothing_it_generates_as_one_that_sees_no_architecture(case: Case) -> None:
    source, unconditional, architecture = weights_of(case), weights_of(case, UnconditionalHyperNet), case.draw(1)
    unconditional.load_state_dict(source.state_dict())
    expected = dict(unconditional(architecture, unconditional.noise(architecture, generator("z"))))
    assert same(told(source, Nothing(), architecture), expected)


@every_bare_case
def test_the_c_of_another_is_cut_or_filled_up_with_empty_slices(case: Case) -> None:
    source, lengths = weights_of(case), set()
    for seed in range(12):
        mine, other = case.draw(seed), case.draw(seed + 1)
        found = Another({mine.fingerprint: other}).c(source, mine)
        own, theirs = source.encode(mine), source.encode(other)
        assert found.shape == own.shape
        for slice_ in range(own.shape[-1]):
            local_device = theirs[..., slice_] if slice_ < theirs.shape[-1] else torch.full_like(own[..., 0], EMPTY)
            assert torch.equal(found[..., slice_], local_device)
        lengths.add(np.sign(own.shape[-1] - theirs.shape[-1]))
    assert {-1, 1} <= lengths, "both were seen"


def test_noise_has_one_direction_for_each_architecture_and_the_size_that_is_asked_for() -> None:
    case = BARE_CASES["v1-2d"]
    source, architecture = weights_of(case), case.draw(1)
    c = source.encode(architecture)
    one, four = (Noisy(sigma, 5).c(source, architecture) - c for sigma in (1, 4))
    torch.testing.assert_close(four, 4 * one, atol=1e-5, rtol=1e-5)
    assert one.std().item() == pytest.approx(1, abs=0.1)
    assert one.mean().item() == pytest.approx(0, abs=0.1)
    assert not torch.allclose(one, Noisy(1, 6).c(source, architecture) - c, atol=1e-3)
    alike = next(a for a in map(case.draw, range(2, 99)) if source.encode(a).shape == c.shape and a != architecture)
    assert not torch.allclose(one, Noisy(1, 5).c(source, alike) - source.encode(alike), atol=1e-3)


def test_every_architecture_is_told_of_another_one_and_each_is_told_once() -> None:
    pool = [BARE_CASES["v1-2d"].draw(seed) for seed in range(6)]
    lies = conditions(pool, [4, 0, 0.5], 0)
    assert list(lies) == [OWN, "noise of 0.5", "noise of 4", ANOTHER, "an empty c"]
    another = lies[ANOTHER][1]
    assert isinstance(another, Another)
    assert all(another.partners[one.fingerprint] != one for one in pool)
    assert set(another.partners.values()) == set(pool)


# --- figures ---


def table(losses: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, list[Corrupted]]:
    places = range(len(truth))
    return {
        name: [Corrupted(name, NAN, f"a{i}", c[i], 10 * c[i], repr(c[i]), truth[i]) for i in places]
        for name, c in losses.items()
    }


@pytest.fixture
def made_up() -> tuple[dict[str, np.ndarray], np.ndarray]:
    chance = np.random.default_rng(0)
    own = chance.normal(size=20)
    losses = {OWN: own, "shifted": own + 0.25, "other": own + chance.normal(size=20)}
    truth = own + chance.normal(size=20)
    truth[[2, 5, 11]] = NAN
    return losses, truth


def test_effects_are_what_the_slow_way_gives(made_up: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    losses, truth = made_up
    known = ~np.isnan(truth)
    effects = compare(table(losses, truth), 300, 0)
    for name, loss in losses.items():
        effect = effects[name]
        assert effect.loss is not None
        assert effect.error is not None
        assert effect.truth is not None
        assert effect.loss.value == pytest.approx(loss.mean())
        assert effect.error.value == pytest.approx(10 * loss.mean())
        assert effect.truth.value == pytest.approx(spearmanr(loss[known], truth[known]).statistic)
        if name == OWN:
            assert (effect.loss_minus_own, effect.error_minus_own, effect.order) == (None, None, None)
            continue
        assert effect.loss_minus_own is not None
        assert effect.error_minus_own is not None
        assert effect.order is not None
        assert effect.truth_minus_own is not None
        assert effect.loss_minus_own.value == pytest.approx((loss - losses[OWN]).mean())
        assert effect.error_minus_own.value == pytest.approx(10 * (loss - losses[OWN]).mean())
        assert effect.order.value == pytest.approx(spearmanr(loss, losses[OWN]).statistic)
        own = spearmanr(losses[OWN][known], truth[known]).statistic
        assert effect.truth_minus_own.value == pytest.approx(effect.truth.value - own)


def test_differences_are_paired(made_up: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    shifted = compare(table(*made_up), 300, 0)["shifted"]
    assert shifted.loss_minus_own is not None
    assert shifted.truth_minus_own is not None
    assert shifted.loss is not None
    assert (shifted.loss_minus_own.low, shifted.loss_minus_own.high) == pytest.approx((0.25, 0.25))
    assert (shifted.truth_minus_own.low, shifted.truth_minus_own.high) == pytest.approx((0, 0), abs=1e-12)
    assert shifted.loss.high - shifted.loss.low > 0.5


# --- on a run ---


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_to_investigate(tmp_path_factory.mktemp("corruption") / "run")


def test_it_leaves_table_figures_and_picture(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noting = Noting()
    cost = corruption(experiment_on(source, tmp_path), noting, architectures=99, levels=LEVELS)
    rows, figures = left(tmp_path, "corruption")
    assert len(rows) == noting.tables["corruption"] == RANDOM * 5
    assert (figures["architectures"], figures["with_truth"], figures["hypernets"]) == (RANDOM, TRAINED, 2)
    ranked = {row.fingerprint: row for row in read_records(source / "ranking.csv", Scored)}
    for row in rows:
        if row["told"] == OWN:
            earlier = ranked[row["fingerprint"]]
            assert float(row["val_loss"]) == pytest.approx(earlier.val_loss, rel=1e-6)
            assert float(row["val_error"]) == pytest.approx(earlier.val_error)
            assert row["val_loss_by_hypernet"].count(";") == 1
    by_told = {name: [float(row["val_loss"]) for row in rows if row["told"] == name] for name in figures["effects"]}
    expected = np.mean(by_told[ANOTHER]) - np.mean(by_told[OWN])
    assert figures["effects"][ANOTHER]["loss_minus_own"]["value"] == pytest.approx(expected)
    assert cost == figures["effects"][ANOTHER]["loss_minus_own"]["value"] != 0
    assert noting.figures[f"corruption/effects/{ANOTHER}/loss_minus_own"] == cost
    assert noting.images == {"corruption_png": tmp_path / "corruption.png"}
    printed = capsys.readouterr().out
    assert all(name in printed for name in figures["effects"])
    assert max(map(len, printed.splitlines())) <= 120


def test_those_with_a_true_loss_come_first(source: Path, tmp_path: Path) -> None:
    corruption(experiment_on(source, tmp_path), NOBODY, architectures=TRAINED, levels=[1])
    _, figures = left(tmp_path, "corruption")
    assert (figures["architectures"], figures["with_truth"]) == (TRAINED, TRAINED)


def test_without_trainings_the_truth_is_left_out(source: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    (earlier / "checkpoints").mkdir(parents=True)
    for name in ("ranking.csv", "architectures.jsonl", "checkpoints/hypernet0.ckpt", "checkpoints/hypernet1.ckpt"):
        (earlier / name).write_bytes((source / name).read_bytes())
    cost = corruption(experiment_on(earlier, tmp_path / "new"), NOBODY, architectures=6, levels=[1])
    rows, figures = left(tmp_path / "new", "corruption")
    assert cost is not None
    assert figures["with_truth"] == 0
    assert {row["true_loss"] for row in rows} == {"nan"}
    assert {effect["truth"] for effect in figures["effects"].values()} == {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architectures": 4}, r"^task.architectures must be at least 5, got 4$"),
        ({"levels": [1, -1]}, r"^task.levels must be different numbers of at least 0, got \[1, -1\]$"),
        ({"levels": [1, 1.0]}, r"^task.levels must be different numbers"),
        ({"levels": []}, r"^task.levels must be different numbers"),
    ],
)
def test_options_that_make_no_sense(source: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corruption(experiment_on(source, tmp_path), NOBODY, **{"architectures": 6, "levels": [1]} | options)


def test_runs_that_do_not_do(source: Path, tmp_path: Path) -> None:
    options = {"architectures": 6, "levels": [1]}
    with pytest.raises(ValueError, match=r"^there is no HyperNet in .*checkpoint=PATH"):
        corruption(experiment_on(tmp_path / "none", tmp_path / "a"), NOBODY, **options)
    hypernets = tmp_path / "hypernets" / "checkpoints"
    hypernets.mkdir(parents=True)
    for name in ("hypernet0.ckpt", "hypernet1.ckpt"):
        (hypernets / name).write_bytes((source / "checkpoints" / name).read_bytes())
    with pytest.raises(ValueError, match=r"^there is no ranking in .*/hypernets: .*checkpoint=FOLDER"):
        corruption(experiment_on(hypernets.parent, tmp_path / "b"), NOBODY, **options)


@pytest.mark.parametrize("kind", [SharedWeights, UnconditionalHyperNet])
def test_what_sees_no_c_cannot_be_misinformed(tmp_path: Path, kind: type[WeightSource]) -> None:
    hypernet = HyperNetSpecification.of(ConditionalHyperNet, depths=(2, 1), growth=4)
    changes = {"hypernet": hypernet.with_kind(kind), "search": SEARCH}
    run = run_to_investigate(tmp_path / "run", trained=False, **changes)
    message = rf"^task=corruption asks .* of {run} see none \({kind.__name__}\): .*hypernet=conditional"
    with pytest.raises(ValueError, match=message):
        corruption(experiment_on(run, tmp_path / "new", **changes), NOBODY, architectures=6, levels=[1])


def test_too_few_architectures(source: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    (earlier / "checkpoints").mkdir(parents=True)
    for name in ("architectures.jsonl", "checkpoints/hypernet0.ckpt", "checkpoints/hypernet1.ckpt"):
        (earlier / name).write_bytes((source / name).read_bytes())
    lines = (source / "ranking.csv").read_text().splitlines(keepends=True)
    perturbed = [line for line in lines if ",perturb," in line]
    kept = [line for line in lines[1:] if ",random," in line][:4]
    rng("order").shuffle(kept)
    (earlier / "ranking.csv").write_text("".join([lines[0], *perturbed, *kept]))
    message = r"holds 4 random architectures with a score, and fewer than 5 .*ranking.strategies.random.count"
    with pytest.raises(ValueError, match=message):
        corruption(experiment_on(earlier, tmp_path / "new"), NOBODY, architectures=6, levels=[1])
