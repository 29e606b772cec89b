"""Options for what cluster, groups and nodes inherit: instance policies, disk and node parameters.

Syntax of upstream 3.0. Where a value may be `default`, that takes an own value back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import click

from ganeti_cli import values
from ganeti_cli.app import Misuse

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT: Final = "default"


def parse_bounds(text: str) -> Any:
    """Parse `min:k=v,…/max:k=v,…` (more of them after `//`); raises ValueError."""
    if text == DEFAULT:
        return DEFAULT
    out = []
    for part in text.split("//"):
        found: dict[str, dict[str, int]] = {}
        for side in part.split("/"):
            ident, settings = values.parse_ident(side)
            if ident not in ("min", "max") or not isinstance(settings, dict):
                raise ValueError(f"{side!r} must be min:KEY=N,… or max:KEY=N,…")
            found[ident] = parse_specs(settings)
        if set(found) != {"min", "max"}:
            raise ValueError(f"{part!r} must give both min and max")
        out.append(found)
    return out


def parse_specs(settings: Mapping[str, Any]) -> dict[str, int]:
    """Turn `memory-size=1G,…` into numbers; raises ValueError that names the key."""
    from ganeti_kernel.objects.params import SPEC_KEYS

    unknown = sorted(set(settings) - set(SPEC_KEYS))
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; there are {', '.join(SPEC_KEYS)}")
    return {
        key: values.parse_size(value) if key.endswith("-size") else int(value)
        for key, value in settings.items()
    }


def parse_ratio(text: str) -> Any:
    """Parse a number or `default`; raises ValueError."""
    return DEFAULT if text == DEFAULT else float(text)


BOUNDS: Final = values.Parsed("min:…/max:…", parse_bounds)
_RATIO: Final = values.Parsed("NUMBER", parse_ratio)

_OPTIONS: Final[dict[str, tuple[tuple[str, ...], dict[str, Any]]]] = {
    "ndparams": (
        ("--node-parameters", "ndparams"),
        {"type": values.KEY_VALUES, "help": "Node parameters."},
    ),
    "diskparams": (
        ("-D", "--disk-parameters", "diskparams"),
        {
            "type": values.IDENT,
            "multiple": True,
            "metavar": "TEMPLATE:KEY=VALUE,…",
            "help": "Parameters of a disk template.",
        },
    ),
    "hv_state": (
        ("--hypervisor-state", "hv_state"),
        {
            "type": values.IDENT,
            "multiple": True,
            "metavar": "HYPERVISOR:KEY=NUMBER,…",
            "help": "Figures to use instead of what a hypervisor reports.",
        },
    ),
    "disk_state": (
        ("--disk-state", "disk_state"),
        {
            "type": values.IDENT,
            "multiple": True,
            "metavar": "TYPE/UNIT:KEY=NUMBER,…",
            "help": "Figures to use instead of what storage reports.",
        },
    ),
    "bounds": (
        ("--ipolicy-bounds-specs", "bounds"),
        {"type": BOUNDS, "help": "Least and largest instances; all keys on both sides."},
    ),
    "policy_templates": (
        ("--ipolicy-disk-templates", "policy_templates"),
        {"type": values.COMMA_LIST, "help": "Disk templates that instances may use."},
    ),
    "vcpu_ratio": (
        ("--ipolicy-vcpu-ratio", "vcpu_ratio"),
        {"type": _RATIO, "help": "Most virtual CPUs for each CPU."},
    ),
    "spindle_ratio": (
        ("--ipolicy-spindle-ratio", "spindle_ratio"),
        {"type": _RATIO, "help": "Most instances for each spindle."},
    ),
}

STATES: Final = ("hv_state", "disk_state")
POLICY: Final = ("bounds", "policy_templates", "vcpu_ratio", "spindle_ratio")

_POLICY_KEYS: Final = dict(
    zip(POLICY, ("minmax", "disk-templates", "vcpu-ratio", "spindle-ratio"), strict=True)
)


def inherited_options(*names: str) -> Callable[[F], F]:
    """Add options of the table by name."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            flags, attributes = _OPTIONS[name]
            function = click.option(*flags, **attributes)(function)
        return function

    return decorate


def ipolicy(given: Mapping[str, Any]) -> dict[str, Any]:
    """The instance policy that the options ask for; empty when they ask for nothing."""
    return {key: given[name] for name, key in _POLICY_KEYS.items() if given.get(name) is not None}


def by_name(pairs: Iterable[tuple[str, Any]], option: str) -> dict[str, Any]:
    """`NAME:KEY=VALUE,…` options as one mapping; refuses a name that is given twice."""
    out: dict[str, Any] = {}
    for ident, settings in pairs:
        if not isinstance(settings, dict) or not settings:
            raise Misuse(f"{option}: write {ident}:KEY=VALUE,…")
        if ident in out:
            raise Misuse(f"{option}: {ident!r} is given twice")
        out[ident] = settings
    return out


def disk_state(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """`TYPE/UNIT:KEY=NUMBER,…` options as storage type -> unit -> figures."""
    out: dict[str, Any] = {}
    for ident, settings in by_name(pairs, "--disk-state").items():
        kind, slash, unit = ident.partition("/")
        if not (kind and slash and unit):
            raise Misuse(f"--disk-state: {ident!r} must be TYPE/UNIT")
        out.setdefault(kind, {})[unit] = settings
    return out


def settings(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Opcode fields for the options named; None for what was not given."""
    make: dict[str, Callable[[], Any]] = {
        "ndparams": lambda: given["ndparams"],
        "diskparams": lambda: by_name(given["diskparams"], "--disk-parameters"),
        "hv_state": lambda: by_name(given["hv_state"], "--hypervisor-state"),
        "disk_state": lambda: disk_state(given["disk_state"]),
        "ipolicy": lambda: ipolicy(given),
    }
    return {name: make[name]() or None for name in names}
