"""Changing parameters that cluster, group and node inherit from each other.

Each function takes what an object has of its own and what a user gave, and returns what it has
then; a wrong name or value is refused by its name. The value null or `default` takes an own value
back, so that the object inherits again. Source of names and types: upstream 3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from ganeti_kernel.errors import UnitParseError
from ganeti_kernel.objects.params import IPOLICY_DEFAULTS, ND_DEFAULTS, SPEC_KEYS
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.plugins.parameters import validate
from ganeti_kernel.specs.base import Parameter
from ganeti_kernel.units import parse_size

Params = dict[str, Any]

_KINDS: Final = {bool: "bool", int: "int", float: "float", str: "string"}
NOT_ON_NODES: Final = ("exclusive_storage",)
"""Node parameters that hold for whole groups."""

HV_STATE: Final = ("mem_total", "mem_hv", "mem_node", "cpu_total", "cpu_node")
DISK_STATE: Final = ("disk_total", "disk_reserved", "disk_overhead")
RATIOS: Final = ("vcpu-ratio", "spindle-ratio")


def taken_back(value: Any) -> bool:
    """Whether a given value means to inherit again."""
    return value is None or value == "default" or value == ["default"]


def merge(
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    known: Collection[str],
    what: str,
    check: Callable[[Params], Params],
) -> Params:
    """`own` with `given` on top; `check` sees the values that are not taken back."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        finding.refuse(f"unknown {what} '{unknown[0]}' (known: {names})")
    gone = {key for key, value in given.items() if taken_back(value)}
    checked = check({key: value for key, value in given.items() if key not in gone})
    return {key: value for key, value in own.items() if key not in gone} | checked


# -- node parameters -----------------------------------------------------------------------------


def check_ndparams(given: Mapping[str, Any]) -> Params:
    """Check node parameters against the built-in ones' types; refuses, naming the parameter."""
    parameters = [
        Parameter(name=key, type=_KINDS[type(value)], absolute_path=key == "oob_program")
        for key, value in ND_DEFAULTS.items()
    ]
    good, problems = validate(parameters, given, "node parameter")
    if problems:
        finding.refuse("; ".join(problems))
    return good


def merge_ndparams(
    own: Mapping[str, Any], given: Mapping[str, Any], *, of_node: bool = False
) -> Params:
    """Node parameters after a change; `of_node`: one node's, which cannot have all of them."""
    wrong = sorted(set(NOT_ON_NODES) & set(given)) if of_node else []
    if wrong:
        finding.refuse(
            f"node parameter '{wrong[0]}' cannot be set on a single node; set it on its group"
        )
    return merge(own, given, ND_DEFAULTS, "node parameter", check_ndparams)


# -- disk parameters -----------------------------------------------------------------------------


def merge_diskparams(
    own: Mapping[str, Params], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, Params]:
    """Disk parameters by template after a change, checked by what each template says of itself."""
    out = {key: dict(value) for key, value in own.items()}
    for template, values in given.items():
        known = [item.name for item in facts.describe("disk_template", template).parameters]

        def check(asked: Params, template: str = template) -> Params:
            return facts.check_values("disk_template", template, asked, "disk parameter")

        what = f"disk parameter of template {template}"
        changed = merge(out.get(template, {}), values, known, what, check)
        out = {key: value for key, value in out.items() if key != template}
        out |= {template: changed} if changed else {}
    return out


# -- instance policy -----------------------------------------------------------------------------


def merge_ipolicy(
    own: Mapping[str, Any], given: Mapping[str, Any], *, of_group: bool = False
) -> Params:
    """An instance policy after a change; only the cluster has the key `std`."""
    known = {*IPOLICY_DEFAULTS, "disk-templates"} - ({"std"} if of_group else set())
    return merge(own, given, known, "instance policy key", _check_ipolicy)


def _check_ipolicy(given: Params) -> Params:
    out: Params = {}
    for key, value in given.items():
        if key == "minmax":
            out[key] = _minmax(value)
        elif key == "std":
            out[key] = _spec(value, "std")
        elif key in RATIOS:
            out[key] = _ratio(key, value)
        else:
            out[key] = _templates(value)
    return out


def _minmax(value: Any) -> list[dict[str, Params]]:
    if not isinstance(value, list) or not value:
        finding.refuse("instance policy: 'minmax' must be a list of {min, max}, at least one")
    out = []
    for item in value:
        if not isinstance(item, Mapping) or set(item) != {"min", "max"}:
            finding.refuse("instance policy: each item of 'minmax' must have min and max alone")
        low, high = _spec(item["min"], "min"), _spec(item["max"], "max")
        for key in SPEC_KEYS:
            if low[key] > high[key]:
                finding.refuse(
                    f"instance policy: {key}: the minimum {low[key]} is above the maximum "
                    f"{high[key]}"
                )
        out.append({"min": low, "max": high})
    return out


def _spec(value: Any, what: str) -> Params:
    if not isinstance(value, Mapping):
        finding.refuse(f"instance policy: {what} must be KEY=NUMBER,…")
    unknown, missing = sorted(set(value) - set(SPEC_KEYS)), sorted(set(SPEC_KEYS) - set(value))
    if unknown:
        finding.refuse(f"instance policy: {what}: unknown key '{unknown[0]}'")
    if missing:
        finding.refuse(f"Missing parameters in ipolicy spec {what}: {', '.join(missing)}")
    out: Params = {}
    for key in SPEC_KEYS:
        try:
            text = key.endswith("-size") and isinstance(value[key], str)
            out[key] = parse_size(value[key]) if text else int(value[key])
        except (UnitParseError, TypeError, ValueError) as error:
            finding.refuse(f"instance policy: {what}: {key}: {error}")
        if out[key] < 0:
            finding.refuse(f"instance policy: {what}: {key} must not be negative")
    return out


def _ratio(key: str, value: Any) -> float:
    try:
        ratio = float(value)
    except (TypeError, ValueError):
        ratio = 0.0
    if not 0 < ratio < float("inf"):
        finding.refuse(f"instance policy: {key} must be a number above 0, not {value!r}")
    return ratio


def _templates(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        finding.refuse("instance policy: 'disk-templates' must name at least one template")
    for name in value:
        facts.describe("disk_template", str(name))
    return [str(name) for name in value]


# -- state that an administrator states instead of a node's own figures --------------------------


def merge_hv_state(own: Mapping[str, Params] | None, given: Mapping[str, Any]) -> Params:
    """Static figures by hypervisor after a change."""
    out = {key: dict(value) for key, value in (own or {}).items()}
    for name, values in given.items():
        facts.describe("hypervisor", name)
        what = f"state of hypervisor {name}"
        out[name] = merge(out.get(name, {}), _mapping(values, what), HV_STATE, what, _numbers)
    return out


def merge_disk_state(own: Mapping[str, Any] | None, given: Mapping[str, Any]) -> Params:
    """Static figures by storage type and unit after a change."""
    out: Params = {key: dict(value) for key, value in (own or {}).items()}
    for kind, units in given.items():
        for unit, values in _mapping(units, f"state of {kind}").items():
            what = f"state of {kind} {unit}"
            before = out.setdefault(kind, {}).get(unit, {})
            out[kind][unit] = merge(before, _mapping(values, what), DISK_STATE, what, _numbers)
    return out


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        finding.refuse(f"{what} must be KEY=NUMBER,…")
    return value


def _numbers(given: Params) -> Params:
    out: Params = {}
    for key, value in given.items():
        try:
            out[key] = int(value)
        except (TypeError, ValueError):
            finding.refuse(f"{key} must be a whole number, not {value!r}")
    return out
