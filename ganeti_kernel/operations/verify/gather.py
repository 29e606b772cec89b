"""Asking the nodes of a group everything that the checks want to know, in a few rounds."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ganeti_kernel.errors import GenericError, OpPrereqError
from ganeti_kernel.jobs.operation import JobContext
from ganeti_kernel.node.health import checksum
from ganeti_kernel.objects import ConfigView, Disk, Instance, Node
from ganeti_kernel.objects.params import NIC_DEFAULTS
from ganeti_kernel.operations import facts
from ganeti_kernel.operations.guests import build_disk
from ganeti_kernel.operations.verify import files
from ganeti_kernel.operations.verify.node import Asked
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.results import DiskState, NodeReport, NodeState, StorageUnit
from ganeti_kernel.specs.disk_template import Volume

MASTER_IP_SCRIPT: Final = "/etc/ganeti/scripts/master-ip-setup"

SETTLE_ROUNDS: Final = 5
SETTLE_PAUSE: Final = 0.5
"""How often, and after how many seconds, a node with old copies is asked again."""

MAX_PEERS: Final = 8
"""Nodes that each node tries to reach: the next ones by name, so that all are tried by some."""

STORAGE_CODES: Final = {
    "file_storage_dir": "ENODEFILESTORAGEPATHUNUSABLE",
    "gluster_storage_dir": "ENODEGLUSTERSTORAGEPATHUNUSABLE",
    "shared_file_storage_dir": "ENODESHAREDFILESTORAGEPATHUNUSABLE",
}
"""The cluster's field that names a storage directory -> the code when it cannot be used."""


@dataclass(slots=True)
class Gathered:
    """What the nodes said. `reports` by node name, everything else by node UUID."""

    reports: dict[str, NodeReport] = field(default_factory=dict)
    asked: Asked = field(default_factory=lambda: Asked(0.0, 0.0))
    states: dict[str, NodeReport | NodeState] = field(default_factory=dict)
    running: dict[str, list[str]] = field(default_factory=dict)
    disks: list[tuple[Instance, Node, list[Disk], list[DiskState]]] = field(default_factory=list)
    volumes: dict[str, list[Volume]] = field(default_factory=dict)
    master_files: dict[str, str | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def has_feature(template: str, feature: str) -> bool:
    """Whether an installed disk template announces a feature; one that is not there has none."""
    try:
        return feature in facts.describe("disk_template", template).features
    except OpPrereqError:
        return False


def storage_units(view: ConfigView) -> tuple[list[StorageUnit], dict[str, str]]:
    """The enabled templates as questions for a node, and each one's code."""
    units, codes = [], {}
    for name in view.cluster.enabled_disk_templates:
        try:
            description = facts.describe("disk_template", name)
        except GenericError:
            continue  # told with the configuration
        directory = facts.storage_directory(view.cluster, description)
        units.append(StorageUnit(template=name, directory=directory))
        field_name = facts.directory_field(description)
        if field_name in STORAGE_CODES:
            codes[name] = STORAGE_CODES[field_name]
    return units, codes


def executables(view: ConfigView, node: Node) -> list[str]:
    """Programs that a node must have: user scripts, and what switches other nodes on and off."""
    names = scripts(view)
    if node.master_candidate:
        programs = {str(view.fill_nd(item)["oob_program"]) for item in view.nodes.values()}
        names += sorted(programs - {""})
    return names


def scripts(view: ConfigView) -> list[str]:
    """Scripts of the administrator that the cluster is configured to use."""
    return [MASTER_IP_SCRIPT] if view.cluster.use_external_mip_script else []


def bridges(view: ConfigView, node: Node) -> list[str]:
    """Bridges that the running instances of a node are connected to."""
    filled = [
        view.fill_nic(nic)
        for inst in view.primary_instances.get(node.uuid, ())
        if inst.admin_state == "up"
        for nic in inst.nics
    ]
    default = NIC_DEFAULTS["mode"]  # the mode whose link is a bridge
    return sorted({str(item["link"]) for item in filled if item["mode"] == default})


def peers(view: ConfigView, node: Node) -> dict[str, str]:
    """The nodes one node tries to reach: the master and the next ones by name."""
    names = sorted(item.name for item in view.nodes.values() if not item.offline)
    by_name = {item.name: item for item in view.nodes.values()}
    start = names.index(node.name) + 1 if node.name in names else 0
    chosen = [*names[start:], *names[:start]][:MAX_PEERS]
    master = view.master
    if master is not None:
        chosen.append(master.name)
    return {name: by_name[name].primary_ip for name in chosen}


def master_files() -> dict[str, str | None]:
    """Checksums of the master's own files; a job runs there."""
    paths = Paths.from_environment()
    return {path: checksum(paths, path) for path in files.FILES}


def ask_nodes(context: JobContext, nodes: Sequence[Node]) -> Gathered:
    """The nodes' reports, copies and running instances; who does not answer is a finding."""
    view, out = context.view, Gathered(master_files=master_files())
    hypervisors = _hypervisors(view)
    common: dict[str, Any] = {
        "hypervisors": hypervisors,
        "files": list(files.FILES),
        "storage": storage_units(view)[0],
        "master_ip": view.cluster.master_ip,
    }
    questions = [
        (
            node,
            {
                **common,
                "peers": peers(view, node),
                "bridges": bridges(view, node),
                "executables": executables(view, node),
            },
        )
        for node in nodes
    ]
    begun = time.time()
    answers = context.nodes.call_each(questions, "node_verify")
    out.asked = Asked(begun, time.time())
    for node in nodes:
        answer = answers[node.uuid]
        if answer.ok:
            out.reports[node.name] = out.states[node.uuid] = answer.value
        else:
            text = f"while contacting node: {answer.error}"
            out.findings.append(Finding("ENODERPC", node.name, text))
    _settle(context, nodes, out)
    answered = [node for node in nodes if node.name in out.reports and node.vm_capable]
    _ask_instances(context, answered, hypervisors, out)
    return out


def _hypervisors(view: ConfigView) -> dict[str, dict[str, Any]]:
    cluster = view.cluster
    return {name: cluster.hvparams.get(name, {}) for name in cluster.enabled_hypervisors}


def _settle(context: JobContext, nodes: Sequence[Node], out: Gathered) -> None:
    """Ask nodes with old copies again: what changed a moment ago is on its way to them."""
    for _ in range(SETTLE_ROUNDS):
        wanted = files.expected(context.view, out.master_files)
        old = [
            node
            for node in nodes
            if node.uuid in out.states
            and any(True for _ in files.check_copies(wanted, node, out.states[node.uuid]))
        ]
        if not old:
            return
        time.sleep(SETTLE_PAUSE)
        context.refresh()
        for uuid, answer in context.nodes.call_many(old, "node_files").items():
            if answer.ok:
                out.states[uuid] = answer.value


def _ask_instances(
    context: JobContext, nodes: Sequence[Node], hypervisors: Mapping[str, Any], out: Gathered
) -> None:
    """What runs where. A hypervisor that fails is asked apart from the others of its node."""
    for name, params in hypervisors.items():
        healthy = [node for node in nodes if not out.reports[node.name].hypervisors.get(name)]
        answers = context.nodes.call_many(healthy, "instances_list", hypervisors={name: params})
        for node in healthy:
            answer = answers[node.uuid]
            if answer.ok:
                found = [item.name for items in answer.value.values() for item in items]
                out.running.setdefault(node.uuid, []).extend(found)
            else:
                text = f"cannot list the instances of {name}: {answer.error}"
                out.findings.append(Finding("ENODEHV", node.name, text))


def ask_disks(
    context: JobContext, nodes: Iterable[Node], out: Gathered, busy: Collection[str] = ()
) -> None:
    """Look at the disks on their primary nodes, except those of `busy` instances.

    Those of stopped instances only where looking takes no more than a directory: other templates
    may have to attach a disk to see it.
    """
    view = context.view
    wanted: dict[str, list[tuple[Instance, list[Disk]]]] = {}
    questions = []
    for node in nodes:
        if node.name not in out.reports or not node.vm_capable:
            continue
        chosen = wanted[node.uuid] = [
            (inst, view.instance_disks(inst))
            for inst in view.primary_instances.get(node.uuid, ())
            if inst.disks
            and inst.name not in busy
            and (inst.disks_active or has_feature(view.disk_template(inst), "file"))
        ]
        group = view.node_group(node)
        built = [
            build_disk(view, inst.name, disk, index, group)
            for inst, disks in chosen
            for index, disk in enumerate(disks)
        ]
        if built:
            questions.append((node, {"disks": built}))
    answers = context.nodes.call_each(questions, "disks_verify")
    for node, _args in questions:
        answer = answers[node.uuid]
        if not answer.ok:
            text = f"cannot look at the instances' disks: {answer.error}"
            out.findings.append(Finding("ENODERPC", node.name, text))
            continue
        states = list(answer.value)
        for inst, disks in wanted[node.uuid]:
            out.disks.append((inst, node, disks, states[: len(disks)]))
            del states[: len(disks)]


def ask_volumes(context: JobContext, nodes: Iterable[Node], out: Gathered) -> None:
    """The volumes on each node, of the enabled templates that can list them."""
    units = [
        unit for unit in storage_units(context.view)[0] if has_feature(unit.template, "volumes")
    ]
    asked = [
        (node, {"units": usable})
        for node in nodes
        if node.name in out.reports and node.vm_capable
        # one that has no usable storage has been told of
        if (usable := [u for u in units if u.template not in out.reports[node.name].storage])
    ]
    for node, answer in zip(
        [node for node, _args in asked],
        context.nodes.call_each(asked, "volumes_list").values(),
        strict=True,
    ):
        if answer.ok:
            out.volumes[node.name] = answer.value
        else:
            text = f"cannot list its volumes: {answer.error}"
            out.findings.append(Finding("ENODERPC", node.name, text))


def free_memory(view: ConfigView, nodes: Iterable[Node], out: Gathered) -> dict[str, int]:
    """Free memory by node UUID, MiB, as the default hypervisor reports it."""
    found: dict[str, int] = {}
    for node in nodes:
        report = out.reports.get(node.name)
        told = report.memory_free if report is not None else {}
        known = [told[name] for name in view.cluster.enabled_hypervisors if name in told]
        if known:
            found[node.uuid] = known[0]
    return found
