"""Changing the parameters that instances, disks, NICs and nodes inherit from the cluster.

Each function takes the cluster and what a user gave and returns the field's new value. Nothing lies
above the cluster but what plugins and the kernel say by themselves: the value null or `default`
brings that back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE
from ganeti_kernel.objects import Cluster, ConfigView
from ganeti_kernel.objects.params import (
    BE_DEFAULTS,
    IPOLICY_DEFAULTS,
    ND_DEFAULTS,
    NIC_DEFAULTS,
    fill,
    fill_be,
    fill_ipolicy,
)
from ganeti_kernel.operations import facts, finding, inherited, ipolicy
from ganeti_kernel.operations.instance_params import check_beparams

Params = dict[str, Any]


def _of_plugin(kind: str, name: str, own: Mapping[str, Any], given: Any, what: str) -> Params:
    """One plugin's parameters after a change."""
    if not isinstance(given, Mapping):
        finding.refuse(f"{what}s of {name} must be KEY=VALUE,…")
    description = facts.describe(kind, name)
    known = [item.name for item in description.parameters]
    merged = inherited.merge(
        own,
        given,
        known,
        f"{what} of {name}",
        lambda values: facts.check_values(kind, name, values, what),
    )
    return description.defaults() | merged


def hvparams(cluster: Cluster, given: Mapping[str, Any], enabled: Sequence[str]) -> Any:
    """Parameters by hypervisor; one that is enabled has all of them."""
    out = {name: dict(values) for name, values in cluster.hvparams.items()}
    for name in {**given, **dict.fromkeys(item for item in enabled if item not in out)}:
        what = "hypervisor parameter"
        out[name] = _of_plugin("hypervisor", name, out.get(name, {}), given.get(name, {}), what)
    return out


def os_hvp(cluster: Cluster, given: Mapping[str, Any]) -> dict[str, dict[str, Params]]:
    """Hypervisor parameters by OS and hypervisor; null for a hypervisor takes all of its away."""
    out = {
        os_name: {hypervisor: dict(values) for hypervisor, values in items.items()}
        for os_name, items in cluster.os_hvp.items()
    }
    for os_name, items in given.items():
        own = out.setdefault(os_name, {})
        for name, values in (items or {}).items():
            if values is None:
                own.pop(name, None)
                continue
            known = [item.name for item in facts.describe("hypervisor", name).parameters]
            own[name] = inherited.merge(
                own.get(name, {}),
                values,
                known,
                f"parameter of hypervisor {name}",
                lambda asked, name=name: facts.check_values(  # type: ignore[misc] # bound now
                    "hypervisor", name, asked, "hypervisor parameter"
                ),
            )
        out[os_name] = {name: values for name, values in own.items() if values}
    return {os_name: items for os_name, items in out.items() if items}


def beparams(cluster: Cluster, given: Mapping[str, Any]) -> dict[str, Params]:
    known = (*BE_DEFAULTS, "memory")
    own = cluster.beparams.get("default", {})
    merged = BE_DEFAULTS | inherited.merge(own, given, known, "backend parameter", check_beparams)
    merged.pop("memory", None)
    if merged["minmem"] > merged["maxmem"]:
        finding.refuse(f"minmem ({merged['minmem']}) is larger than maxmem ({merged['maxmem']})")
    return dict(cluster.beparams) | {"default": merged}


def nicparams(view: ConfigView, given: Mapping[str, Any]) -> dict[str, Params]:
    """What NICs inherit; refuses when a NIC that does would not work with it."""
    cluster = view.cluster
    own = cluster.nicparams.get("default", {})
    merged = NIC_DEFAULTS | inherited.merge(own, given, NIC_DEFAULTS, "NIC parameter", _texts)
    facts.describe("network_script", str(merged["mode"]))
    if not merged["link"]:
        finding.refuse("the NIC parameter 'link' cannot be empty")
    if merged["mode"] == "routed":
        without = [
            f"{inst.name} (NIC {index})"
            for inst in view.instances.values()
            for index, nic in enumerate(inst.nics)
            if nic.ip is None and "mode" not in nic.nicparams
        ]
        if without:
            finding.refuse(
                f"mode routed needs an address on each NIC, and there is none on "
                f"{', '.join(sorted(without))}",
                ECODE_STATE,
            )
    return dict(cluster.nicparams) | {"default": merged}


def _texts(given: Params) -> Params:
    for key, value in given.items():
        if not isinstance(value, str):
            finding.refuse(f"NIC parameter '{key}' must be a text, not {value!r}")
    return given


def ndparams(cluster: Cluster, given: Mapping[str, Any]) -> Params:
    return ND_DEFAULTS | inherited.merge_ndparams(cluster.ndparams, given)


def diskparams(cluster: Cluster, given: Mapping[str, Any]) -> dict[str, Params]:
    out = {name: dict(values) for name, values in cluster.diskparams.items()}
    for name, values in given.items():
        own = out.get(name, {})
        out[name] = _of_plugin("disk_template", name, own, values, "disk parameter")
    return out


def instance_policy(cluster: Cluster, given: Mapping[str, Any]) -> Params:
    """The cluster's policy; the usual instance must lie within the limits.

    Of the usual instance single values may be given, limits are given as a whole (upstream 3.0).
    """
    asked = dict(given)
    if isinstance(asked.get("std"), Mapping):
        asked["std"] = fill(IPOLICY_DEFAULTS["std"], cluster.ipolicy.get("std"), asked["std"])
    merged = fill(IPOLICY_DEFAULTS, inherited.merge_ipolicy(cluster.ipolicy, asked))
    if "disk-templates" not in merged:
        merged["disk-templates"] = list(cluster.enabled_disk_templates)
    standard = {key: [value] for key, value in merged["std"].items()}
    template = merged["disk-templates"][0]
    if {"std", "minmax"} & set(given):
        problems = ipolicy.violations(merged, template, standard)
        if problems:
            finding.refuse(f"the standard instance is outside the limits: {'; '.join(problems)}")
    return merged


def osparams(own: Mapping[str, Params], given: Mapping[str, Any]) -> dict[str, Params]:
    """OS parameters by OS (with or without a variant); null takes a parameter away."""
    out = {name: dict(values) for name, values in own.items()}
    for name, values in given.items():
        if not isinstance(values, Mapping):
            finding.refuse(f"parameters of OS {name} must be KEY=VALUE,…")
        merged = out.get(name, {}) | dict(values)
        out[name] = {key: value for key, value in merged.items() if value is not None}
    return {name: values for name, values in out.items() if values}


# -- what is enabled -----------------------------------------------------------------------------


def enabled(kind: str, what: str, names: Sequence[str]) -> list[str]:
    """The plugins that are to be enabled; each must be usable here."""
    if not names:
        finding.refuse(f"at least one {what} must be enabled")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        finding.refuse(f"{what} {twice[0]} is named twice")
    for name in names:
        facts.describe(kind, name)
    return list(names)


def check_unused(view: ConfigView, hypervisors: Sequence[str], templates: Sequence[str]) -> None:
    """Refuse to take away what an instance uses; empty: not to be changed."""
    for inst in sorted(view.instances.values(), key=lambda item: item.name):
        if hypervisors and inst.hypervisor not in hypervisors:
            finding.refuse(
                f"Cannot disable hypervisor '{inst.hypervisor}': instance {inst.name} uses it",
                ECODE_STATE,
            )
        used = {disk.dev_type for disk in view.instance_disks(inst)}
        gone = sorted(used - set(templates)) if templates else []
        if gone:
            finding.refuse(
                f"Cannot disable disk template '{gone[0]}', because there is at least one "
                f"instance using it: {inst.name}",
                ECODE_STATE,
            )


def check_templates(view: ConfigView, cluster: Cluster) -> None:
    """Refuse templates that policies allow and that are not enabled, or lack their directory."""
    known = set(cluster.enabled_disk_templates)
    policies = [("the cluster's", cluster.ipolicy)]
    policies += [(f"node group {item.name}'s", item.ipolicy) for item in view.nodegroups.values()]
    for whose, policy in policies:
        extra = sorted(set(policy.get("disk-templates", ())) - known)
        if extra:
            finding.refuse(
                f"{whose} instance policy allows disk template {', '.join(extra)}, which is not "
                "enabled on the cluster; enable it or take it from the policy",
                ECODE_INVAL,
            )
    for name in cluster.enabled_disk_templates:
        field = facts.directory_field(facts.describe("disk_template", name))
        if field is not None and not getattr(cluster, field, ""):
            finding.refuse(
                f"disk template '{name}' is enabled and needs a storage directory "
                f"({field.replace('_', ' ')}), which cannot be unset",
            )


# -- who is outside the policy -------------------------------------------------------------------


def violators(view: ConfigView, cluster: Cluster) -> Iterator[str]:
    """Names of instances that break their group's policy with these settings of the cluster."""
    for inst in view.instances.values():
        node = view.nodes.get(inst.primary_node)
        group = view.node_group(node) if node is not None else None
        policy = fill_ipolicy(cluster, group)
        backend = fill_be(cluster, inst.beparams)
        disks = view.instance_disks(inst)
        spec = ipolicy.spec_of(
            backend["maxmem"],
            backend["vcpus"],
            [disk.size for disk in disks],
            len(inst.nics),
            backend["spindle_use"],
        )
        template = view.disk_template(inst)
        if ipolicy.violations(policy, template, spec, no_disks=not disks):
            yield inst.name
