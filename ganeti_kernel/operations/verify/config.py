"""Contradictions of the configuration itself: references, roles, parameters, policies. Pure.

What the nodes say is not needed for any of it. `Describe` gives a plugin's own description.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ganeti_kernel.config import verify as config_verify
from ganeti_kernel.errors import GenericError, OpPrereqError, TagError
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations.candidates import lacking
from ganeti_kernel.operations.facts import storage_directory
from ganeti_kernel.operations.inherited import check_ndparams
from ganeti_kernel.operations.instance_params import check_beparams
from ganeti_kernel.operations.tags import MAX_TAGS, check_tag
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.plugins.parameters import validate
from ganeti_kernel.specs import Description

Describe = Callable[[str, str], Description]
"""(kind, name) -> description; raises OpPrereqError when the plugin cannot be used."""

Texts = Iterator[str]


def check_config(view: ConfigView, describe: Describe) -> Iterator[Finding]:
    """Everything that is wrong with the configuration but parameters and dangling objects."""
    for texts in (
        _references(view),
        _roles(view),
        _addresses_of_nodes(view),
        _names(view),
        _enabled(view, describe),
        _policies(view),
        _tags(view),
    ):
        yield from (Finding("ECLUSTERCFG", "", text) for text in texts)
    yield from _certificates(view)


def _references(view: ConfigView) -> Texts:
    yield from config_verify.problems(view)
    owners = Counter(uuid for inst in view.instances.values() for uuid in inst.disks)
    for uuid, disk in view.disks.items():
        if not owners[uuid]:
            yield f"disk {disk.name or uuid} belongs to no instance"
        elif owners[uuid] > 1:
            yield f"disk {disk.name or uuid} belongs to {owners[uuid]} instances"
    uuids = Counter(uuid for _table, uuid, _value in view.objects())
    uuids += Counter(nic.uuid for inst in view.instances.values() for nic in inst.nics if nic.uuid)
    for uuid, count in uuids.items():
        if count > 1:
            yield f"UUID {uuid} belongs to {count} objects"


def _roles(view: ConfigView) -> Texts:
    cluster = view.cluster
    master = view.master
    if master is not None:
        if not master.master_candidate:
            yield f"master node {master.name} is not a master candidate"
        for flag in ("offline", "drained"):
            if getattr(master, flag):
                yield f"master node {master.name} is {flag}"
    missing, _free = lacking(view.nodes.values(), cluster.candidate_pool_size)
    if missing:
        have = sum(node.master_candidate for node in view.nodes.values())
        yield f"not enough master candidates: there are {have}, there should be {have + missing}"
    for node in view.nodes.values():
        roles = [
            role
            for role, value in (
                ("master candidate", node.master_candidate),
                ("drained", node.drained),
                ("offline", node.offline),
            )
            if value
        ]
        if len(roles) > 1:
            yield f"node {node.name} is {' and '.join(roles)} at once"
        if node.master_candidate and not node.master_capable:
            yield f"node {node.name} is a master candidate although it is not master capable"


def _addresses_of_nodes(view: ConfigView) -> Texts:
    """Two nodes with one address; an address may be one node's primary and secondary."""
    owners: dict[str, set[str]] = {}
    for node in view.nodes.values():
        for address in {node.primary_ip, node.secondary_ip} - {""}:
            owners.setdefault(address, set()).add(node.name)
    owners.setdefault(view.cluster.master_ip, set()).add(view.cluster.cluster_name)
    for address, names in sorted(owners.items()):
        if len(names) > 1:
            yield f"address {address} belongs to {', '.join(sorted(names))}"


def _names(view: ConfigView) -> Texts:
    nodes = {node.name for node in view.nodes.values()}
    for inst in view.instances.values():
        if inst.name in nodes:
            yield f"instance {inst.name} has the name of a node"


def _enabled(view: ConfigView, describe: Describe) -> Texts:
    cluster = view.cluster
    if not cluster.enabled_hypervisors:
        yield "no hypervisor is enabled"
    for kind, names in (
        ("hypervisor", cluster.enabled_hypervisors),
        ("disk_template", cluster.enabled_disk_templates),
    ):
        for name in names:
            try:
                found = describe(kind, name)
            except GenericError as error:
                yield f"enabled {kind.replace('_', ' ')} {name}: {error}"
                continue
            if "file" in found.features and not storage_directory(cluster, found):
                yield f"enabled disk template {name} has no storage directory"
    if cluster.default_iallocator:
        try:
            describe("allocator", cluster.default_iallocator)
        except GenericError as error:
            yield f"default instance allocator {cluster.default_iallocator}: {error}"
    for inst in view.instances.values():
        if inst.forthcoming:
            continue
        if inst.hypervisor not in cluster.enabled_hypervisors:
            yield f"instance {inst.name} needs hypervisor {inst.hypervisor}, which is not enabled"
        template = view.disk_template(inst)
        if inst.disks and template not in cluster.enabled_disk_templates:
            yield f"instance {inst.name} has disk template {template}, which is not enabled"


def _policies(view: ConfigView) -> Texts:
    owners: list[tuple[str, Mapping[str, Any]]] = [("cluster", view.cluster.ipolicy)]
    owners += [(f"node group {group.name}", group.ipolicy) for group in view.nodegroups.values()]
    for owner, policy in owners:
        for limits in policy.get("minmax") or []:
            low, high = limits.get("min", {}), limits.get("max", {})
            for key in sorted(set(low) & set(high)):
                if low[key] > high[key]:
                    yield f"{owner}: instance policy: {key}: {low[key]} to {high[key]} is no range"
        for key in ("vcpu-ratio", "spindle-ratio"):
            if not float(policy.get(key, 1)) > 0:
                yield f"{owner}: instance policy: {key} must be positive, not {policy[key]}"
        unknown = set(policy.get("disk-templates") or ()) - set(view.cluster.enabled_disk_templates)
        if unknown and owner != "cluster":
            yield f"{owner}: instance policy: {', '.join(sorted(unknown))} is not enabled"


def _tags(view: ConfigView) -> Texts:
    owners: list[tuple[str, list[str]]] = [("cluster", view.cluster.tags)]
    for noun, table in (
        ("node", view.nodes),
        ("node group", view.nodegroups),
        ("instance", view.instances),
        ("network", view.networks),
    ):
        objects: Mapping[str, Any] = table
        owners += [(f"{noun} {value.name}", value.tags) for value in objects.values()]
    for owner, tags in owners:
        if len(tags) > MAX_TAGS:
            yield f"{owner} has {len(tags)} tags, at most {MAX_TAGS} are allowed"
        for tag in tags:
            try:
                check_tag(tag)
            except TagError as error:
                yield f"{owner}: tag {tag[:64]!r}: {error}"


def _certificates(view: ConfigView) -> Iterator[Finding]:
    """Each candidate's fingerprint is listed, and nobody else's."""
    known = view.cluster.candidate_certs
    for uuid, node in view.nodes.items():
        if node.master_candidate and uuid not in known:
            text = "the master candidate's certificate fingerprint is not in the configuration"
            yield Finding("ECLUSTERCLIENTCERT", node.name, text)
        if not node.master_candidate and uuid in known:
            text = "a certificate fingerprint is listed although it is not a master candidate"
            yield Finding("ECLUSTERCLIENTCERT", node.name, text)
    for uuid in sorted(set(known) - set(view.nodes)):
        yield Finding("ECLUSTERCLIENTCERT", "", f"the fingerprint of unknown node {uuid} is listed")


def check_exclusion(view: ConfigView) -> Iterator[Finding]:
    """Instances that the cluster's exclusion tags keep apart and one node has together."""
    prefix = "htools:iextags:"
    own = [tag.removeprefix(prefix) for tag in view.cluster.tags if tag.startswith(prefix)]
    for uuid, instances in view.primary_instances.items():
        holders: dict[str, list[str]] = {}
        for inst in instances:
            for tag in inst.tags:
                if any(tag == head or tag.startswith(f"{head}:") for head in own):
                    holders.setdefault(tag, []).append(inst.name)
        node = view.nodes.get(uuid)
        for tag, names in sorted(holders.items()):
            if len(names) > 1 and node is not None:
                text = f"tag {tag} keeps instances {', '.join(sorted(names))} apart"
                yield Finding("EEXTAGS", node.name, text)


# -- parameters ----------------------------------------------------------------------------------


def check_parameters(view: ConfigView, describe: Describe) -> Iterator[Finding]:
    """Parameters that their hypervisors do not know, or of a wrong type or range."""
    for text in (*_hypervisor_parameters(view, describe), *_kernel_parameters(view)):
        yield Finding("ECLUSTERCFG", "", text)


def _hypervisor_parameters(view: ConfigView, describe: Describe) -> Texts:
    for source, hypervisor, values in _hvparams(view):
        try:
            known = describe("hypervisor", hypervisor).parameters
        except OpPrereqError:
            continue  # told with the enabled plugins
        for problem in validate(known, values, "parameter")[1]:
            yield f"hypervisor {hypervisor} parameters (source {source}): {problem}"


def _hvparams(view: ConfigView) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    enabled = view.cluster.enabled_hypervisors
    for name, values in view.cluster.hvparams.items():
        if name in enabled:
            yield "cluster", name, values
    for os_name, by_hypervisor in view.cluster.os_hvp.items():
        for name, values in by_hypervisor.items():
            if name in enabled:
                yield f"os {os_name}", name, values
    for inst in view.instances.values():
        if inst.hypervisor in enabled and inst.hvparams:
            yield f"instance {inst.name}", inst.hypervisor, inst.hvparams


def _kernel_parameters(view: ConfigView) -> Texts:
    be: list[tuple[str, Mapping[str, Any]]] = [
        ("cluster", view.cluster.beparams.get("default", {})),
        *((f"instance {inst.name}", inst.beparams) for inst in view.instances.values()),
    ]
    nd: list[tuple[str, Mapping[str, Any]]] = [
        ("cluster", view.cluster.ndparams),
        *((f"node group {group.name}", group.ndparams) for group in view.nodegroups.values()),
        *((f"node {node.name}", node.ndparams) for node in view.nodes.values()),
    ]
    for check, owners in ((check_beparams, be), (check_ndparams, nd)):
        for owner, values in owners:
            try:
                check(values)
            except OpPrereqError as error:
                yield f"{owner}: {error}"
    for inst in view.instances.values():
        filled = view.fill_be(inst)
        if filled["minmem"] > filled["maxmem"]:
            memory = f"{filled['minmem']} MiB, more than at most {filled['maxmem']} MiB"
            yield f"instance {inst.name} needs at least {memory}"


def check_missing_parameters(view: ConfigView, describe: Describe) -> Iterator[Finding]:
    """Hypervisor parameters without which an instance cannot start."""
    for inst in view.instances.values():
        try:
            known = describe("hypervisor", inst.hypervisor).parameters
        except OpPrereqError:
            continue
        filled = view.fill_hv(inst)
        for parameter in known:
            if parameter.required and filled.get(parameter.name, parameter.default) in ("", None):
                text = f"hypervisor parameter {parameter.name} has no value"
                yield Finding("EINSTANCEMISSINGCFGPARAMETER", inst.name, text)


# -- dangling objects ----------------------------------------------------------------------------


def check_dangling(view: ConfigView) -> Iterator[Finding]:
    """Nodes of no group, and instances that no node group's verification would look at."""
    for node in view.nodes.values():
        if node.group not in view.nodegroups:
            text = f"the node's group {node.group} does not exist"
            yield Finding("ECLUSTERDANGLINGNODES", node.name, text)
    for inst in view.instances.values():
        if not inst.forthcoming and inst.primary_node not in view.nodes:
            text = f"its primary node {inst.primary_node or '(none)'} does not exist"
            yield Finding("ECLUSTERDANGLINGINST", inst.name, text)


def role_of(view: ConfigView, node: Node) -> str:
    """A node's role in words, as verbose lines name it."""
    if node.uuid == view.cluster.master_node:
        return "master"
    for flag, name in (
        ("offline", "offline"),
        ("drained", "drained"),
        ("master_candidate", "master candidate"),
    ):
        if getattr(node, flag):
            return name
    return "regular"
