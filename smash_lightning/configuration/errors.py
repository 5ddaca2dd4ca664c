"""Errors of Hydra, OmegaConf and of the run itself as one line that names the option."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from smash_lightning.engine import MachineError
from smash_lightning.evaluation.sweep import leaves
from smash_lightning.files import again, escaped, quoted, storage_message

# Explained in one line:
ERRORS = (ValueError, RuntimeError, OSError, MemoryError, HydraException, OmegaConfBaseException)
LONGEST = 5_000  # characters of a message, with a traceback
HELP = " All options are listed by --help"
EPOCHS = "search.epochs=N or retrain.epochs=N"
FEWER = "dataset.train=N for fewer training images, dataset.validation=N for fewer validation images"
REPLACED = {  # options of the Trainer that have no effect, as this package sets them, and the option to use instead
    **dict.fromkeys(("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"), EPOCHS),
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches"), FEWER),
    "limit_predict_batches": FEWER,
    "fast_dev_run": "debug=smoke",
    "logger": "logger=NAME",
    "callbacks": "+callbacks.NAME={_target_: CLASS}",
    "default_root_dir": "hydra.run.dir=FOLDER",
    "enable_checkpointing": "search.checkpoint_every=N or retrain.checkpoint_minutes=N",
    "barebones": "logger=none",
    "plugins": "trainer.precision=NAME",
}
GONE = {"gpu": "engine=ray shares GPUs, or leave gpu out"}  # options of earlier versions
OWN = ". An option of your own needs --config-dir=FOLDER"


def explain(error: Exception, folder: Path | None = None, overrides: Sequence[str] = ()) -> str:
    """The message in one line, or with the traceback of another process; without the middle of a long text.

    Args:
        error: what ended the command.
        folder: of the run.
        overrides: of the command line, which are added to a message without the name of any.
    """
    text = _explained(error, folder)
    names = [re.split(r"[.@/+~]", override.partition("=")[0])[-1] for override in overrides]
    if overrides and not any(name and name in text for name in names):
        text = f"{text}, in {' '.join(overrides)}"
    lines = "\n" if "Traceback" in text else " "
    text = lines.join(map(escaped, text.splitlines()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 200]} ... {text[-200:]}"


def _explained(error: Exception, folder: Path | None) -> str:
    """The message without Hydra's search path and wrapping errors, and with the name that was probably meant."""
    cause = error.__cause__
    if isinstance(error, OSError) and (error.errno or error.filename):  # the others are sentences of this package
        return storage_message(error, folder)
    if isinstance(error, MachineError | MemoryError):
        more = "provide more memory, or another machine, or use fewer workers=N"
        return f"{str(error) or 'there is not enough memory'}: {more}, then {again(folder)}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option} is unknown{_suggestion(option, error.options)} Known: {', '.join(error.options)}{OWN}"
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, InstantiationException) and isinstance(cause, ValueError):
        return str(cause)
    cause = error if isinstance(error, ConfigAttributeError | ConfigKeyError) else cause
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        *path, option = cause.full_key.split(".")
        if path == ["trainer"] and option in REPLACED:
            return f"{cause.full_key} has no effect here: use {REPLACED[option]}"
        if cause.full_key in GONE:
            return f"there is no option {cause.full_key}: {GONE[cause.full_key]}"
        known = [".".join([*path, str(key)]) for key in cause.parent_node or () if not str(key).startswith("_")]
        return f"there is no option {cause.full_key}{_suggestion(cause.full_key, known)}{HELP}"
    if isinstance(error, HydraException):
        lines = str(error).split("\nConfig search path")[0].splitlines()
        return ": ".join(line.strip() for line in lines if line.strip() and not line.startswith("See https"))
    return str(error)


def require_no_missing(config: DictConfig) -> None:
    """Checks that every option has a value; raises ValueError where one has none."""
    for name, value in leaves(OmegaConf.to_container(config, resolve=False)).items():
        if value == MISSING:
            raise ValueError(f"{name} has no value: give it one with {name}=...")


def _unreadable(override: str) -> str:
    """The message about an override whose text Hydra's grammar does not read, with the form that it does."""
    name, separator, value = override.partition("=")
    if not separator:
        shown = override if override.isprintable() and override else repr(override)
        return f"{shown} cannot be read: an option is given as NAME=VALUE.{HELP}"
    return f"{override} cannot be read: a text with such characters needs quotes: {quoted(name, value)}"


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else "."
