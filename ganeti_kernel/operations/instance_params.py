"""Checking what a user says of an instance: its name, its backend parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ganeti_kernel.errors import UnitParseError
from ganeti_kernel.objects.params import BE_DEFAULTS
from ganeti_kernel.operations import finding
from ganeti_kernel.units import parse_size

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_BE_SIZES: Final = ("maxmem", "minmem")


def check_name(name: str) -> None:
    """Refuse what is no host name (RFC 1123): it becomes a path and an argument on nodes."""
    if len(name) > 255 or _NAME.fullmatch(name.lower()) is None:
        finding.refuse(f"Invalid instance name '{name}': use letters, digits, dashes and dots")


def check_beparams(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check backend parameters; `memory` sets both sizes. Refuses, naming the parameter."""
    out: dict[str, Any] = {}
    values = dict(given)
    if "memory" in values:
        memory = _memory(values.pop("memory"))
        values = {"maxmem": memory, "minmem": memory} | values
    for key, value in values.items():
        if key not in BE_DEFAULTS:
            known = ", ".join(sorted(BE_DEFAULTS))
            finding.refuse(f"unknown backend parameter '{key}' (known: {known})")
        try:
            if key in _BE_SIZES:
                out[key] = parse_size(value)
            elif isinstance(BE_DEFAULTS[key], bool):
                out[key] = value if isinstance(value, bool) else _yes(value)
            else:
                out[key] = _whole(value)
        except Exception as error:  # any of the parsers' errors, reported with the name
            finding.refuse(f"backend parameter '{key}': {error}")
        if not isinstance(out[key], bool) and out[key] < 1:
            finding.refuse(f"backend parameter '{key}' must be at least 1")
    return out


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a whole number, not {value!r}") from None


def _memory(value: Any) -> int:
    try:
        return parse_size(value)
    except UnitParseError as error:
        finding.refuse(f"backend parameter 'memory': {error}")


def _yes(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "yes", "false", "no"):
        raise ValueError(f"'{value}' is neither yes nor no")
    return text in ("true", "yes")
