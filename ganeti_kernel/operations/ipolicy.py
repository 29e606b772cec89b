"""Instance policies: the limits a node group sets on instances. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.objects import ConfigView, NodeGroup
from ganeti_kernel.objects.params import fill_ipolicy


def policy_of(view: ConfigView, group: NodeGroup | None) -> dict[str, Any]:
    """A group's policy over the cluster's over the built-in one."""
    return fill_ipolicy(view.cluster, group)


def spec_of(
    memory: int, vcpus: int, disks: Sequence[int], nics: int, spindle_use: int
) -> dict[str, Sequence[int]]:
    """An instance's sizes by the policy's keys; every value must lie within the limits."""
    return {
        "memory-size": [memory],
        "cpu-count": [vcpus],
        "disk-count": [len(disks)],
        "disk-size": disks,
        "nic-count": [nics],
        "spindle-use": [spindle_use],
    }


_WHAT: Final = {
    "memory-size": "memory size (MiB)",
    "cpu-count": "number of CPUs",
    "disk-count": "number of disks",
    "disk-size": "disk size (MiB)",
    "nic-count": "number of NICs",
    "spindle-use": "spindle use",
}


def violations(
    policy: Mapping[str, Any],
    template: str,
    spec: Mapping[str, Sequence[int]],
    *,
    no_disks: bool = False,
) -> list[str]:
    """Return what breaks the policy; the ranges are alternatives, the nearest one is reported.

    `no_disks`: the template's instances have none, so their number is not looked at.
    """
    problems: list[str] = []
    templates = policy.get("disk-templates")
    if templates is not None and template not in templates:
        problems.append(
            f"disk template {template} is not allowed (allowed: {', '.join(sorted(templates))})"
        )
    ranges = policy.get("minmax") or []
    found = [_outside(item, spec, no_disks=no_disks) for item in ranges]
    return problems + (min(found, key=len) if found else [])


def _outside(
    limits: Mapping[str, Any], spec: Mapping[str, Sequence[int]], *, no_disks: bool
) -> list[str]:
    low, high = limits.get("min", {}), limits.get("max", {})
    problems = []
    for key, values in spec.items():
        if key == "disk-count" and no_disks:
            continue
        for value in values:
            if not low.get(key, value) <= value <= high.get(key, value):
                limit = f"{low.get(key, 'any')} to {high.get(key, 'any')}"
                problems.append(f"{_WHAT.get(key, key)} {value} is outside {limit}")
    return problems
