"""What the options of an earlier run may do: a run folder may come from a stranger, and its options are text.

A class that they name is built and may execute code, and a resolver such as `${oc.env:NAME}` would copy a secret of
this machine into the new run's files. The command line, the package's configurations and those of --config-dir are
trusted.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from smash_lightning.option_types import PACKAGE, resolve_target

RESOLVER = re.compile(r"\$\{.*:", re.DOTALL)  # its name may be an interpolation
MACHINE = re.compile(r"://|\baddress=")  # a tracking server gets all results, and what a cluster sends is unpickled
REMEDY = "if you trust the author of the run, add trust=true, or name it again on this command line"


def require_trusted_overrides(overrides: Iterable[str]) -> None:
    """Checks overrides of an earlier run, before Hydra reads them.

    Raises:
        ValueError: one is an option of Hydra, calls a resolver, or names another machine.
    """
    for override in overrides:
        if re.match(r"[+~]*hydra\b", override) or RESOLVER.search(override) or MACHINE.search(override):
            raise ValueError(f"the earlier run has the option {override}, which could read or run anything: {REMEDY}")


def require_trusted_values(combined: DictConfig, trusted: Iterable[DictConfig | ListConfig]) -> None:
    """Checks what the options of an earlier run add to those of this command line, before anything is imported.

    Args:
        combined: the configuration with both.
        trusted: the configuration of this command line alone, and every configuration file on its search path.

    Raises:
        ValueError: they name code outside of the package, a resolver, or another machine.
    """
    plain = [OmegaConf.to_container(config, resolve=False) for config in trusted]
    known = {value for config in plain for _, value in _leaves(config) if isinstance(value, str)}
    for key, value in _leaves(OmegaConf.to_container(combined, resolve=False)):
        new = isinstance(value, str) and value not in known
        if new and (RESOLVER.search(value) or MACHINE.search(f"{key}={value}")):
            raise ValueError(f"the earlier run has {key}={value}, which could read or run anything: {REMEDY}")
    targets = {value for config in plain for key, value in _leaves(config) if key == "_target_"}
    for key, value in _leaves(OmegaConf.to_container(combined, resolve=True)):
        if key == "_target_" and value not in targets and not _is_of_package(value):
            raise ValueError(f"the earlier run names {value}, which is code outside of this package: {REMEDY}")


def require_no_links_out(folder: Path) -> None:
    """Checks that no file of a folder that is to be written to is a link to elsewhere, but for W&B's to its own cache.

    Raises:
        ValueError: one is.
    """
    for path in folder.rglob("*"):
        own = "wandb" in path.relative_to(folder).parts
        if path.is_symlink() and not own and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{path} is a link to {path.resolve()}, out of the run folder, which would be written to: "
                "remove it, or add trust=true where you trust the run"
            )


def _is_of_package(target: Any) -> bool:
    """Whether it is a class of this package; other modules are not imported to find out."""
    if not isinstance(target, str) or not target.startswith(PACKAGE):
        return False
    try:
        found = resolve_target(target, "", Any)
    except ValueError:
        return False
    return inspect.isclass(found) and found.__module__.startswith(PACKAGE)


def _leaves(value: Any, key: Any = None) -> Iterator[tuple[Any, Any]]:
    """Every value that is no list and no mapping, with the key of the mapping that holds it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value
