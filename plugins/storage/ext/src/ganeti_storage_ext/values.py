"""User's parameters as text, held against what the provider describes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ganeti_kernel.specs import Parameter

MAX_VALUE = 4096
TRUTH = ("true", "false", "yes", "no", "on", "off", "1", "0")


def problems(
    provider: str, parameters: Sequence[Parameter], values: Mapping[str, str]
) -> list[str]:
    """Return a line for each parameter that is unknown, missing or has a wrong value."""
    known = {item.name: item for item in parameters}
    out = []
    for name, value in sorted(values.items()):
        if name not in known:
            takes = ", ".join(sorted(known)) or "no parameters"
            out.append(f"provider {provider} has no parameter {name!r} (it takes: {takes})")
        elif flaw := _flaw(known[name], value):
            out.append(f"parameter {name} of provider {provider}: {value!r} {flaw}")
    out += [
        f"provider {provider} needs the parameter {name}"
        for name, item in sorted(known.items())
        if item.required and not values.get(name, item.default)
    ]
    return out


def _flaw(item: Parameter, value: str) -> str | None:
    """Say what is wrong with a value, to follow the value in a sentence."""
    if len(value) > MAX_VALUE or not value.isprintable():
        return f"is not a printable text of at most {MAX_VALUE} characters"
    if item.type == "bool" and value.lower() not in TRUTH:
        return "is neither true nor false"
    if item.type in ("int", "size", "float"):
        try:
            number = float(value) if item.type == "float" else int(value)
        except ValueError:
            return "is not a number" if item.type == "float" else "is not a whole number"
        if item.minimum is not None and number < item.minimum:
            return f"is less than {item.minimum:g}"
        if item.maximum is not None and number > item.maximum:
            return f"is more than {item.maximum:g}"
    if item.choices and value not in {str(choice) for choice in item.choices}:
        return f"is not one of {', '.join(str(choice) for choice in item.choices)}"
    if item.pattern is not None and not re.fullmatch(item.pattern, value):
        return f"does not match {item.pattern}"
    return None
