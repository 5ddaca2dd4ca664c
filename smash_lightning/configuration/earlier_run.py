"""The options of the run that `checkpoint` or `resume` names, on which a new command builds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from smash_lightning.configuration import OF_EARLIER_DATA
from smash_lightning.configuration.build import plain
from smash_lightning.configuration.errors import GONE, explain
from smash_lightning.configuration.trust import require_trusted_overrides, require_trusted_values
from smash_lightning.evaluation.sweep import leaves
from smash_lightning.option_types import differences, with_defaults
from smash_lightning.run_folder import RunFolder, source_run
from smash_lightning.stages.correlate import PLACES

NOT_COMPARED = ["resume", "source_run", "trust", "overrides", "workers", "engine", "logger", "trainer"]
NOT_COMPARED += ["data_folder", "cache_folder", *GONE]
WHOLE = ("dataset", "search_space", "hypernet", "search", "ranking", "retrain", "evaluation", "trainer", "logger")
ADDED = ("retrain.presets", "retrain.architectures")  # a continued run trains what it has not trained yet


def with_earlier_options(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of an earlier run, changed by the overrides of this command.

    Where `checkpoint` is the folder of a sweep, whose jobs are collected, the options are those of its first job.

    Raises:
        ValueError: the earlier run is not there, is to be continued with other values, or names code outside of the
            package without `trust=true`.
    """
    _resolve_source(config)
    if config.resume is None and config.checkpoint is None:
        return config
    folder = Path(config.resume or config.source_run)
    earlier = RunFolder(folder).read_config()  # as text: an interpolation in it is not resolved
    if config.resume and "overrides" not in earlier:
        what = "was run from Python: continue it by the same functions" if earlier else "holds no config.yaml"
        raise ValueError(f"resume={config.resume} {what}")
    if earlier and "source_run" not in earlier:
        raise ValueError(f"{folder} was written by version 0.1, whose runs this version does not read: run it again")
    if "overrides" not in earlier:
        return config
    written = earlier["overrides"]
    if not isinstance(written, list) or not all(isinstance(override, str) for override in written):
        raise ValueError(f"{RunFolder(folder).config} holds no list of overrides: it is not what a run wrote")
    # The command line has composed them without the data set of the earlier run, whose options can be checked here.
    overrides = [override.replace(OF_EARLIER_DATA, "dataset.", 1) for override in overrides]
    replaced = {_key(override) for override in overrides} | {"resume", "trust"}
    if not config.resume:
        replaced |= {"task", "logger", "trainer", "engine"}
        replaced |= {"retrain.rank"} if folder.parent == Path(config.checkpoint) else set()  # of one job of a sweep
    kept = [override for override in written if not _is_within(_key(override), replaced)]
    if not config.trust:
        require_trusted_overrides(kept)
    combined = _compose(kept, overrides, RunFolder(folder).config)
    if not config.trust:
        require_trusted_values(combined, [config, *_files()])
    if not config.resume and not replaced & {"experiment", "size", "debug"}:
        _require_whole(earlier, combined, folder, replaced)
    combined.resume = config.resume
    combined.checkpoint = config.checkpoint or earlier.get("checkpoint")
    combined.source_run = config.source_run or earlier["source_run"]
    if config.resume:
        _set_later_options(combined, earlier, replaced)
        moved = ("checkpoint",) if earlier.get("checkpoint") else ()  # a run that builds on none cannot begin to
        require_same(earlier, plain(combined), folder, (*NOT_COMPARED, *ADDED, *moved, "task", "evaluation.metric"))
    return combined


def _compose(kept: Sequence[str], overrides: Sequence[str], config: Path) -> DictConfig:
    """The configuration of both; raises ValueError where those `kept` from the earlier run's `config` are at fault."""
    try:
        composed = hydra.compose("config", overrides=[*kept, *overrides], return_hydra_config=True)
        OmegaConf.set_struct(composed, False)
        del composed["hydra"]
        composed.overrides = [*kept, *overrides]
        return composed
    except HydraException as error:
        try:
            hydra.compose("config", overrides=[*kept])
        except HydraException:
            message = f"of the overrides in {config}: {explain(error)}. Remove there what this version does not have"
            raise ValueError(message) from None
        raise


def _set_later_options(combined: DictConfig, earlier: Mapping[str, Any], replaced: Iterable[str]) -> None:
    """Sets options that an earlier run lacks to their defaults, as it behaved before, but for those `replaced`."""
    before = leaves(earlier)
    for name, value in leaves(with_defaults(earlier, plain(combined))).items():
        if name not in before and not _is_within(name, replaced):
            OmegaConf.update(combined, name, value)


def _require_whole(earlier: Mapping[str, Any], combined: DictConfig, folder: Path, replaced: Iterable[str]) -> None:
    """Checks that the values in a run's configuration are those of its overrides, but for options of later versions.

    `combined` is composed of these overrides and those of this command, which change `replaced` alone.

    Raises:
        ValueError: the file was cut, or one of both was changed.
    """
    file = RunFolder(folder).config
    if cut := [section for section in WHOLE if section not in earlier]:
        raise ValueError(f"{file} is not whole, it lacks {', '.join(cut)}: restore it, or run the command anew")
    before, now = leaves(earlier), leaves(plain(combined))
    excepted = (*NOT_COMPARED, *replaced, "task", "checkpoint")
    same = {name: now[name] for name in now.keys() & before.keys() if not _may_differ(name, excepted)}
    if found := differences({name: before[name] for name in same}, same):
        raise ValueError(
            f"{file}: its values are not those of its overrides: {found}. Restore it, or give them on this command line"
        )


def _resolve_source(config: DictConfig) -> None:
    """Makes `checkpoint` an absolute path and sets `source_run`, so that a run is continued from any working folder."""
    for name in ("resume", "checkpoint"):
        if config[name] is None:
            continue
        config[name] = str(config[name])  # a folder may have a number as its name
        path = Path(config[name])
        if not path.exists():
            raise ValueError(f"{name}={config[name]}: there is nothing at this path")
        if not path.is_dir() and (name == "resume" or (config.resume is None and not is_zipfile(path))):
            raise ValueError(f"{name}={config[name]} is neither a run folder nor a checkpoint, or it is truncated")
    if config.checkpoint:
        config.checkpoint = str(Path(config.checkpoint).resolve())
        config.source_run = str(source_run(Path(config.checkpoint)))


def _files() -> Iterator[DictConfig | ListConfig]:
    for source in HydraConfig.get().runtime.config_sources:
        if source.schema == "file":
            yield from (OmegaConf.load(path) for path in Path(source.path).rglob("*.yaml"))


def as_job(config: DictConfig, folder: Path) -> DictConfig:
    """The configuration of a job of a sweep, which continues the run in its folder if there is one.

    Raises ValueError where that run has another configuration, or a job is to resume a run in another folder.
    """
    if config.resume:
        raise ValueError(
            f"resume={config.resume} continues a single run; a sweep is continued by hydra.sweep.dir=FOLDER"
        )
    if earlier := RunFolder(folder).read_config():
        require_same(earlier, plain(config), folder, NOT_COMPARED)
        config.resume = str(folder)
    return config


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, excepted: Iterable[str]) -> None:
    """Checks that the run in `folder` had the same configuration, but for the place of the data set.

    Raises:
        ValueError: values differ; the message names the first of them.
    """
    before = with_defaults(before, now)
    earlier, later = (
        {name: value for name, value in leaves(config).items() if not _may_differ(name, excepted)}
        for config in (before, now)
    )
    if found := differences(earlier, later):
        raise ValueError(
            f"{folder} was run with other values: {found}. Continue it with the same, or start anew in another folder"
        )


def _key(override: str) -> str:
    return override.split("=")[0].lstrip("+~")


def _may_differ(name: str, excepted: Iterable[str]) -> bool:
    return _is_within(name, excepted) or (name.startswith("dataset.") and name.split(".")[-1] in PLACES)


def _is_within(key: str, sections: Iterable[str]) -> bool:
    """Whether an option is one of those that are named, or a value inside of one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)
