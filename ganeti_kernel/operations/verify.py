"""`gnt-cluster verify`: the configuration by itself, then each node group from the inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.config import verify as config_verify
from ganeti_kernel.errors import ECODE_INVAL
from ganeti_kernel.jobs.opcodes import (
    OpClusterVerify,
    OpClusterVerifyConfig,
    OpClusterVerifyGroup,
)
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.verify_report import CODES, Finding, is_error, line
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.results import NodeReport
from ganeti_kernel.version import PROTOCOL_VERSION

MAX_CLOCK_SKEW: Final = 150.0
"""Seconds a node's clock may differ from the master's (upstream 3.0)."""

FILES: Final = ("/var/lib/ganeti/hmac.key", "/var/lib/ganeti/ca.pem")
"""Files that must be the same on all nodes."""


# -- pure checks ---------------------------------------------------------------------------------


def check_config(view: ConfigView) -> Iterator[Finding]:
    """The configuration's own contradictions."""
    for problem in config_verify.problems(view):
        yield Finding("ECLUSTERCFG", "", problem)


def check_node(view: ConfigView, node: Node, report: NodeReport, now: float) -> Iterator[Finding]:
    """What one node says of itself."""
    if report.protocol != PROTOCOL_VERSION:
        text = f"incompatible protocol versions: master {PROTOCOL_VERSION}, node {report.protocol}"
        yield Finding("ENODEVERSION", node.name, text)
    if report.cluster_name != view.cluster.cluster_name:
        text = f"it takes itself for a node of cluster '{report.cluster_name}'"
        yield Finding("ENODESETUP", node.name, text)
    skew = report.time - now
    if abs(skew) > MAX_CLOCK_SKEW:
        yield Finding("ENODETIME", node.name, f"Node time diverges by {abs(skew):.1f}s from master")
    if node.vm_capable:
        for name, problems in report.hypervisors.items():
            for problem in problems:
                yield Finding("ENODEHV", node.name, f"hypervisor {name} verify failure: {problem}")
        for bridge in report.bridges:
            yield Finding("ENODENET", node.name, f"missing bridge {bridge}")
    for row in report.plugins:
        text = f"plugin {row.kind} {row.name} ({row.distribution}) cannot be used: {row.problem}"
        yield Finding("ENODESETUP", node.name, text, warning=True)
    for peer, problem in report.unreachable.items():
        yield Finding("ENODENET", node.name, f"node {peer} cannot be reached: {problem}")
    for item in report.os:
        if not item.valid:
            text = f"Invalid OS {item.name} (located at {item.path}): {item.diagnose}"
            yield Finding("ENODEOS", node.name, text)


def check_files(reports: Mapping[str, NodeReport], reference: str) -> Iterator[Finding]:
    """Compare the files' checksums with those of one node. Keys are node names."""
    wanted = reports[reference].files
    for name, report in sorted(reports.items()):
        for path, digest in sorted(wanted.items()):
            own = report.files.get(path)
            if own is None:
                yield Finding("ENODEFILECHECK", name, f"file {path} is missing")
            elif own != digest:
                yield Finding("ENODEFILECHECK", name, f"file {path} differs from {reference}'s")


def check_os(reports: Mapping[str, NodeReport], reference: str) -> Iterator[Finding]:
    """OS definitions that are on one node and not on another."""
    wanted = {item.name for item in reports[reference].os}
    for name, report in sorted(reports.items()):
        missing = sorted(wanted - {item.name for item in report.os})
        if missing:
            text = (
                f"OSes present on reference node {reference} but missing on this node: "
                f"{', '.join(missing)}"
            )
            yield Finding("ENODEOS", name, text)


def check_instances(view: ConfigView, running: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Compare what runs (node UUID -> instance names) with what should."""
    where: dict[str, list[str]] = {}
    for uuid, names in running.items():
        for name in names:
            where.setdefault(name, []).append(uuid)
    for uuid in running:
        for inst in view.primary_instances.get(uuid, ()):
            nodes = where.pop(inst.name, [])
            if inst.admin_state == "up" and uuid not in nodes:
                text = f"instance not running on its primary node {view.nodes[uuid].name}"
                yield Finding("EINSTANCEDOWN", inst.name, text)
            for other in nodes:
                if other != uuid:
                    text = f"instance should not run on node {view.nodes[other].name}"
                    yield Finding("EINSTANCEWRONGNODE", inst.name, text)
                elif inst.admin_state != "up":
                    text = "instance runs although it is marked down"
                    yield Finding("EINSTANCEDOWN", inst.name, text, warning=True)
    for name, nodes in sorted(where.items()):
        for uuid in nodes:
            known = view.find_instance(name)
            if known is None:
                text = f"node is running unknown instance {name}"
                yield Finding("ENODEORPHANINSTANCE", view.nodes[uuid].name, text)
            else:
                text = f"instance should not run on node {view.nodes[uuid].name}"
                yield Finding("EINSTANCEWRONGNODE", known.name, text)


# -- steps ---------------------------------------------------------------------------------------


class _Reporter:
    """Prints findings and remembers whether one was an error."""

    def __init__(self, context: JobContext, args: Mapping[str, Any]) -> None:
        self._context = context
        self._codes = bool(args["error_codes"])
        self._ignored = frozenset(args["ignore_errors"])
        self.bad = False

    def section(self, text: str) -> None:
        self._context.log(f"* {text}")

    def tell(self, findings: Iterable[Finding]) -> None:
        for item in findings:
            self._context.log(line(item, codes=self._codes, ignored=self._ignored))
            self.bad = self.bad or is_error(item, self._ignored)


@step
class VerifyConfig(Step):
    """Arguments: error_codes, ignore_errors."""

    NAME = "verify.config"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        out, view = _Reporter(context, args), context.view
        out.section("Verifying cluster config")
        out.tell(check_config(view))
        out.section("Verifying cluster certificate files")
        out.tell(_certificates())
        out.section("Verifying hypervisor parameters")
        out.tell(_enabled_plugins(view))
        out.section("Verifying all nodes belong to an existing group")
        out.tell(
            Finding("ECLUSTERDANGLINGNODES", node.name, "the node's group does not exist")
            for node in view.nodes.values()
            if node.group not in view.nodegroups
        )
        return not out.bad


def _certificates() -> Iterator[Finding]:
    paths = Paths.from_environment()
    for path in (paths.ca_file, paths.ca_key, paths.node_certificate, paths.hmac_key):
        if not path.exists():
            yield Finding("ECLUSTERCERT", "", f"{path} is missing on the master")


def _enabled_plugins(view: ConfigView) -> Iterator[Finding]:
    cluster = view.cluster
    for kind, names in (
        ("hypervisor", cluster.enabled_hypervisors),
        ("disk_template", cluster.enabled_disk_templates),
    ):
        for name in names:
            try:
                facts.describe(kind, name)
            except Exception as error:  # a plugin's own defect is a finding here, not a failure
                yield Finding("ECLUSTERCFG", "", f"enabled {kind} {name}: {error}")


@step
class VerifyGroup(Step):
    """Arguments: group (UUID), error_codes, ignore_errors."""

    NAME = "verify.group"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        out, view = _Reporter(context, args), context.view
        group = view.nodegroups[args["group"]]
        members = view.group_members.get(group.uuid, [])
        online = [node for node in members if not node.offline]
        out.section(f"Verifying group '{group.name}'")
        out.section(f"Gathering data ({len(online)} nodes)")
        reports, running = _gather(context, online, out.tell)
        out.section("Verifying configuration file consistency")
        if reports:
            reference = min(reports)
            out.tell(check_files(reports, reference))
            out.tell(check_os(reports, reference))
        out.section("Verifying node status")
        now = time.time()
        by_name = {node.name: node for node in members}
        for name, report in sorted(reports.items()):
            out.tell(check_node(view, by_name[name], report, now))
        out.section("Verifying instance status")
        out.tell(check_instances(view, running))
        out.section("Other Notes")
        offline = len(members) - len(online)
        if offline:
            context.log(f"  - NOTICE: {offline} offline node(s) found.")
        drained = sum(node.drained for node in members)
        if drained:
            context.log(f"  - NOTICE: {drained} drained node(s) found.")
        return not out.bad


def _gather(
    context: JobContext, nodes: Sequence[Node], tell: Callable[[Iterable[Finding]], None]
) -> tuple[dict[str, NodeReport], dict[str, list[str]]]:
    """Ask the nodes: reports by name, names of running instances by node UUID."""
    view = context.view
    cluster = view.cluster
    hypervisors = {name: cluster.hvparams.get(name, {}) for name in cluster.enabled_hypervisors}
    peers = {node.name: node.primary_ip for node in view.nodes.values() if not node.offline}
    reports: dict[str, NodeReport] = {}
    answers = context.nodes.call_many(
        nodes, "node_verify", hypervisors=hypervisors, files=list(FILES), peers=peers
    )
    for node in nodes:
        answer = answers[node.uuid]
        if answer.ok:
            reports[node.name] = answer.value
        else:
            text = f"while contacting node: {answer.error}"
            tell([Finding("ENODERPC", node.name, text)])
    running: dict[str, list[str]] = {}
    lists = context.nodes.call_many(
        [node for node in nodes if node.vm_capable], "instances_list", hypervisors=hypervisors
    )
    for uuid, answer in lists.items():
        if answer.ok:
            running[uuid] = [item.name for items in answer.value.values() for item in items]
        elif view.nodes[uuid].name in reports:
            text = f"cannot list its instances: {answer.error}"
            tell([Finding("ENODEHV", view.nodes[uuid].name, text)])
    return reports, running


@step
class SubmitJobs(Step):
    """Submit jobs. Arguments: jobs (opcode dicts). A repetition would submit them again."""

    NAME = "jobs.submit"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        return {"jobs": [list(item) for item in context.submit(args["jobs"])]}


# -- operations ----------------------------------------------------------------------------------


def _check_ignored(codes: Sequence[str]) -> None:
    unknown = [code for code in codes if code not in ALL_CODES]
    if unknown:
        finding.refuse(f"unknown error code '{unknown[0]}'", ECODE_INVAL)


ALL_CODES: Final = frozenset(CODES) | {
    "ECLUSTERCLIENTCERT", "EEXTAGS", "EGROUPDIFFERENTPVSIZE", "EINSTANCEFAULTYDISK",
    "EINSTANCELAYOUT", "EINSTANCEMISSINGCFGPARAMETER", "EINSTANCESPLITGROUPS",
    "EINSTANCEUNSUITABLENODE", "ENODEDRBD", "ENODEDRBDHELPER", "ENODEDRBDVERSION",
    "ENODEFILESTORAGEPATHS", "ENODEFILESTORAGEPATHUNUSABLE", "ENODEGLUSTERSTORAGEPATHUNUSABLE",
    "ENODELVM", "ENODEN1", "ENODEOOBPATH", "ENODEORPHANLV", "ENODESHAREDFILESTORAGEPATHUNUSABLE",
    "ENODESSH", "ENODEUSERSCRIPTS",
}  # fmt: skip
"""Every code that `--ignore-errors` takes (upstream 3.0)."""


@operation
class ClusterVerify(Operation[OpClusterVerify]):
    """Submit the jobs that verify the configuration and each node group."""

    OPCODE = OpClusterVerify
    RETURNS_OUTCOME = True

    def check(self) -> None:
        _check_ignored(self.op.ignore_errors)
        view = self.context.view
        if self.op.group_name is not None:
            self.groups = [finding.group(view, self.op.group_name)]
        else:
            self.groups = sorted(view.nodegroups.values(), key=lambda group: group.name)

    def plan(self) -> Sequence[StepPlan]:
        common = {
            "error_codes": self.op.error_codes,
            "ignore_errors": list(self.op.ignore_errors),
            "verbose": self.op.verbose,
        }
        jobs: list[list[dict[str, Any]]] = []
        if self.op.group_name is None:
            jobs.append([{"OP_ID": "OP_CLUSTER_VERIFY_CONFIG", **common}])
        skip = {"skip_checks": list(self.op.skip_checks)}
        jobs += [
            [{"OP_ID": "OP_CLUSTER_VERIFY_GROUP", "group_name": group.uuid, **common, **skip}]
            for group in self.groups
        ]
        return [StepPlan(name=SubmitJobs.NAME, args={"jobs": jobs})]


@operation
class ClusterVerifyConfig(Operation[OpClusterVerifyConfig]):
    """Verify the configuration by itself."""

    OPCODE = OpClusterVerifyConfig
    RETURNS_OUTCOME = True

    def plan(self) -> Sequence[StepPlan]:
        args = {
            "error_codes": self.op.error_codes,
            "ignore_errors": list(self.op.ignore_errors),
        }
        return [StepPlan(name=VerifyConfig.NAME, args=args)]


@operation
class ClusterVerifyGroup(Operation[OpClusterVerifyGroup]):
    """Verify the nodes and instances of one group."""

    OPCODE = OpClusterVerifyGroup
    RETURNS_OUTCOME = True

    def locks(self) -> Sequence[Lock]:
        group = finding.group(self.context.view, self.op.group_name)
        return [Lock("nodegroup", group.uuid)]

    def check(self) -> None:
        self.group = finding.group(self.context.view, self.op.group_name)

    def plan(self) -> Sequence[StepPlan]:
        args = {
            "group": self.group.uuid,
            "error_codes": self.op.error_codes,
            "ignore_errors": list(self.op.ignore_errors),
        }
        return [StepPlan(name=VerifyGroup.NAME, args=args)]
