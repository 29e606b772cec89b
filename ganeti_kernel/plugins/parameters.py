"""Checking values against described parameters. Pure; no plugin is called."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.errors import UnitParseError
from ganeti_kernel.specs.base import Parameter
from ganeti_kernel.units import parse_size


def coerce(parameter: Parameter, value: Any) -> Any:
    """Turn a user's value into the parameter's type; raises ValueError that says why not."""
    kind = parameter.type
    if kind == "maybe-string" and (value is None or value == "none"):
        return None
    return _COERCE[kind](value)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        raise ValueError(f"must be a text, not {value!r}")
    return str(value)


def _int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, not {value!r}")
    try:
        return int(value) if not isinstance(value, float) else _exact(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a whole number, not {value!r}") from None


def _exact(value: float) -> int:
    if value != int(value):
        raise ValueError
    return int(value)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a number, not {value!r}") from None


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("true", "yes", "1"):
        return True
    if text in ("false", "no", "0", ""):
        return False
    raise ValueError(f"must be true or false, not {value!r}")


def _size(value: Any) -> int:
    try:
        return parse_size(value)
    except UnitParseError as error:
        raise ValueError(str(error)) from None


_COERCE: Final[dict[str, Callable[[Any], Any]]] = {
    "string": _string,
    "maybe-string": _string,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "size": _size,
}


def check(parameter: Parameter, value: Any) -> str | None:
    """Return what is wrong with a value of the right type, None when all is well."""
    if value in ("", None):
        return "must not be empty" if parameter.required else None
    if parameter.choices and value not in parameter.choices:
        return f"must be one of {', '.join(str(item) for item in parameter.choices)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if parameter.minimum is not None and value < parameter.minimum:
            return f"must be at least {parameter.minimum:g}"
        if parameter.maximum is not None and value > parameter.maximum:
            return f"must be at most {parameter.maximum:g}"
    if parameter.pattern is not None and re.fullmatch(parameter.pattern, str(value)) is None:
        return f"must match {parameter.pattern}"
    if parameter.absolute_path and not _is_absolute(str(value)):
        return "must be an absolute, normalised path"
    return None


def _is_absolute(path: str) -> bool:
    return path.startswith("/") and posixpath.normpath(path) == path


def validate(
    parameters: Sequence[Parameter], values: Mapping[str, Any], what: str
) -> tuple[dict[str, Any], list[str]]:
    """Coerce and check values; returns (good values, problems). A secret is never quoted.

    `what` names the owner in a problem, e.g. "hypervisor parameter".
    """
    known = {item.name: item for item in parameters}
    good: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in values.items():
        parameter = known.get(name)
        if parameter is None:
            names = ", ".join(sorted(known)) or "none"
            problems.append(f"unknown {what} {name!r} (known: {names})")
            continue
        try:
            good[name] = coerce(parameter, value)
        except ValueError as error:
            text = "has a value of the wrong type" if parameter.secret else str(error)
            problems.append(f"{what} {name!r} {text}")
            continue
        problem = check(parameter, good[name])
        if problem is not None:
            problems.append(f"{what} {name!r} {problem}")
    return good, problems
