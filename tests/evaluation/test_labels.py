import pytest

from smash_lightning.evaluation.labels import cost, duration, label, left_out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "?"),
        (0.0, "0 s"),
        (0.0004, "0 s"),
        (0.0213, "0.021 s"),
        (0.357, "0.36 s"),
        (9.46, "9.5 s"),
        (9.6, "10 s"),
        (119.4, "119 s"),
        (150.0, "2.5 min"),
        (7_199.0, "120 min"),
        (36_000.0, "10 h"),
    ],
)
def test_durations_have_about_two_digits(seconds, words):
    assert duration(seconds) == words


def test_cost_names_what_was_trained_before():
    assert cost(0.36, 40.0) == "0.36 s + 40 s"
    assert cost(0.36, 0.0) == "0.36 s"
    assert cost(None, None) == "? + ?"


def test_labels_of_own_and_of_other_predictors():
    assert [label(name) for name in ("smash_score", "params", "early_stopping", "mine")] == [
        "SMASH score",
        "parameters",
        "early stopping",
        "mine",
    ]


def test_who_is_left_out():
    assert left_out({}, 60) == ""
    assert left_out({"early_stopping": 48}, 60) == "Left out, as values are missing: early stopping (48 of 60)."
