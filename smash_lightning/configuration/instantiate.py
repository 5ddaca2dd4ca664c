"""The objects that sections of the configuration describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate as hydra_instantiate
from omegaconf import OmegaConf

from smash_lightning.option_types import require_types

if TYPE_CHECKING:
    from smash_lightning.hypernet import HyperNetSpecification


def instantiate(section: Any, name: str) -> Any:
    """The object that a section of the configuration describes, with plain lists and dictionaries inside.

    Raises:
        ValueError: a value is not of the type of the parameter that it is for, or refused by the object.
    """
    plain: Any = OmegaConf.to_container(section, resolve=True) if OmegaConf.is_config(section) else section
    require_types(plain, name)
    return hydra_instantiate(plain, _convert_="all")


def hypernet_specification(section: Any) -> HyperNetSpecification:
    """Class and options of a HyperNet, checked but not built: a training builds it, and a checkpoint records both.

    Raises:
        ValueError: it is no HyperNet, or an option is of another type.
    """
    from smash_lightning.hypernet import HyperNetSpecification, WeightSource

    plain: Any = OmegaConf.to_container(section, resolve=True) if OmegaConf.is_config(section) else dict(section)
    require_types(plain, "hypernet", WeightSource)
    return HyperNetSpecification(plain.pop("_target_"), plain)
