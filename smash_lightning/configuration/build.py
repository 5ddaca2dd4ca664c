"""The objects that a configuration describes."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from smash_lightning.configuration import CONF
from smash_lightning.configuration.errors import REPLACED
from smash_lightning.hypernet import HyperNetSpecification, WeightSource
from smash_lightning.option_types import require_types
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages import Experiment
from smash_lightning.stages.trainers import engine_for

SECTIONS = ("search", "ranking", "retrain", "baselines", "evaluation")


def build_experiment(config: DictConfig, folder: Path) -> Experiment:
    """Everything that a task needs.

    Raises ValueError where an option has a value that is refused; the message names it.
    """
    data = instantiate(config.dataset, "dataset")
    data.setup()
    print(data.summary())
    space = instantiate(config.search_space, "search_space", image_spec=data.image_spec)(image_spec=data.image_spec)
    trainer = plain(config.trainer)
    for name in trainer.keys() & REPLACED.keys():
        raise ValueError(f"trainer.{name} has no effect here: use {REPLACED[name]}")
    if (precision := trainer.get("precision")) in ("16-true", "bf16-true"):
        raise ValueError(
            f"trainer.precision={precision}: small steps of weights are lost in half precision: use bf16-mixed, where "
            "weights are float32"
        )
    parts = {name: instantiate(config[name], name) for name in SECTIONS}
    if precision == "16-mixed" and parts["search"].skip_bad_steps:
        raise ValueError(
            "search.skip_bad_steps: trainer.precision=16-mixed already skips steps, whose gradients are then too large "
            "for half precision: use bf16-mixed"
        )
    device = scoring_device(config.trainer.accelerator)
    shape = {key: trainer[key] for key in ("devices", "num_nodes", "strategy") if key in trainer}
    engine, together = engine_for(instantiate(config.engine, "engine"), device, **shape)
    return Experiment(
        folder=RunFolder(folder),
        source=Path(config.checkpoint) if config.checkpoint else None,
        seed=config.seed,
        data=data,
        space=space,
        hypernet=hypernet_specification(config.hypernet),
        trainer=instantiate(trainer, "trainer"),
        callbacks=callbacks_of(plain(config.callbacks)),
        device=device,
        engine=engine,
        together=together,
        **parts,
    )


@cache
def default_configuration() -> DictConfig:
    """The configuration of a command line without options, whether or not the program itself uses Hydra."""
    state = GlobalHydra.instance()
    own, state.hydra = state.hydra, None
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return hydra.compose("config")
    finally:
        state.hydra = own


def instantiate(section: Any, name: str, *given: Any, **more: Any) -> Any:
    """The object that a section of the configuration describes, with plain lists and dictionaries inside.

    One that is a function will be called with the arguments `given` and `more`, if there are any.

    Raises ValueError where a value is not of the type of the parameter that it is for, or refused by the object, or
    missing for that call.
    """
    values = plain(section)
    if not isinstance(values, dict):
        raise ValueError(f"{name} is no section with a _target_, got {values!r}")
    require_types(values, name)
    try:
        made = hydra.utils.instantiate(values, _convert_="all")
        if given or more:
            inspect.signature(made).bind(*given, **more)
        return made
    except TypeError as error:  # those of the object itself are wrapped
        raise ValueError(f"{name}: {error}") from None
    except InstantiationException as error:
        if isinstance(error.__cause__, TypeError):
            raise ValueError(f"{name}: {error.__cause__}") from None
        raise


def hypernet_specification(section: Any) -> HyperNetSpecification:
    """Class and options of a HyperNet, checked but not built: a training builds it, and a checkpoint records both.

    Raises ValueError where it is no HyperNet, or an option is of another type.
    """
    values = plain(section)
    require_types(values, "hypernet", WeightSource)
    return HyperNetSpecification(values["_target_"], {key: values[key] for key in values if key != "_target_"})


def plain(section: Any) -> dict[str, Any]:
    """A section of the configuration as plain values."""
    values: Any = OmegaConf.to_container(section, resolve=True) if OmegaConf.is_config(section) else section
    return values


def callbacks_of(sections: Mapping[str, Any]) -> tuple[Callable[[], L.Callback], ...]:
    """For each section of the group `callbacks` what makes a callback, as each training needs callbacks of its own.

    Raises ValueError where one is no section with a `_target_`; null leaves one out.
    """
    given = {f"callbacks.{name}": section for name, section in sections.items() if section is not None}
    for name, section in given.items():
        if not isinstance(section, dict) or "_target_" not in section:
            raise ValueError(f"{name} must be a section with a _target_, got {section!r}")
    return tuple(instantiate({**section, "_partial_": True}, name) for name, section in given.items())


def scoring_device(accelerator: str) -> str:
    """The kind of device of `trainer.accelerator`: cpu, cuda, mps or xpu.

    Raises ValueError where this machine has none of that kind.
    """
    if accelerator == "cpu":
        return "cpu"
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is not None and accelerator in ("auto", "gpu", found.type):
        return found.type
    if accelerator == "auto":
        return "cpu"
    kind = "GPU" if accelerator in ("gpu", "cuda") else f"device of the kind {accelerator}"
    raise ValueError(f"trainer.accelerator={accelerator}: torch finds no {kind} here, choose trainer=cpu")
