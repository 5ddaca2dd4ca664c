"""Folders of sweeps and their command lines."""

from __future__ import annotations

import pytest

from smash_lightning.configuration.sweep import sweep_folder, with_override


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-m", "seed=0,1"], ["-m", "x=1", "seed=0,1"]),
        (["seed=0,1", "-m"], ["x=1", "seed=0,1", "-m"]),
        (["-m", "seed=0,1", "--config-dir=mine"], ["-m", "x=1", "seed=0,1", "--config-dir=mine"]),
        (["-m"], ["-m", "x=1"]),
    ],
)
def test_an_override_is_added_next_to_the_others(given: list[str], expected: list[str]) -> None:
    assert with_override(given, "x=1") == expected


def test_a_folder_that_is_an_interpolation_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"hydra\.sweep\.dir=mr/\$\{now:%Y\}: name the folder without an interpolation"
    ):
        sweep_folder(["-m", "hydra.sweep.dir=mr/${now:%Y}", "seed=0,1"])
