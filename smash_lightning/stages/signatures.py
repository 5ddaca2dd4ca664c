"""Options are checked against the signatures of what they configure, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


def require_types(section: Mapping[str, Any], name: str, hint: Any = Any) -> None:
    """Checks the plain values of a section, called `name`, against the signature of its `_target_`, and so on inside.

    Raises:
        ValueError: there is no such target, what it makes is not of the type `hint`, or a value is of another type; the
            message names it.
    """
    hints: Mapping[str, Any] = {}
    if "_target_" in section:
        target = _named(section["_target_"], name)
        hints = _hints(target)
        _require_kind(target, hint, name)
    elif get_origin(hint) is Mapping:
        hints = dict.fromkeys(section, get_args(hint)[1])
    for key, value in section.items():
        if isinstance(value, dict):
            require_types(value, f"{name}.{key}", hints.get(key, Any))
        else:
            require_type(f"{name}.{key}", value, hints.get(key, Any))


def _named(target: str, name: str) -> Any:
    try:
        # With a colon: a task has the name of the module that it stands in.
        return resolve_name(":".join(target.rsplit(".", 1)))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name}._target_={target}: {error}") from None


def _require_kind(target: Any, hint: Any, name: str) -> None:
    """Checks a class that is named against the class, or the union of classes, that is wanted."""
    wanted = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    known = inspect.isclass(target) and Any not in wanted and all(map(inspect.isclass, wanted))
    if known and not issubclass(target, tuple(wanted)):
        kinds = " or ".join(kind.__name__ for kind in wanted)
        raise ValueError(f"{name} must be a {kinds}, and {target.__module__}.{target.__name__} is none")


def _hints(target: Any) -> dict[str, Any]:
    return get_type_hints(target.__init__ if inspect.isclass(target) else target)


def require_type(name: str, value: Any, hint: Any) -> None:
    """Checks one plain value, called `name`, against a type hint.

    Raises:
        ValueError: it is of another type.
    """
    if not _fits(value, hint):
        wanted = " or ".join(TYPES.get(kind, str(kind)) for kind in get_args(hint) or (hint,) if kind is not Ellipsis)
        raise ValueError(f"{name} must be {'a list of ' if isinstance(value, list) else ''}{wanted}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of a type; of types that no plain value has, any is taken."""
    strategy, inner = get_origin(hint), get_args(hint)
    if strategy in (Union, UnionType):
        return any(_fits(value, kind) for kind in inner)
    if strategy is Literal:
        return value in inner
    if strategy in (tuple, Sequence):
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (str, bool, NoneType) else True
