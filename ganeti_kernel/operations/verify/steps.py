"""The steps of a verification: gather, check, tell. Nothing is changed, so nothing is undone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.errors import GenericError
from ganeti_kernel.jobs.operation import JobContext, Step, step
from ganeti_kernel.node import health
from ganeti_kernel.objects import ConfigView, NodeGroup
from ganeti_kernel.operations import facts
from ganeti_kernel.operations.verify import addresses, config, files, gather, instances, node
from ganeti_kernel.operations.verify.report import Finding, Reporter
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import trust

CONFIG_CODES: Final = (
    "ECLUSTERCERT", "ECLUSTERCFG", "ECLUSTERCLIENTCERT", "ECLUSTERDANGLINGINST",
    "ECLUSTERDANGLINGNODES", "EEXTAGS", "EINSTANCEMISSINGCFGPARAMETER",
)  # fmt: skip
"""Codes that the verification of the configuration looks for."""

GROUP_CODES: Final = (
    "ECLUSTERCLIENTCERT", "ECLUSTERFILECHECK", "EINSTANCEBADNODE", "EINSTANCEDOWN",
    "EINSTANCEFAULTYDISK", "EINSTANCELAYOUT", "EINSTANCEMISSINGDISK", "EINSTANCEPOLICY",
    "EINSTANCESPLITGROUPS", "EINSTANCEUNSUITABLENODE", "EINSTANCEWRONGNODE",
    "ENODEFILESTORAGEPATHS", "ENODEFILESTORAGEPATHUNUSABLE", "ENODEGLUSTERSTORAGEPATHUNUSABLE",
    "ENODEHOOKS", "ENODEHV", "ENODEN1", "ENODENET", "ENODEOOBPATH", "ENODEORPHANINSTANCE",
    "ENODEORPHANLV", "ENODEOS", "ENODERPC", "ENODESETUP", "ENODESHAREDFILESTORAGEPATHUNUSABLE",
    "ENODETIME", "ENODEUSERSCRIPTS", "ENODEVERSION",
)  # fmt: skip
"""Codes that the verification of a node group looks for."""


@step
class VerifyConfig(Step):
    """Arguments: those of Reporter."""

    NAME = "verify.config"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        out, view = Reporter(context, args), context.view
        out.section("Verifying cluster config")
        out.tell(config.check_config(view, facts.describe))
        out.tell(addresses.check_addresses(view))
        out.section("Verifying cluster certificate files")
        out.tell(_certificates())
        out.section("Verifying hypervisor parameters")
        out.tell(config.check_parameters(view, facts.describe))
        out.tell(config.check_missing_parameters(view, facts.describe))
        out.section("Verifying all nodes belong to an existing group")
        out.tell(config.check_dangling(view))
        out.tell(config.check_exclusion(view))
        out.simulate(CONFIG_CODES, "")
        return not out.bad


def _certificates() -> Iterator[Finding]:
    """The authority on the master; each node's own certificate is looked at with its group."""
    paths = Paths.from_environment()
    try:
        authority = trust.read_authority(paths)
        problem = authority_problem(authority.key, authority.certificate)
        if problem:
            yield Finding("ECLUSTERCERT", "", problem)
    except GenericError as error:
        yield Finding("ECLUSTERCERT", "", str(error))
    state = health.certificate_state(paths, health.CERTIFICATES[1])
    if state.problem:
        yield Finding("ECLUSTERCERT", "", f"{state.path}: {state.problem}")
        return
    finding = node.check_expiry(state, time.time())
    if finding:
        yield Finding("ECLUSTERCERT", "", *finding)


def authority_problem(key: bytes, certificate: bytes) -> str | None:
    """Say why an authority's key and certificate cannot be used together."""
    from ganeti_kernel.rpc.certificates import check_pair

    try:
        check_pair(key, certificate)
    except GenericError as error:
        return f"the cluster's authority: {error}"
    return None


@step
class VerifyGroup(Step):
    """Arguments: group (UUID), skip_checks, busy_instances and busy_nodes (names: other jobs are
    at work on them), and those of Reporter.
    """

    NAME = "verify.group"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        out, view = Reporter(context, args), context.view
        group = view.nodegroups[args["group"]]
        members = view.group_members.get(group.uuid, [])
        online = [item for item in members if not item.offline]
        out.section(f"Verifying group '{group.name}'")
        out.section(f"Gathering data ({len(online)} nodes)")
        out.section(f"Gathering information about nodes ({len(online)} nodes)")
        found = gather.ask_nodes(context, online)
        out.section("Gathering information about the master node")
        out.section(f"Gathering disk information ({len(online)} nodes)")
        gather.ask_disks(context, online, found, args["busy_instances"])
        gather.ask_volumes(context, online, found)
        view = context.view
        out.section("Verifying configuration file consistency")
        out.tell(files.check_files(online, found.reports, found.master_files))
        wanted = files.expected(view, found.master_files)
        for item in online:
            if item.uuid in found.states:
                out.tell(files.check_copies(wanted, item, found.states[item.uuid]))
        self._nodes(out, view, group, found)
        self._instances(out, view, group, found, args)
        out.section("Verifying orphan volumes")
        out.tell(_settled(instances.check_volumes(view, found.volumes), args))
        out.section("Verifying N+1 Memory redundancy")
        if "nplusone_mem" not in args["skip_checks"]:
            free = gather.free_memory(view, online, found)
            out.tell(instances.check_memory(view, online, free))
        out.section("Other Notes")
        for text in instances.count_notes(view, members, gather.has_feature):
            out.notice(text)
        for name in args["busy_instances"]:
            out.notice(f"instance {name} was left out: a job is at work on it.")
        for name in args["busy_nodes"]:
            text = f"a job is at work on node {name}: unknown instances and volumes there were"
            out.notice(f"{text} not looked for.")
        out.simulate(GROUP_CODES, group.name)
        return not out.bad

    @staticmethod
    def _nodes(out: Reporter, view: ConfigView, group: NodeGroup, found: gather.Gathered) -> None:
        out.section("Verifying node status")
        out.tell(found.findings)
        codes = gather.storage_units(view)[1]
        scripts = gather.scripts(view)
        usable = {}
        for item in view.group_members.get(group.uuid, ()):
            out.detail(f"Verifying node {item.name} ({config.role_of(view, item)})")
            report = found.reports.get(item.name)
            if report is not None:
                out.tell(node.check_node(view, item, report, found.asked, codes, scripts))
                if item.vm_capable:
                    usable[item.name] = report
        if usable:
            master = view.master
            name = master.name if master is not None and master.name in usable else min(usable)
            out.tell(node.check_os(usable, name))

    @staticmethod
    def _instances(
        out: Reporter,
        view: ConfigView,
        group: NodeGroup,
        found: gather.Gathered,
        args: Mapping[str, Any],
    ) -> None:
        out.section("Verifying instance status")
        own = [
            inst
            for item in view.group_members.get(group.uuid, ())
            for inst in view.primary_instances.get(item.uuid, ())
            if not inst.forthcoming
        ]
        for inst in sorted(own, key=lambda inst: natural_key(inst.name)):
            out.detail(f"Verifying instance {inst.name}")
            out.tell(instances.check_placement(view, inst, gather.has_feature))
        for inst, item, disks, states in found.disks:
            out.tell(instances.check_disks(inst, item, disks, states))
        out.tell(_settled(instances.check_running(view, found.running), args))


def _settled(findings: Iterator[Finding], args: Mapping[str, Any]) -> Iterator[Finding]:
    return instances.settled(findings, args["busy_instances"], args["busy_nodes"])
