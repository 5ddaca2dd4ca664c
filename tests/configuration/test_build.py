"""Devices, options of the Trainer and callbacks, as the command line reads them."""

from typing import Any

import lightning as L
import pytest
import torch

from smash_lightning.configuration.build import callbacks_of, scoring_device


@pytest.mark.parametrize(
    ("accelerator", "found", "device"),
    [
        ("cpu", "cuda", "cpu"),
        ("gpu", "cuda", "cuda"),
        ("cuda", "cuda", "cuda"),
        ("auto", "xpu", "xpu"),
        ("mps", "mps", "mps"),
        ("auto", None, "cpu"),
        ("gpu", None, None),
        ("mps", "cuda", None),
    ],
)
def test_the_device_of_an_accelerator(
    accelerator: str, found: str | None, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = None if found is None else torch.device(found)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: current)
    if device is not None:
        assert scoring_device(accelerator) == device
        return
    with pytest.raises(ValueError, match=f"trainer.accelerator={accelerator}: torch finds no .* choose trainer=cpu"):
        scoring_device(accelerator)


def test_callbacks_are_made_when_they_are_called() -> None:
    section: dict[str, Any] = {"_target_": "lightning.Callback"}
    (make,) = callbacks_of({"mine": section, "other": None})
    assert type(make()) is L.Callback
    assert make() is not make()
    with pytest.raises(ValueError, match=r"callbacks.mine must be a section with a _target_, got 'x'"):
        callbacks_of({"mine": "x"})
