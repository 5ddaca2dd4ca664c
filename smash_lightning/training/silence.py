"""Lightning tells about devices and loaders at every fit; a study of hundreds of fits need not hear it each time."""

from __future__ import annotations

import logging
import warnings


def silence_lightning() -> None:
    """Keeps Lightning's notices and its warnings about ordinary data loaders from this process's output."""
    import lightning  # noqa: F401 (its import sets the levels that are set here)

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
