from __future__ import annotations

import pytest
import torch

from smash_lightning.stages.devices import choose_gpu


def test_no_gpu_is_reserved_by_default() -> None:
    choose_gpu(None, "cpu", 1)
    choose_gpu(None, "gpu", -1)


@pytest.mark.parametrize(("accelerator", "devices"), [("cpu", 1), ("gpu", 2), ("gpu", -1)])
def test_it_is_for_one_gpu(accelerator: str, devices: int) -> None:
    with pytest.raises(ValueError, match=r"gpu=free is for a run on one GPU.*trainer=gpu"):
        choose_gpu("free", accelerator, devices)


def test_other_values_are_refused() -> None:
    with pytest.raises(ValueError, match="gpu must be free or null, got 'any'"):
        choose_gpu("any", "gpu", 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="torch finds no GPU here"):
        choose_gpu("free", "gpu", 1)
