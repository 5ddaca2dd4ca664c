"""The objects of an experiment, built from its configuration."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from smash_lightning.configuration.earlier_run import plain
from smash_lightning.configuration.instantiate import hypernet_specification, instantiate
from smash_lightning.configuration.trainer_options import callback_sections, require_trainer_options
from smash_lightning.run_folder import RunFolder
from smash_lightning.search_space import SizeMatched
from smash_lightning.stages import Experiment
from smash_lightning.stages.devices import process_count

SECTIONS = ("search", "ranking", "retrain", "baselines", "evaluation")


def build_experiment(config: DictConfig, folder: Path) -> Experiment:
    """Everything that a task needs.

    Raises:
        ValueError: an option has a value that is refused; the message names it.
    """
    data = instantiate(config.dataset, "dataset")
    data.setup()
    print(data.summary())
    space = instantiate(config.search_space, "search_space")(image_spec=data.image_spec)
    trainer = plain(config.trainer)
    callbacks = callback_sections(plain(config.callbacks), trainer.pop("callbacks", None))
    require_trainer_options(trainer)
    parts = {name: instantiate(config[name], name) for name in SECTIONS}
    tolerance, target = parts["ranking"].size_tolerance, parts["ranking"].size_target
    device = scoring_device(config.trainer.accelerator)
    shape = {key: trainer[key] for key in ("devices", "num_nodes", "strategy") if key in trainer}
    workers, together = process_count(device, config.workers, **shape)
    return Experiment(
        folder=RunFolder(folder),
        source=Path(config.checkpoint) if config.checkpoint else None,
        seed=config.seed,
        data=data,
        space=space,
        hypernet=hypernet_specification(config.hypernet),
        candidates=space if tolerance is None else SizeMatched(space, tolerance, target),
        trainer=instantiate(trainer, "trainer"),
        callbacks=tuple(instantiate(section, name) for name, section in callbacks.items()),
        device=device,
        workers=workers,
        together=together,
        **parts,
    )


def scoring_device(accelerator: str) -> str:
    """The kind of device of `trainer.accelerator`: cpu, cuda, mps or xpu.

    Raises:
        ValueError: this machine has none of that kind.
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
