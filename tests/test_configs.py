"""Every file under conf/ and every command that users are shown: they compose, fit their classes, build objects."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.utils import get_object
from hydra.utils import instantiate as hydra_instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from omegaconf import OmegaConf

import run
from smash_lightning.hypernet.specification import SPACE_ARGUMENTS
from smash_lightning.random_streams import rng
from smash_lightning.search_space import SizeMatched
from tests.cases import SMASHV1

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
OPTIONS = sorted((path.parent.name, path.stem) for path in CONF.glob("*/*.yaml"))
SECTIONS = [
    option for option in OPTIONS if option[0] not in ("experiment", "hparams_search", "task", "logger", "trainer")
]
SIZES = {"size_tolerance", "size_target"}  # of the selection by size around a search space


def shown_commands() -> list[str]:
    """What README, the help text and the heads of files tell users to type, without comments."""
    pages = [(ROOT / "README.md").read_text(), *(path.read_text() for path in (ROOT / "docs").glob("**/*.md"))]
    groups = ("experiment", "task", "hparams_search", "hydra/launcher")
    heads = [path.read_text() for group in groups for path in CONF.glob(f"{group}/*.yaml")]
    help_text = OmegaConf.load(CONF / "config.yaml").hydra.help.template.split("==")[0]
    texts = [*pages, help_text, *heads]
    lines = [line.lstrip("# ") for text in texts for line in text.splitlines()]
    commands = [re.split(r" {2,}|  *# ", line)[0].strip() for line in lines]
    ours = [re.sub(r"^(srun \S+ python|torchrun \S+) run.py", "python run.py", command) for command in commands]
    runs = dict.fromkeys(command for command in ours if command.startswith("python run.py"))
    return [command for command in runs if "--config-dir" not in command]  # those files are in tests/test_docs.py


def composed(overrides: list[str], folder: str = "nowhere") -> Any:
    """The configuration of a run, as plain values."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        more = [f"hydra.runtime.output_dir={folder}", "hydra.job.num=0"]
        config = hydra.compose("config", [*overrides, *more], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        return run.without_handed_on(OmegaConf.to_container(config, resolve=True))


def choose(group: str, option: str) -> list[str]:
    """Overrides that choose an option, and give it what it asks for."""
    return [f"{group}={option}", *(["dataset.root=mine"] if option in ("folder", "parquet") else [])]


def described(section: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part with a class of its own."""
    if isinstance(section, dict):
        if "_target_" in section:
            yield name, section
        for key, value in section.items():
            yield from described(value, f"{name}.{key}")


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_file_composes_and_fits_its_classes(group: str, option: str) -> None:
    config = composed(choose(group, option))
    parts = list(described(config, "config"))
    assert len(parts) > 10
    for name, part in parts:
        keys = {key: value for key, value in part.items() if not key.startswith("_")}
        if name == "config.search_space":
            keys = {key: value for key, value in keys.items() if key not in SIZES}
        if name == "config.hypernet":
            keys |= dict.fromkeys(SPACE_ARGUMENTS)
        signature = inspect.signature(get_object(part["_target_"]))
        try:
            signature.bind_partial(**keys) if part.get("_partial_") else signature.bind(**keys)
        except TypeError as error:
            pytest.fail(f"{name}: {error}")


def test_the_default_configuration_names_every_group() -> None:
    assert {group for group, _ in OPTIONS} <= composed([]).keys() | {"experiment", "hparams_search"}


@pytest.mark.parametrize(("group", "option"), SECTIONS)
def test_every_section_builds_its_object(group: str, option: str) -> None:
    section = composed(choose(group, option))[group]
    if group == "hypernet":
        return run.hypernet_specification(section).check(SMASHV1)
    if group != "search_space":
        assert type(run.instantiate(section, group)).__name__ == section["_target_"].split(".")[-1]
        return
    tolerance, target = section.pop("size_tolerance"), section.pop("size_target")
    data = run.instantiate(composed([])["dataset"], "dataset")
    space = run.instantiate(section, group)(image_spec=data.image_spec)
    candidates = space if tolerance is None else SizeMatched(space, tolerance, target)
    assert candidates.contains(candidates.sample(rng("configs")))


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "hparams_search"])
def test_a_search_varies_options_that_there_are(option: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = hydra.compose("config", [f"hparams_search={option}"], return_hydra_config=True)
    sweeper = OmegaConf.to_container(chosen.hydra.sweeper)
    arguments = [f"{name}={values}" for name, values in sweeper["params"].items()]
    distributions, fixed = create_params_from_overrides(arguments)
    assert not fixed
    for name, distribution in distributions.items():
        ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)
        for value in ends:
            section = name.split(".")[0]
            build = run.hypernet_specification if section == "hypernet" else partial(run.instantiate, name=section)
            build(composed([f"{name}={value}"])[section])
    best = {"correlation": "maximize", "best_true_loss": "minimize", "best_true_error": "minimize"}
    assert sweeper["direction"] == best[chosen.evaluation.metric]
    assert sweeper["sampler"]["seed"] is not None, "a search that is continued would choose anew"


@pytest.mark.parametrize("path", sorted(CONF.glob("hydra/launcher/*.yaml")), ids=lambda path: path.stem)
def test_every_launcher_fits_its_class(path: Path) -> None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = hydra.compose("config", [f"hydra/launcher={path.stem}"], return_hydra_config=True)
    launcher = chosen.hydra.launcher
    for name in [name for name in launcher if OmegaConf.is_missing(launcher, name)]:
        launcher[name] = 2  # how many GPUs there are, which only the user knows
    made = hydra_instantiate(launcher)
    assert type(made).__name__ == launcher._target_.split(".")[-1]


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "dataset"])
def test_a_data_set_that_is_not_there_says_what_to_do(option: str, tmp_path: Path) -> None:
    chosen = [] if option == "digits" else [f"dataset.root={tmp_path}/none", "dataset.download=false"]
    data = run.instantiate(composed([f"dataset={option}", *chosen])["dataset"], "dataset")
    if option == "digits":
        return data.setup()
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/none.*(dataset.root|dataset.download|put)"):
        data.setup()
    return None


def test_the_default_dataset_builds() -> None:
    data = run.instantiate(composed([])["dataset"], "dataset")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [600, 500, 697]


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "trainer"])
def test_every_trainer_builds(option: str, tmp_path: Path) -> None:
    section = composed(choose("trainer", option))["trainer"]
    if section["accelerator"] == "gpu" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    trainer = run.instantiate(section, "trainer")(max_epochs=1, logger=False, default_root_dir=tmp_path)
    assert trainer.num_devices == section["devices"] or section["devices"] == -1


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "logger"])
def test_every_logger_builds(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))  # so that what the logger writes there is taken back
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if option in ("tensorboard", "mlflow"):
        pytest.importorskip(option)
    loggers = composed(choose("logger", option), str(tmp_path))["logger"]
    assert list(loggers) == ([] if option == "none" else [option])
    for name, section in loggers.items():
        logger = run.instantiate(section, f"logger.{name}")
        place = logger._tracking_uri.removeprefix("sqlite:///") if option == "mlflow" else str(logger.save_dir)
        assert place.startswith(str(tmp_path))


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "task"])
def test_every_task_builds(option: str) -> None:
    task = run.instantiate(composed(choose("task", option))["task"], "task")
    assert list(inspect.signature(task).parameters)[:2] == ["experiment", "tracker"]


def test_commands_are_found() -> None:
    commands = shown_commands()
    assert "python run.py" in commands
    assert "python run.py experiment=quick" in commands
    assert len(commands) >= 12


@pytest.mark.parametrize("line", shown_commands())
def test_every_command_that_is_shown_composes(line: str) -> None:
    words = shlex.split(line)[2:]
    flags = [word for word in words if word.startswith("-")]
    assert set(flags) <= {"-m", "--help"}
    overrides = OverridesParser.create().parse_overrides([word for word in words if word not in flags])
    swept = any(override.is_sweep_override() or override.key_or_group == "hparams_search" for override in overrides)
    assert swept == ("-m" in flags)
    for override in overrides:
        others = [fixed(other) for other in overrides if other is not override]
        for choice in choices(override):
            composed([*others, choice])


def choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    values = list(override.sweep_string_iterator())
    return [f"{override.get_key_element()}={value}" for value in (*values[:3], *values[3:][-1:])]


def fixed(override: Override) -> str:
    return choices(override)[0]


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(hydra.errors.ConfigCompositionException):
        composed(["hypernet.widht=128"])
