"""The door: reads the configuration, builds the objects, calls a task. The only file that knows Hydra."""

from __future__ import annotations

import difflib
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us as they are, and are told in one line below

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

if TYPE_CHECKING:
    from smash_lightning.tasks import Experiment

NOT_COMPARED = ("resume", "overrides", "workers", "logger", "trainer", "task", "checkpoint")


def instantiate(config: Any) -> Any:
    """The object that a section describes, with plain lists and dictionaries inside."""
    return hydra_instantiate(config, _convert_="all")


def _run_folder(resume: str | None) -> str:
    return resume or datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S")


OmegaConf.register_new_resolver("run_folder", _run_folder, use_cache=True)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float | None:
    """Runs one task in its output folder, and returns its figure for sweepers."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        result = _execute(_with_earlier(config), folder)
    except (ValueError, RuntimeError, OSError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {_explain(error)}")
    print(folder)
    return result


def _execute(config: DictConfig, folder: Path) -> float | None:
    from smash_lightning.report.tracker import Tracker

    experiment = _experiment(config, folder)
    _claim(folder, config)
    task = instantiate(config.task)
    loggers = [instantiate(logger) for logger in config.logger.values()]
    with Tracker(loggers) as tracker:
        tracker.config(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        outcome = task(experiment, tracker)
    return outcome if isinstance(outcome, float) else None


def _experiment(config: DictConfig, folder: Path) -> Experiment:
    # Heavy imports stay out of the way of --help and of errors in the options.
    import torch

    from smash_lightning.search_space import EqualSize
    from smash_lightning.tasks import Experiment, RunFolder

    data = instantiate(config.dataset)
    options = {key: value for key, value in config.search_space.items() if not str(key).startswith("size_")}
    space = instantiate(options)(skeleton=data.skeleton)
    tolerance, target = config.search_space.size_tolerance, config.search_space.size_target
    on_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    several = config.trainer.get("devices", 1) != 1
    return Experiment(
        folder=RunFolder(folder),
        source=Path(config.checkpoint) if config.checkpoint else None,
        seed=config.seed,
        data=data,
        space=space,
        candidates=space if tolerance is None else EqualSize(space, tolerance, target),
        hypernet=instantiate(config.hypernet),
        search=instantiate(config.search),
        ranking=instantiate(config.ranking),
        retrain=instantiate(config.retrain),
        study=instantiate(config.study),
        trainer=instantiate(config.trainer),
        device="cuda" if on_gpu else "cpu",
        workers=config.workers or (1 if on_gpu or several else cores),
    )


def _with_earlier(config: DictConfig) -> DictConfig:
    """Builds on the options of the run that `checkpoint` or `resume` names, where it is there."""
    named = config.resume or config.checkpoint
    if named is None:
        return config
    path = Path(named)
    folder = path if path.is_dir() else path.parent.parent
    if not path.exists():
        raise ValueError(f"{'resume' if config.resume else 'checkpoint'}={named}: there is nothing at this path")
    if not (folder / "config.yaml").exists():
        if config.resume:
            raise ValueError(f"resume={named}: this folder holds no run, it has no config.yaml")
        return config
    earlier = OmegaConf.load(folder / "config.yaml")
    given = list(HydraConfig.get().overrides.task)
    dropped = {_key(override) for override in given} | {"checkpoint", "resume"}
    if not config.resume:
        dropped |= {"task", "logger", "trainer"}
    kept = [override for override in earlier.overrides if _key(override) not in dropped]
    combined = hydra.compose("config", overrides=[*kept, *given], return_hydra_config=True)
    OmegaConf.set_struct(combined, False)
    del combined["hydra"]
    combined.overrides = [*kept, *given]
    if config.resume:
        _require_same(earlier, combined, folder)
    return combined


def _key(override: str) -> str:
    return override.split("=")[0].lstrip("+~")


def _require_same(earlier: Any, combined: DictConfig, folder: Path) -> None:
    now = OmegaConf.to_container(combined, resolve=True)
    before = OmegaConf.to_container(earlier, resolve=True)
    assert isinstance(now, dict)
    assert isinstance(before, dict)
    differing = [key for key in now if key not in NOT_COMPARED and now[key] != before.get(key)]
    if differing:
        names = ", ".join(map(str, differing))
        raise ValueError(f"{folder} was run with other values of {names}: resume it with the same, or start anew")


def _claim(folder: Path, config: DictConfig) -> None:
    """Writes the resolved configuration, and refuses to write over another run."""
    path = folder / "config.yaml"
    if path.exists():
        if config.resume is None:
            raise ValueError(f"{folder} already holds a run: continue it with resume={folder}, or use another folder")
        return
    path.write_text(OmegaConf.to_yaml(config, resolve=True))


def _explain(error: Exception) -> str:
    """The message that helps, without Hydra's search path and wrappings, and with what was perhaps meant."""
    cause = error.__cause__
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Another folder is chosen with hydra.run.dir=FOLDER"
    if isinstance(error, InstantiationException) and isinstance(cause, ValueError):
        return str(cause)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return f"there is no option {cause.full_key}{_suggestion(cause.full_key)}"
    return str(error).split("\nConfig search path")[0].strip()


def _suggestion(name: str) -> str:
    *path, unknown = name.split(".")
    with hydra.initialize(version_base="1.3", config_path="conf"):
        config = hydra.compose("config")
    section = OmegaConf.select(config, ".".join(path)) if path else config
    close = difflib.get_close_matches(unknown, [str(key) for key in section], n=1)
    return f": did you mean {'.'.join([*path, *close])}?" if close else ", see python run.py --help"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; continue with the same command and resume=FOLDER")
    except (OSError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {_explain(error)}")
