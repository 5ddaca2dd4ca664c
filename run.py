"""The door: reads the configuration, builds the objects, calls a task. The only file that knows Hydra."""

from __future__ import annotations

import difflib
import fcntl
import itertools
import math
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warning that all weights may have been used, of every rank
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us as they are, and are told in one line below

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from smash_lightning.launched import launched, require_one_sweeper

if TYPE_CHECKING:
    from smash_lightning.hypernet import HyperNetSpecification
    from smash_lightning.stages import Experiment

NOT_COMPARED = (
    *("resume", "source_run", "overrides", "workers"),
    *("logger", "trainer", "gpu", "data_folder", "cache_folder"),
)
ERRORS = (ValueError, RuntimeError, OSError, HydraException, OmegaConfBaseException)  # told in one line
HELP = " All are shown by python run.py --help"


def instantiate(section: Any, name: str) -> Any:
    """The object that a section of the configuration describes, with plain lists and dictionaries inside.

    Raises:
        ValueError: a value is not of the type that the signature asks for, or refused by the object.
    """
    from smash_lightning.stages.signatures import require_types

    plain: Any = OmegaConf.to_container(section, resolve=True) if OmegaConf.is_config(section) else section
    plain = without_handed_on(plain)
    require_types(plain, name)
    return hydra_instantiate(plain, _convert_="all")


def without_handed_on(plain: Any) -> Any:
    """A section without values that it only hands on to its `source`, as dataset.root to dataset.source.root."""
    if not isinstance(plain, dict):
        return plain
    source = plain.get("source")
    inner = source if isinstance(source, dict) else {}
    return {key: without_handed_on(value) for key, value in plain.items() if key == "_target_" or key not in inner}


def _run_folder(resume: str | None, trainer: str) -> str:
    """The folder to continue, or a new one named after the moment; under SLURM after the job, for its restarts."""
    if resume and Path(resume).is_dir():  # Hydra makes the folder: not one that is misspelt
        return resume
    if trainer == "slurm" and (job := os.environ.get("SLURM_JOB_ID")):
        step = os.environ.get("SLURM_STEP_ID", "0")
        return f"outputs/slurm-{job}" if step == "0" else f"outputs/slurm-{job}-{step}"
    moment = datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S")
    names = (moment if number == 1 else f"{moment}-{number}" for number in itertools.count(1))
    return next(name for name in names if not Path(name).exists())


OmegaConf.register_new_resolver("run_folder", _run_folder, use_cache=True)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float | None:
    """Runs one task in its output folder, and returns its figure for sweepers."""
    from smash_lightning.engine import Stopped, handling_stop_signals, requeued

    chosen = HydraConfig.get()
    folder, swept = Path(chosen.runtime.output_dir), chosen.mode == RunMode.MULTIRUN
    try:
        with handling_stop_signals():
            if swept:
                return _job(config, folder)
            result = _run(config, folder)
    except KeyboardInterrupt:
        if swept:
            raise
        sys.exit(f"interrupted; continue with resume={folder}")
    except Stopped:
        again = f"hydra.sweep.dir={chosen.sweep.dir}" if swept else f"resume={folder}"
        continues = folder.name.startswith("slurm-") or config.resume  # what SLURM begins again is the same command
        sys.exit(f"stopped; continue with {again}{requeued(os.environ) if continues else ''}")
    except ERRORS as error:
        sys.exit(f"error: {_explain(error)}")
    print(folder)
    return result


def _run(config: DictConfig, folder: Path) -> float | None:
    if search := HydraConfig.get().runtime.choices.get("hparams_search"):
        raise ValueError(f"hparams_search={search} is a sweep: add -m")
    if _is_restart(config, folder):
        config.resume = str(folder)
    return _execute(_with_earlier(config), folder)


def _job(config: DictConfig, folder: Path) -> float | None:
    """One job of a sweep: skipped where it ended well before, continued where it was interrupted.

    Its failure does not end the sweep: it is told, noted, and has no figure. A search that is continued does not try it
    again, as what came next was chosen without it.
    """
    from smash_lightning.stages.job import Job

    chosen = HydraConfig.get()
    job = Job(chosen.job.num, tuple(chosen.overrides.task), folder, Path(chosen.sweep.dir))
    try:
        require_one_sweeper(["-m"], os.environ)
        config = _with_earlier(config)
        if job.continues(_plain(config), NOT_COMPARED):
            config.resume = str(folder)
            if result := job.finished():
                print(folder)
                return result.value
        if _is_search(chosen) and job.failed():
            return None
        value = _execute(config, folder)
        print(folder)
        return value
    except Exception as error:
        known = isinstance(error, ERRORS)
        job.fail(_explain(error) if known else f"{type(error).__name__}: {error}")
        if not known:
            traceback.print_exc()
        return None


class Sweep(Callback):
    """What Hydra tells of a sweep in the process that was started; its jobs may run in others."""

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remembers the folder. What failed in it is tried again, but for searches."""
        from smash_lightning.stages.job import forget_failures, remember_sweep

        Sweep.folder = Path(config.hydra.sweep.dir)
        remember_sweep(Sweep.folder, config.hydra.overrides.task)
        found = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        # Jobs in other processes find this copy of the package, and a user's own modules beside it.
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(Path(__file__).parent), *filter(None, found)]))
        if not _is_search(config.hydra):
            forget_failures(Sweep.folder)

    @classmethod
    def end(cls, error: str = "") -> None:
        """Prints the folder of the sweep, if there was one, and exits with an error where there are some."""
        if cls.folder is None:
            return sys.exit(f"error: {error}") if error else None
        from smash_lightning.stages.job import troubles

        print(cls.folder)
        told = "\n".join(f"error: {line}" for line in troubles(cls.folder, error))
        return sys.exit(told) if told else None


def _is_search(chosen: DictConfig) -> bool:
    """Whether what jobs return decides which come next."""
    return not chosen.sweeper._target_.endswith(".BasicSweeper")


def _is_restart(config: DictConfig, folder: Path) -> bool:
    """Whether SLURM began this job again, for a run that was under way."""
    again = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
    return again and config.resume is None and folder.name.startswith("slurm-") and (folder / "config.yaml").exists()


def _execute(config: DictConfig, folder: Path) -> float | None:
    from smash_lightning.engine import set_local_rank
    from smash_lightning.report.tracker import Tracker
    from smash_lightning.run_folder import source_run
    from smash_lightning.stages.gpu import choose_gpu
    from smash_lightning.stages.job import Result

    set_local_rank(0)
    choose_gpu(config.gpu, config.trainer.accelerator, config.trainer.get("devices", 1))
    experiment = _experiment(config, folder)
    task = instantiate(config.task, "task")
    loggers = [instantiate(logger, f"logger.{name}") for name, logger in config.logger.items()]
    config.source_run = str(source_run(Path(config.checkpoint)).resolve()) if config.checkpoint else None
    _claim(folder, config)  # last: a folder is not taken by a run that cannot begin
    with _held(folder), Tracker(loggers) as tracker:
        tracker.config(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        outcome = task(experiment, tracker)
        tracker.log_folder(folder)
    value = outcome if isinstance(outcome, float) and math.isfinite(outcome) else None  # no sweeper can do with NaN
    Result(config.task._target_.split(".")[-1], value).write(experiment.folder.result)
    return value


def _experiment(config: DictConfig, folder: Path) -> Experiment:
    # Heavy imports stay out of the way of --help and of errors in the options.
    from smash_lightning.run_folder import RunFolder
    from smash_lightning.search_space import SizeMatched
    from smash_lightning.stages import Experiment
    from smash_lightning.stages.devices import crew
    from smash_lightning.stages.signatures import require_type

    data = instantiate(config.dataset, "dataset")
    data.setup()
    for note in data.sets.notes:
        print(f"{data.name}: {note}")
    options = OmegaConf.masked_copy(config.search_space, [k for k in config.search_space if not k.startswith("size_")])
    space = instantiate(options, "search_space")(image_spec=data.image_spec)
    tolerance, target = config.search_space.size_tolerance, config.search_space.size_target
    require_type("search_space.size_tolerance", tolerance, float | None)
    require_type("search_space.size_target", target, int | None)
    device = _device(config.trainer.accelerator)
    shape = {key: config.trainer[key] for key in ("devices", "num_nodes", "strategy") if key in config.trainer}
    workers, together = crew(device, config.workers, **shape)
    return Experiment(
        folder=RunFolder(folder),
        source=Path(config.checkpoint) if config.checkpoint else None,
        seed=config.seed,
        data=data,
        space=space,
        candidates=space if tolerance is None else SizeMatched(space, tolerance, target),
        hypernet=hypernet_specification(config.hypernet),
        search=instantiate(config.search, "search"),
        ranking=instantiate(config.ranking, "ranking"),
        retrain=instantiate(config.retrain, "retrain"),
        baselines=instantiate(config.baselines, "baselines"),
        evaluation=instantiate(config.evaluation, "evaluation"),
        trainer=instantiate(config.trainer, "trainer"),
        device=device,
        workers=workers,
        together=together,
    )


def hypernet_specification(section: Any) -> HyperNetSpecification:
    """Class and options, checked but not built: a training builds the weights, and a checkpoint holds both."""
    from smash_lightning.hypernet import HyperNetSpecification, WeightSource
    from smash_lightning.stages.signatures import require_types

    plain: Any = OmegaConf.to_container(section, resolve=True) if OmegaConf.is_config(section) else dict(section)
    require_types(plain, "hypernet", WeightSource)
    return HyperNetSpecification(plain.pop("_target_"), plain)


def _device(accelerator: str) -> str:
    import torch

    if torch.cuda.is_available():
        return "cpu" if accelerator == "cpu" else "cuda"
    if accelerator not in ("cpu", "auto"):
        raise ValueError(f"trainer.accelerator={accelerator}: torch finds no GPU here, choose trainer=cpu")
    return "cpu"


def _with_earlier(config: DictConfig) -> DictConfig:
    """Builds on the options of the run that `checkpoint` or `resume` names, where it is there.

    Where `checkpoint` is a sweep's folder, whose jobs are collected, they are those of its first job.
    """
    from smash_lightning.run_folder import job_folders
    from smash_lightning.stages.job import require_same

    named = config.resume or config.checkpoint
    if named is None:
        return config
    path = Path(named)
    folder = path if path.is_dir() or config.resume else path.parent.parent
    if not path.exists():
        raise ValueError(f"{'resume' if config.resume else 'checkpoint'}={named}: there is nothing at this path")
    jobs = [] if config.resume else [job for job in job_folders(folder) if (job / "config.yaml").exists()]
    folder = jobs[0] if jobs else folder
    if not (folder / "config.yaml").exists():
        if config.resume:
            raise ValueError(f"resume={named} is not a run's folder: it holds no config.yaml")
        return config
    earlier = OmegaConf.load(folder / "config.yaml")
    given = list(HydraConfig.get().overrides.task)
    replaced = {_key(override) for override in given} | {"resume"}
    if not config.resume:
        replaced |= {"task", "logger", "trainer"} | ({"retrain.rank"} if jobs else set())
    kept = [override for override in earlier.overrides if not _is_within(_key(override), replaced)]
    combined = hydra.compose("config", overrides=[*kept, *given], return_hydra_config=True)
    OmegaConf.set_struct(combined, False)
    del combined["hydra"]
    combined.overrides = [*kept, *given]
    combined.resume = config.resume
    if config.resume:
        require_same(_plain(earlier), _plain(combined), folder, (*NOT_COMPARED, "task", "evaluation.metric"))
    return combined


def _key(override: str) -> str:
    return override.split("=")[0].lstrip("+~")


def _is_within(key: str, replaced: set[str]) -> bool:
    """Whether an option is among the replaced ones, or a value of a group among them, which may not have it."""
    return any(key == other or key.startswith(f"{other}.") for other in replaced)


def _plain(config: Any) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def _claim(folder: Path, config: DictConfig) -> None:
    """Writes the resolved configuration, and refuses to write over another run."""
    if config.resume is not None:
        return
    try:
        with (folder / "config.yaml").open("x") as file:
            file.write(OmegaConf.to_yaml(config, resolve=True))
    except FileExistsError:
        raise ValueError(
            f"{folder} already holds a run: continue it with resume={folder}, or use another folder"
        ) from None


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keeps other processes from working on the same run."""
    with (folder / "config.yaml").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another process is at work on this run, let it end first") from None
        except OSError:
            pass  # a file system that knows no locks
        yield


def _explain(error: Exception) -> str:
    """The message that helps, without Hydra's search path and wrappings, and with what was perhaps meant."""
    cause = error.__cause__
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Another folder is chosen with hydra.run.dir=FOLDER"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option} is unknown{_suggestion(option, error.options)} Known: {', '.join(error.options)}"
    if isinstance(error, InstantiationException) and isinstance(cause, ValueError):
        return str(cause)
    if isinstance(error, InterpolationToMissingValueError | MissingMandatoryValue):
        key = re.findall(r"Missing mandatory value: (\S+)", str(error))[-1]
        key = key if "." in key else str(error.full_key)
        return f"{key} has no value: give it one with {key}=..."
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        *path, _ = cause.full_key.split(".")
        known = [".".join([*path, str(key)]) for key in cause.parent_node or ()]
        return f"there is no option {cause.full_key}" + _suggestion(cause.full_key, known) + HELP
    if isinstance(error, HydraException):
        lines = str(error).split("\nConfig search path")[0].splitlines()
        return ": ".join(line.strip() for line in lines if line.strip() and not line.startswith("See https"))
    return str(error)


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else "."


def _require_own_folder(arguments: Sequence[str]) -> None:
    """Checks the folder of a sweep, where one is named, before any of its jobs begins."""
    folders = [argument.partition("=")[2] for argument in arguments if argument.startswith("hydra.sweep.dir=")]
    if not folders or not Path(folders[-1]).exists():
        return
    from smash_lightning.stages.job import require_same_sweep

    asked = [each for each in arguments if not each.lstrip("+~").startswith(("-", "hydra.", "hydra/"))]
    require_same_sweep(Path(folders[-1]), asked, (*NOT_COMPARED, "hydra"))


@contextmanager
def _leading() -> Iterator[None]:
    """Takes the other processes in hand where srun or torchrun began several; each of those never leaves this."""
    place = launched(os.environ)
    if place is None:
        yield
        return
    from smash_lightning.engine.external import leading, serve

    if not place.first:
        os._exit(serve(place))  # threads that wait for others would keep it from a proper end
    with leading(place):
        yield


if __name__ == "__main__":
    try:
        require_one_sweeper(sys.argv[1:], os.environ)
        _require_own_folder(sys.argv[1:])
        with _leading():
            main()
    except KeyboardInterrupt:
        again = "resume=FOLDER" if Sweep.folder is None else f"hydra.sweep.dir={Sweep.folder}"
        sys.exit(f"interrupted; continue with the same command and {again}")
    except ERRORS as error:
        Sweep.end(_explain(error))
    Sweep.end()
