from __future__ import annotations

import math
from pathlib import Path

import pytest

from smash_lightning.stages.job import (
    Job,
    Result,
    failures,
    forget_failures,
    remember_sweep,
    require_same,
    require_same_sweep,
    unended,
)

CONFIG = {"seed": 0, "task": {"preset": "wrn"}, "dataset": {"source": {"root": "here"}, "validation": 5}, "workers": 1}


@pytest.mark.parametrize("value", [None, 0.1, 1 / 3, -math.pi * 1e-300])
def test_a_figure_comes_back_to_the_last_bit(tmp_path: Path, value: float | None) -> None:
    path = tmp_path / "result.json"
    assert Result.read(path) is None
    Result("rank", value).write(path)
    assert Result.read(path) == Result("rank", value)


def test_a_figure_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Result("rank", math.nan).write(tmp_path / "result.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"task": "rank"}', "3"])
def test_a_broken_result_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match="does not hold a result"):
        Result.read(tmp_path / "result.json")


def test_what_may_differ_may_and_nothing_else(tmp_path: Path) -> None:
    excepted = ["workers", "task"]
    moved = {
        **CONFIG,
        "workers": 8,
        "task": {"preset": "resnet"},
        "dataset": {"source": {"root": "there"}, "validation": 5},
    }
    require_same(CONFIG, moved, tmp_path, excepted)
    require_same(CONFIG, {**CONFIG, "gpu": None}, tmp_path, excepted)  # an option that older runs did not have
    for changed, told in {
        "seed was 0, now 1": {"seed": 1},
        "dataset.validation was 5, now 6": {"dataset": {"source": {"root": "here"}, "validation": 6}},
        "tasks was absent, now 1": {"tasks": 1},
    }.items():
        with pytest.raises(ValueError, match=f"{tmp_path} was run with other values: {changed}"):
            require_same(CONFIG, {**CONFIG, **told}, tmp_path, excepted)
    many = {f"option{number}": 1 for number in range(5)}
    with pytest.raises(ValueError, match="and 2 more"):
        require_same(CONFIG, {**CONFIG, **many}, tmp_path, excepted)


def test_failures_are_told_in_order_by_their_first_line(tmp_path: Path) -> None:
    assert failures(tmp_path) == []
    for number in (10, 2):
        job = Job(number, (f"seed={number}",), tmp_path / str(number), tmp_path)
        assert not job.failed()
        job.fail("no memory\nand much more")
        assert job.failed()
    assert failures(tmp_path) == ["job 2 (seed=2): no memory", "job 10 (seed=10): no memory"]
    forget_failures(tmp_path)
    assert failures(tmp_path) == []
    forget_failures(tmp_path)


def test_a_job_that_is_gone_is_neither_ended_nor_failed(tmp_path: Path) -> None:
    for number in (11, 10, 9, 3):
        (tmp_path / str(number)).mkdir()
    Result("rank", None).write(tmp_path / "10" / "result.json")
    Job(3, (), tmp_path / "3", tmp_path).fail("no memory")
    assert unended(tmp_path) == ["9", "11"]


def test_a_sweep_is_continued_with_the_same_overrides(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    require_same_sweep(sweep, ["seed=0,1"], ())
    remember_sweep(sweep, ["seed=0,1", "hypernet.width=4,8", "logger=none"])
    require_same_sweep(sweep, ["hypernet.width=4,8", "seed=0,1", "logger=csv"], ("logger",))
    with pytest.raises(ValueError, match=f"{sweep} holds another sweep, with seed=0,1 instead of seed=0,1,2: "):
        require_same_sweep(sweep, ["hypernet.width=4,8", "seed=0,1,2"], ("logger",))
    with pytest.raises(ValueError, match=r"with seed=0,1 instead of nothing: "):
        require_same_sweep(sweep, ["hypernet.width=4,8"], ("logger",))
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(ValueError, match=f"{tmp_path} holds a single run"):
        require_same_sweep(tmp_path, [], ())
