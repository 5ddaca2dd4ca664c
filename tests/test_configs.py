"""Every file under conf/ and every command that users are shown: they compose, fit their classes, build objects."""

import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.utils import get_object
from hydra.utils import instantiate as hydra_instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from omegaconf import OmegaConf

from smash_lightning.configuration import CONF
from smash_lightning.configuration.build import hypernet_specification, instantiate
from smash_lightning.hypernet.specification import SPACE_ARGUMENTS
from smash_lightning.report.loggers import PACKAGES
from tests.cases import SMASHV1
from tests.command_line import ROOT

OPTIONS = sorted((path.parent.name, path.stem) for path in CONF.glob("*/*.yaml"))
EXPERIMENTS = ("experiment", "size", "hparams_search", "debug")  # they change several groups, and are no section
NO_SECTIONS = (*EXPERIMENTS, "task", "logger", "trainer", "callbacks", "search_space")
ALONE = (*EXPERIMENTS, "logger", "task")  # files of the other groups are composed together, one of each group


def of(group: str) -> list[str]:
    return [option for each, option in OPTIONS if each == group]


def rows() -> list[tuple[tuple[str, str], ...]]:
    """Each file once, with one of each other group where groups do not change each other."""
    groups = [[each for each in OPTIONS if each[0] == group] for group in {group for group, _ in OPTIONS} - {*ALONE}]
    together = [tuple(each for each in row if each) for row in zip_longest(*sorted(groups))]
    return [*together, *((each,) for each in OPTIONS if each[0] in ALONE)]


def shown_commands() -> list[str]:
    """What README, documentation, the help text and the heads of files show, without comments."""
    pages = [(ROOT / "README.md").read_text(), *(path.read_text() for path in (ROOT / "docs").glob("**/*.md"))]
    groups = ("experiment", "size", "debug", "callbacks", "task", "hparams_search", "hydra/launcher")
    heads = [path.read_text() for group in groups for path in CONF.glob(f"{group}/*.yaml")]
    help_text = OmegaConf.load(CONF / "config.yaml").hydra.help.template.split("==")[0]
    lines = [line.lstrip("# ") for text in [*pages, help_text, *heads] for line in text.splitlines()]
    commands = [re.split(r" {2,}|  *# ", line)[0].strip() for line in lines]
    ours = [re.sub(r"^(srun.*python run.py|smash(?= ))", "python run.py", each) for each in commands]
    runs = dict.fromkeys(command for command in ours if command.startswith("python run.py"))
    return [command for command in runs if "--config-dir" not in command]  # those files are in tests/test_docs.py


def composed(overrides: list[str], folder: str = "nowhere") -> Any:
    """The configuration of a run, as plain values."""
    config = chosen(*overrides, f"hydra.runtime.output_dir={folder}", "hydra.job.num=0").copy()
    HydraConfig.instance().set_config(config)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return OmegaConf.to_container(config, resolve=True)


@cache
def chosen(*overrides: str) -> Any:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", [*overrides], return_hydra_config=True)


def choose(group: str, option: str) -> list[str]:
    """Overrides that choose an option, and give it the value that it requires."""
    required = {"folder": ["dataset.root=mine"], "parquet": ["dataset.root=mine"], "hub": ["dataset.path=some/set"]}
    return [f"{group}={option}", *required.get(option, [])]


def described(section: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part with a class of its own."""
    if isinstance(section, dict):
        if "_target_" in section:
            yield name, section
        for key, value in section.items():
            yield from described(value, f"{name}.{key}")


@pytest.mark.parametrize("files", rows(), ids=lambda files: "-".join(option for _, option in files))
def test_every_file_composes_fits_its_classes_and_builds_its_object(files: tuple[tuple[str, str], ...]) -> None:
    for package in PACKAGES.get(files[0][1], ()) if files[0][0] == "logger" else ():
        pytest.importorskip(package)
    config = composed([override for file in files for override in choose(*file)])
    parts = list(described(config, "config"))
    assert len(parts) > 10
    for name, part in parts:
        keys = {key: value for key, value in part.items() if not key.startswith("_")}
        if name == "config.hypernet":
            keys |= dict.fromkeys(SPACE_ARGUMENTS)
        signature = inspect.signature(get_object(part["_target_"]))
        try:
            signature.bind_partial(**keys) if part.get("_partial_") else signature.bind(**keys)
        except TypeError as error:
            pytest.fail(f"{name}: {error}")
    for group, _ in files:
        if group == "hypernet":
            hypernet_specification(config[group]).check(SMASHV1)
        elif group not in NO_SECTIONS:
            assert type(instantiate(config[group], group)).__name__ == config[group]["_target_"].split(".")[-1]
        if group == "task":
            parameters = list(inspect.signature(instantiate(config["task"], "task")).parameters)
            assert parameters[:2] == ["experiment", "tracker"]


def test_the_default_configuration_names_every_group() -> None:
    assert {group for group, _ in OPTIONS} <= composed([]).keys() | set(EXPERIMENTS)
    data = instantiate(composed([])["dataset"], "dataset")
    data.setup()
    assert [len(split) for split in (data.train, data.validation, data.test)] == [600, 500, 697]
    for option in of("search_space"):
        space = instantiate(composed([f"search_space={option}"])["search_space"], "search_space")(
            image_spec=data.image_spec
        )
        assert space.specification()


@pytest.mark.parametrize("option", of("hparams_search"))
def test_a_search_varies_options_that_there_are(option: str) -> None:
    config = chosen(f"hparams_search={option}")
    sweeper = OmegaConf.to_container(config.hydra.sweeper)
    distributions, fixed = create_params_from_overrides([f"{name}={v}" for name, v in sweeper["params"].items()])
    assert not fixed
    for name, distribution in distributions.items():
        for value in getattr(distribution, "choices", None) or (distribution.low, distribution.high):
            section = name.split(".")[0]
            build = hypernet_specification if section == "hypernet" else partial(instantiate, name=section)
            build(composed([f"{name}={value}"])[section])
    best = {"correlation": "maximize", "best_true_loss": "minimize", "best_true_error": "minimize"}
    assert sweeper["direction"] == best[config.evaluation.metric]
    assert sweeper["sampler"]["seed"] is not None, "a search that is continued would choose anew"


@pytest.mark.parametrize("path", sorted(CONF.glob("hydra/launcher/*.yaml")), ids=lambda path: path.stem)
def test_every_launcher_fits_its_class(path: Path) -> None:
    launcher = chosen(f"hydra/launcher={path.stem}").hydra.launcher
    for name in [name for name in launcher if OmegaConf.is_missing(launcher, name)]:
        launcher[name] = 2  # how many GPUs there are, which only the user can set
    assert type(hydra_instantiate(launcher)).__name__ == launcher._target_.split(".")[-1]


@pytest.mark.parametrize("option", [option for option in of("dataset") if option not in ("digits", "hub")])
def test_a_data_set_that_is_missing_gets_a_message_with_the_remedy(option: str, tmp_path: Path) -> None:
    overrides = [f"dataset={option}", f"dataset.root={tmp_path}/none", "dataset.download=false"]
    data = instantiate(composed(overrides)["dataset"], "dataset")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/none.*(dataset.root|dataset.download|put)"):
        data.setup()


@pytest.mark.parametrize("option", of("trainer"))
def test_every_trainer_builds(option: str, tmp_path: Path) -> None:
    section = composed(choose("trainer", option))["trainer"]
    if section["accelerator"] == "gpu" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    trainer = instantiate(section, "trainer")(max_epochs=1, logger=False, default_root_dir=tmp_path)
    assert trainer.num_devices == section["devices"] or section["devices"] == -1


@pytest.mark.parametrize("option", of("logger"))
def test_every_logger_builds(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))  # so that what the logger writes there is removed
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COMET_START_ONLINE", "0")
    loggers = composed(choose("logger", option), str(tmp_path))["logger"]
    assert loggers.pop("trainings", "rows") == "rows"
    assert list(loggers) == ([] if option == "none" else [option])
    for package in PACKAGES.get(option, ()):
        pytest.importorskip(package)
    for name, section in loggers.items():
        logger = instantiate(section, f"logger.{name}")
        place = logger._tracking_uri.removeprefix("sqlite:///") if option == "mlflow" else str(logger.save_dir)
        assert place.startswith(str(tmp_path))


def test_every_command_that_is_shown_composes() -> None:
    commands = shown_commands()
    assert {"python run.py", "python run.py experiment=quick", "python run.py debug=smoke"} <= {*commands}
    assert len(commands) >= 30
    wrong = [f"{line}: {error}" for line in commands if (error := problem(line))]
    assert not wrong, "\n".join(wrong)
    assert "hypernet.widht" in problem("python run.py hypernet.widht=128")
    assert "-m" in problem("python run.py -m seed=1")
    assert "vgg" in problem("python run.py dataset=vgg")


def problem(line: str) -> str:
    """Why a command does not compose; empty where it does. Of a group's options in a sweep, one is composed."""
    words = shlex.split(line)[2:]
    flags = {word for word in words if word.startswith("-")}
    overrides = OverridesParser.create().parse_overrides([word for word in words if word not in flags])
    swept = any(each.is_sweep_override() or each.key_or_group == "hparams_search" for each in overrides)
    if not flags <= {"-m", "--help"} or swept != ("-m" in flags):
        return f"flags {flags}"
    groups = [each for each in overrides if (CONF / each.key_or_group).is_dir()]
    keys = {each.key_or_group for each in overrides}
    earlier = choose("dataset", "folder") if {"checkpoint", "dataset.root"} <= keys else []  # of the run at FOLDER
    try:
        config = chosen(*map(first_choice, groups), *earlier)
    except HydraException as error:
        return str(error).splitlines()[0]
    values = [each.key_or_group for each in overrides if each not in groups and not each.is_add()]
    sections = {key: OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config for key in values}
    return ", ".join(key for key, section in sections.items() if key.split(".")[-1] not in {*(section or {})})


def first_choice(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
