"""Which options of Lightning's Trainer are the user's, and the callbacks that run in search and standalone training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EPOCHS = "search.epochs=N or retrain.epochs=N"
FEWER = "dataset.train=N for fewer training images, dataset.validation=N for fewer validation images"
REPLACED = {  # what would change what is trained or measured, or is set here, and the option to use instead
    **dict.fromkeys(("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"), EPOCHS),
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches"), FEWER),
    "limit_predict_batches": FEWER,
    "fast_dev_run": "debug=smoke",
    "logger": "logger=NAME",
    "default_root_dir": "hydra.run.dir=FOLDER",
    "enable_checkpointing": "search.checkpoint_every=N or retrain.checkpoint_minutes=N",
    "barebones": "logger=none",
    "plugins": "trainer.precision=NAME",
}


def require_trainer_options(options: Mapping[str, Any]) -> None:
    """Checks that the Trainer is given nothing that this package sets.

    Raises:
        ValueError: it is; the message names the option to use instead.
    """
    for name in options:
        if name in REPLACED:
            raise ValueError(f"trainer.{name} has no effect here: use {REPLACED[name]}")


def callback_sections(named: Mapping[str, Any], of_trainer: list[Any] | None) -> dict[str, dict[str, Any]]:
    """Sections that make a callback when they are called, as each training needs callbacks of its own.

    Args:
        named: the group `callbacks`; null leaves one out.
        of_trainer: the option `trainer.callbacks`.

    Raises:
        ValueError: a callback is no section with a `_target_`.
    """
    found = {f"callbacks.{name}": section for name, section in named.items() if section is not None}
    found |= {f"trainer.callbacks[{index}]": section for index, section in enumerate(of_trainer or [])}
    for name, section in found.items():
        if not isinstance(section, dict) or "_target_" not in section:
            raise ValueError(f"{name} must be a section with a _target_, got {section!r}")
    return {name: {**section, "_partial_": True} for name, section in found.items()}
