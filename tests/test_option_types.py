import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from smash_lightning.option_types import require_type, require_types
from smash_lightning.scoring import SmashScore

GOOD: list[tuple[Any, Any]] = [
    (3, int),
    (3, float),
    (math.inf, float | None),
    (None, float | None),
    ([1, 2.5], tuple[float, float]),
    (["a"], Sequence[str]),
    ("a", Literal["a", "b"]),
    (None, SmashScore | None),
    ({"x": 1}, Any),
]
BAD: list[tuple[Any, Any, str]] = [
    (2.0, int, "option must be a valid integer, got 2.0"),
    (True, int, "option must be a valid integer, got True"),
    (2024, str | None, "option must be a valid string, got 2024: quotes make it a text, '\"2024\"'"),
    ([1, "x"], tuple[float, ...], "option must be a valid number, got [1, 'x']"),
    ("ab", Sequence[str], "option must be a valid array, got 'ab'"),
    ("c", Literal["a", "b"], "option must be 'a' or 'b', got 'c'"),
    (3, SmashScore | None, "option must be a section with a _target_, got 3"),
]


@pytest.mark.parametrize(("value", "hint"), GOOD)
def test_values_of_the_type_are_accepted(value: Any, hint: Any) -> None:
    require_type("option", value, hint)


@pytest.mark.parametrize(("value", "hint", "message"), BAD)
def test_other_values_are_refused_with_the_name_of_the_option(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(ValueError, match="option must be") as error:
        require_type("option", value, hint)
    assert str(error.value) == message


def test_sections_are_checked_against_their_target_at_any_depth() -> None:
    scores = "smash_lightning.scoring"
    good = {"one": {"_target_": f"{scores}.LossPlusSizeRank", "weight": 2}}
    require_types(good, "scores", Mapping[str, SmashScore])
    for section, message in (
        (
            {"_target_": f"{scores}.LossPlusSizeRank", "weight": "x"},
            "scores.one.weight must be a valid number, got 'x'",
        ),
        (
            {"_target_": f"{scores}.WarmStart", "steps": 3},
            f"scores.one must be a SmashScore, and {scores}.WarmStart is",
        ),
        ({"_target_": f"{scores}.Nothing"}, f"scores.one._target_={scores}.Nothing: .*no attribute 'Nothing'"),
        ({"_target_": "nothing"}, "scores.one._target_=nothing: "),
    ):
        with pytest.raises(ValueError, match=message):
            require_types({"one": section}, "scores", Mapping[str, SmashScore])
