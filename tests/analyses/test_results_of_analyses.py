"""What investigations share: figures as numbers, words, means."""

from __future__ import annotations

import numpy as np
import pytest

from smash_lightning.analyses.results import counted, digits, interval, mean, numbers, which, wrapped
from smash_lightning.evaluation.bootstrap import Estimate

CLEAR, UNCLEAR = Estimate(0.5, 0.25, 0.75, 200), Estimate(0.01, -0.02, 0.04, 200)


def test_every_number_has_its_path() -> None:
    estimate = {"value": 0.5, "low": 0.25, "high": 0.75, "resamples": 200}
    plain = {"n": 3, "deep": [{"rho": estimate, "none": None}, {"rho": None}], "word": "x", "nan": float("nan")}
    expected = {"task/n": 3.0, "task/deep/0/rho": 0.5, "task/deep/0/rho_low": 0.25, "task/deep/0/rho_high": 0.75}
    assert numbers(plain, "task") == expected


def test_words_follow_the_interval() -> None:
    kinds = {"above": "up", "below": "down", "around": "unknown"}
    below = Estimate(-0.5, -0.75, -0.25, 200)
    assert [which(e, **kinds) for e in (CLEAR, below, UNCLEAR, None)] == ["up", "down", "unknown", "unknown"]


def test_decimals_show_the_width_of_intervals() -> None:
    assert digits(CLEAR, None) == 2
    assert digits(UNCLEAR) == 3
    assert digits(None) == 2
    assert interval(CLEAR) == (0.5, 0.25, 0.75)
    assert interval(None) is None


def test_means_count_an_architecture_as_often_as_it_was_drawn() -> None:
    column, weights = np.array([1.0, 2.0, 6.0]), np.array([[1.0, 1, 1], [0, 3, 0], [2, 0, 1]])
    expected = [3, 2, (1 + 1 + 6) / 3]
    assert mean(column, weights) == pytest.approx(expected)


def test_lines_fit_a_terminal() -> None:
    sentence = "word " * 60
    lines = wrapped(sentence)
    assert max(map(len, lines)) <= 110
    assert " ".join(lines) == sentence.strip()
    assert [counted(number, "HyperNet") for number in (1, 3)] == ["1 HyperNet", "3 HyperNets"]
