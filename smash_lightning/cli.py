"""The command line: composes the configuration, builds its objects, runs a task and returns its value.

With the room `configuration` the only code that uses Hydra. Heavy imports are inside of functions: neither --help nor a
message about a wrong option waits for torch.
"""

import codecs
import math
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # each rank would warn that all weights may have been used
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors arrive here unchanged, and are explained in one line

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from smash_lightning.configuration import CONF, OF_EARLIER_DATA, PACKAGE
from smash_lightning.configuration.errors import ERRORS, explain, require_no_missing
from smash_lightning.configuration.folders import (
    claim,
    is_slurm_restart,
    locked,
    new_folder,
    require_single_process,
    run_folder,
)
from smash_lightning.configuration.sweep import CurrentSweep, finished_value, note_failure, problems, write_result
from smash_lightning.files import quoted

for resolver in (run_folder, new_folder):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, use_cache=True, replace=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line; exits with a message where something failed.

    Args:
        arguments: without the program's name; None takes those of this process.
    """
    sys.argv[1:] = sys.argv[1:] if arguments is None else arguments
    codecs.register_error("shown", _shown)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # others take any text
            stream.reconfigure(errors="shown")
    if (home := os.path.expanduser("~")) == "~":
        sys.exit("error: this user has no home folder, which libraries look for: set HOME=FOLDER")
    # A shell leaves ~ after a name with a dot, and Hydra would create a folder of this name.
    sys.argv[1:] = [re.sub(r"(?<==)([\"']?)~(?=/)", lambda at: at[1] + home, text, count=1) for text in sys.argv[1:]]
    if any(argument.startswith(("resume=", "checkpoint=")) for argument in sys.argv[1:]):
        # Its data set, which a plain `dataset.root=FOLDER` would not find here, is only known from the earlier run.
        sys.argv[1:] = [re.sub(r"^dataset\.", OF_EARLIER_DATA, option) for option in sys.argv[1:]]
    try:
        here = os.getcwd()
    except FileNotFoundError:
        sys.exit("error: the working folder was removed: change to one that exists")
    sys.path.append(here)  # plug-ins are found where the command is started
    paths = [str(PACKAGE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep), here]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))  # also by jobs in other processes
    CurrentSweep.folder, problem = None, ""
    HydraConfig.instance().cfg = None  # of an earlier command of this process
    try:
        require_single_process(sys.argv[1:], os.environ)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)()
    except KeyboardInterrupt:
        folder = CurrentSweep.folder
        again = f"continue with the same command and {quoted('hydra.sweep.dir', folder)}" if folder else ""
        problem = f"interrupted; {again or 'repeat the command'}"
    except Exception as error:
        if HydraConfig.initialized() and not isinstance(error, ERRORS):  # before, it is one of an option
            raise
        problem = f"error: {explain(error, overrides=sys.argv[1:])}"
    if CurrentSweep.folder:
        print(CurrentSweep.folder)
        problem = problems(CurrentSweep.folder, problem)
    if problem:
        sys.exit(problem)


def run(config: DictConfig) -> float | None:
    """Runs a task in the folder that Hydra created, as a run or as a job of a sweep; returns its value for sweepers."""
    from smash_lightning.engine import Stopped, handling_stop_signals, requeued

    chosen = HydraConfig.get()
    folder, in_sweep = Path(chosen.runtime.output_dir), chosen.mode == RunMode.MULTIRUN
    try:
        with handling_stop_signals():
            return _job(config, folder) if in_sweep else _single(config, folder)
    except KeyboardInterrupt:
        if in_sweep:
            raise
        sys.exit(f"interrupted; continue with {quoted('resume', folder)}")
    except Stopped:
        again = quoted("hydra.sweep.dir", chosen.sweep.dir) if in_sweep else quoted("resume", folder)
        continues = folder.name.startswith("slurm-") or config.resume  # what SLURM starts again is the same command
        sys.exit(f"stopped; continue with {again}{requeued(os.environ) if continues else ''}")
    except ERRORS as error:  # inside of Hydra, which would print a line of its own
        if in_sweep:
            raise
        sys.exit(f"error: {explain(error, folder)}")


def _shown(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a file's name as they are, and any other character that the terminal's encoding lacks as an escape."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def _single(config: DictConfig, folder: Path) -> float | None:
    from smash_lightning.configuration.earlier_run import with_earlier_options

    chosen = HydraConfig.get()
    if search := chosen.runtime.choices.get("hparams_search"):
        raise ValueError(f"hparams_search={search} is a sweep: add -m")
    if config.resume is None and is_slurm_restart(folder, os.environ):
        config.resume = str(folder)
    value = _execute(with_earlier_options(config, chosen.overrides.task), folder)
    print(folder)
    return value


def _job(config: DictConfig, folder: Path) -> float | None:
    """One job of a sweep. Its failure is printed and noted, and the sweep continues."""
    from smash_lightning.configuration.earlier_run import as_job, with_earlier_options

    chosen = HydraConfig.get()
    is_search = not chosen.sweeper._target_.endswith(".BasicSweeper")  # what jobs return decides which come next
    try:
        require_single_process(chosen.overrides.task, os.environ)
        config = as_job(with_earlier_options(config, chosen.overrides.task), folder)
        finished, value = finished_value(folder, is_search)
        if not finished:
            value = _execute(config, folder)
            print(folder)
        return value
    except Exception as error:
        known = isinstance(error, ERRORS)
        note_failure(folder, chosen.overrides.task, explain(error) if known else f"{type(error).__name__}: {error}")
        if not known:
            traceback.print_exc()
        return None


def _execute(config: DictConfig, folder: Path) -> float | None:
    """Builds everything before the folder is claimed: a run that cannot start writes nothing to it."""
    require_no_missing(config)
    from smash_lightning.configuration.build import build_experiment, instantiate, plain
    from smash_lightning.configuration.trust import require_no_links_out
    from smash_lightning.report.loggers import require_packages
    from smash_lightning.report.tracker import Tracker

    experiment = build_experiment(config, folder)
    task = instantiate(config.task, "task", experiment, None)
    sections = {name: section for name, section in config.logger.items() if name != "trainings"}
    require_packages(sections)
    loggers = [instantiate(section, f"logger.{name}") for name, section in sections.items()]
    if not config.trust:
        require_no_links_out(folder)
    with locked(folder):
        claim(folder, config)
        with Tracker(loggers) as tracker:
            tracker.config(plain(config))
            outcome = task(experiment, tracker)
            tracker.log_folder(folder)
    value = outcome if isinstance(outcome, float) and math.isfinite(outcome) else None  # sweepers cannot use NaN
    write_result(folder, config.task._target_.split(".")[-1], value)
    return value
