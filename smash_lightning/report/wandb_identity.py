"""Which run on W&B is that of a run's folder? Kept beside W&B's own files, so that a resumed run finds itself again."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from smash_lightning.files import atomic_write


@dataclass(frozen=True, slots=True)
class Identity:
    """A run on W&B.

    Args:
        run: its id.
        group: of runs that belong together.
    """

    run: str
    group: str

    def write(self, folder: Path) -> None:
        """Keeps it in a run's folder."""
        _file(folder).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(_file(folder)) as partial:
            partial.write_text(json.dumps(asdict(self)) + "\n")


def read_identity(folder: Path) -> Identity | None:
    """What a run's folder keeps; None where it was never shown on W&B."""
    try:
        return Identity(**json.loads(_file(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def identify(folder: Path, group: str | None, sweep: Path | None, source: Path | None) -> Identity:
    """The identity of a run: that which its folder keeps, or a new one.

    Args:
        folder: of the run.
        group: that the user named.
        sweep: folder of a sweep; a run that lies in it has the sweep as its group.
        source: folder, or a checkpoint, of the earlier run that this one goes on from, whose group it joins.
    """
    earlier = read_identity(folder)
    run = earlier.run if earlier else secrets.token_hex(4)
    return Identity(run, group or (earlier.group if earlier else _group(folder, sweep, source)) or run)


def _group(folder: Path, sweep: Path | None, source: Path | None) -> str:
    """The group that a new run joins; empty where it begins one of its own."""
    if sweep is not None and folder.resolve().is_relative_to(sweep.resolve()):
        return "-".join(sweep.resolve().parts[-2:])  # by default the day and the time
    if source is None:
        return ""
    joined = read_identity(source if source.is_dir() else source.parent.parent)
    return joined.group if joined else ""


def _file(folder: Path) -> Path:
    return folder / "wandb" / "run.json"
