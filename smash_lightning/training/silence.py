"""Silences Lightning's notices on devices and loaders, which it prints at every fit."""

from __future__ import annotations

import logging
import warnings


def silence_lightning() -> None:
    """Removes Lightning's notices and its warnings about data loaders from the output of this process."""
    import lightning  # noqa: F401 (its import sets the levels that are set here)

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
