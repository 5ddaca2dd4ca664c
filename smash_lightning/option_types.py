"""Options are checked against the signatures of what they configure, before anything runs, and compared."""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pkgutil import resolve_name
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

Share = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Trainings = Annotated[int, Field(gt=0, lt=999)]  # of different seeds, which are numbered below the next seed's
ANY_CLASS = ConfigDict(arbitrary_types_allowed=True)
OBJECT = "Input should be a section with a _target_"
SHOWN = 3  # differences in a message
PACKAGE = "smash_lightning."
PLAIN = (NoneType, bool, int, float, str, tuple)  # types of plain defaults


def require_types(value: Any, name: str, hint: Any = Any) -> None:
    """Checks the plain value of the option `name` against a type hint; a section against what its `_target_` accepts.

    Raises ValueError where there is no such target, it is not of the expected class, or a value is of another type.
    """
    if not isinstance(value, dict):
        require_type(name, value, hint)
        return
    hints = dict.fromkeys(value, get_args(hint)[-1]) if len(get_args(hint)) == 2 else {}
    if "_target_" in value:
        target = resolve_target(value["_target_"], name, hint)
        signature = target.__init__ if inspect.isclass(target) and not is_dataclass(target) else target
        hints = get_type_hints(signature, include_extras=True)  # of a dataclass with the fields that it inherits
    for key, inner in value.items():
        require_types(inner, f"{name}.{key}", hints.get(key, Any))


def require_type(name: str, value: Any, hint: Any) -> None:
    """Checks one plain value; JSON's rules accept a list as a tuple and a whole number as a float, no more.

    Raises ValueError where it is of another type.
    """
    try:
        TypeAdapter(list[hint], config=ANY_CLASS).validate_json(json.dumps([value]), strict=True)
    except ValidationError as error:
        raise ValueError(message_of(name, value, error)) from None


def require_bounds(options: Any, section: str) -> None:
    """Checks the fields of a dataclass against their annotations, such as `Annotated[int, Field(ge=2)]`.

    Args:
        options: the dataclass.
        section: its name in the configuration.

    Raises:
        ValueError: a value is of another type or out of bounds; the message has the name of the option.
    """
    for name, adapter in _adapters(type(options)).items():  # type: ignore[arg-type]  # a class can be hashed
        value = getattr(options, name)
        try:
            adapter.validate_python([value], strict=True)
        except ValidationError as error:
            raise ValueError(message_of(f"{section}.{name}", value, error)) from None


@cache
def _adapters(kind: Any) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    lists: dict[str, Any] = {each.name: GenericAlias(list, (hints[each.name],)) for each in fields(kind)}
    return {name: TypeAdapter(one, config=ANY_CLASS) for name, one in lists.items()}


def message_of(name: str, value: Any, error: ValidationError) -> str:
    """What pydantic found wrong with a value, in a sentence with its name."""
    found = {each["msg"]: each["type"] for each in error.errors()}
    texts = [OBJECT if kind == "needs_python_object" else text for text, kind in found.items()]
    reasons = " or ".join(re.sub(r"^\w+ should ", "must ", text) for text in texts)
    remedy = f""": quotes make it a text, '"{value}"'""" if "string_type" in found.values() else ""
    return f"{name} {reasons.replace(' or must be ', ' or ')}, got {value!r}{remedy}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first options in which two configurations differ, for a message; empty where they are equal."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    shown = [f"{key} was {before.get(key, 'absent')}, now {now.get(key, 'absent')}" for key in keys[:SHOWN]]
    return "; ".join(shown) + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")


def with_defaults(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration `before`, with the options that only `now` has at their defaults.

    Defaults are those of the sections' classes of this package: an option that was added later behaves at its default
    as earlier versions did.
    """
    found, defaults = dict(before), {}
    if str(target := now.get("_target_")).startswith(PACKAGE):
        parameters = inspect.signature(resolve_target(str(target), "", Any)).parameters
        defaults = {name: one.default for name, one in parameters.items() if isinstance(one.default, PLAIN)}
    for name, value in now.items():
        if isinstance(value, Mapping) and isinstance(before.get(name), Mapping):
            found[name] = with_defaults(before[name], value)
        elif name not in before and name in defaults:
            found[name] = list(default) if isinstance(default := defaults[name], tuple) else default
    return found


def resolve_target(path: str, name: str, hint: Any) -> Any:
    """The class or function that the section `name` names by `path`.

    Raises:
        ValueError: it cannot be imported, or is a class that does not extend one in the type hint.
    """
    try:
        target = resolve_name(":".join(path.rsplit(".", 1)))  # the colon: a task may have the name of its module
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name}._target_={path}: {error}") from None
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    wanted = [kind for kind in kinds if kind is not NoneType]
    comparable = Any not in wanted and all(map(inspect.isclass, [target, *wanted]))
    if comparable and not issubclass(target, tuple(wanted)):
        expected = " or ".join(kind.__name__ for kind in wanted)
        raise ValueError(f"{name} must be a {expected}, and {path} is none")
    return target
