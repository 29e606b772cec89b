"""What one node says of itself, and how nodes of a group differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.rpc.results import CertificateState, NodeReport, OsStatus
from ganeti_kernel.version import PROTOCOL_VERSION, SOFTWARE_VERSION

MAX_CLOCK_SKEW: Final = 150.0
"""Seconds a node's clock may differ from the master's (upstream 3.0)."""

DAY: Final = 86400.0
EXPIRES_ERROR: Final = 7 * DAY
EXPIRES_WARNING: Final = 30 * DAY
"""How long before its end a certificate is worth an error or a warning (upstream 3.0)."""


class Asked(NamedTuple):
    """When a node was asked, and when it had answered; seconds on the master's clock."""

    begun: float
    ended: float


def check_node(
    view: ConfigView,
    node: Node,
    report: NodeReport,
    asked: Asked,
    storage_codes: Mapping[str, str],
    scripts: Sequence[str] = (),
) -> Iterator[Finding]:
    """What one node says of itself.

    `storage_codes`: disk template -> the code of unusable storage; `scripts`: which of the
    executables are scripts of the administrator, the others are out-of-band programs.
    """

    def found(code: str, text: str, *, warning: bool = False) -> Finding:
        return Finding(code, node.name, text, warning)

    if report.protocol != PROTOCOL_VERSION:
        text = f"incompatible protocol versions: master {PROTOCOL_VERSION}, node {report.protocol}"
        yield found("ENODEVERSION", text)
    elif report.software != SOFTWARE_VERSION:
        text = f"software version mismatch: master {SOFTWARE_VERSION}, node {report.software}"
        yield found("ENODEVERSION", text, warning=True)
    skew = _skew(report.time, asked)
    if abs(skew) > MAX_CLOCK_SKEW:
        yield found("ENODETIME", f"Node time diverges by {abs(skew):.1f}s from master node time")
    if report.cluster_name != view.cluster.cluster_name:
        text = f"it takes itself for a node of cluster '{report.cluster_name}'"
        yield found("ENODESETUP", text)
    for problem in report.setup:
        yield found("ENODESETUP", f"node setup error: {problem}")
    for row in report.plugins:
        text = f"plugin {row.kind} {row.name} ({row.distribution}) cannot be used: {row.problem}"
        yield found("ENODESETUP", text, warning=True)
    for peer, problem in report.unreachable.items():
        yield found("ENODENET", f"node {peer} cannot be reached: {problem}")
    for peer, problem in report.names.items():
        yield found("ENODENET", f"the name {peer} {problem}")
    if report.master_address:
        yield found("ENODENET", f"the master address {report.master_address}")
    for path, problem in report.executables.items():
        if path in scripts:
            yield found("ENODEUSERSCRIPTS", f"user script {path}: {problem}")
        else:
            yield found("ENODEOOBPATH", f"out-of-band program {path}: {problem}")
    yield from _certificates(view, node, report, asked.ended)
    if node.vm_capable:
        for name, problems in report.hypervisors.items():
            for problem in problems:
                yield found("ENODEHV", f"hypervisor {name} verify failure: {problem}")
        for bridge in report.bridges:
            yield found("ENODENET", f"missing bridge {bridge}")
        for template, problem in report.storage.items():
            code = storage_codes.get(template, "ENODESETUP")
            yield found(code, f"disk template {template} has no usable storage: {problem}")
        for path in report.storage_paths:
            yield found("ENODEFILESTORAGEPATHS", f"path {path} never may hold disks")


def _skew(time: float, asked: Asked) -> float:
    """Seconds a clock is ahead of, or behind, the time the question took."""
    return min(0.0, time - asked.begun) or max(0.0, time - asked.ended)


def _certificates(
    view: ConfigView, node: Node, report: NodeReport, now: float
) -> Iterator[Finding]:
    for state in report.certificates:
        if state.problem:
            yield Finding("ECLUSTERCLIENTCERT", node.name, f"{state.path}: {state.problem}")
            continue
        finding = check_expiry(state, now)
        if finding:
            text, warning = finding
            yield Finding("ECLUSTERCLIENTCERT", node.name, text, warning)
    listed = view.cluster.candidate_certs.get(node.uuid)
    own = next((item for item in report.certificates if item.path.endswith("server.pem")), None)
    if listed and own is not None and own.fingerprint and own.fingerprint != listed:
        text = f"{own.path} has another fingerprint than the configuration lists for the node"
        yield Finding("ECLUSTERCLIENTCERT", node.name, text)


def check_expiry(state: CertificateState, now: float) -> tuple[str, bool] | None:
    """What is to say of a certificate's end: (text, whether it is only a warning)."""
    left = state.expires - now
    if left <= 0:
        return f"{state.path} has expired; gnt-cluster renew-crypto makes new ones", False
    if left > EXPIRES_WARNING:
        return None
    text = f"{state.path} expires in {left / DAY:.0f} days; gnt-cluster renew-crypto makes new ones"
    return text, left > EXPIRES_ERROR


# -- operating systems ---------------------------------------------------------------------------


def check_os(reports: Mapping[str, NodeReport], reference: str) -> Iterator[Finding]:
    """Invalid OS definitions, and how they differ from the reference node's. Keys: node names."""
    wanted = _first(reports[reference].os)
    for name, report in sorted(reports.items()):
        own = _first(report.os)
        for item in own.values():
            if not item.valid:
                text = f"Invalid OS {item.name} (located at {item.path}): {item.diagnose}"
                yield Finding("ENODEOS", name, text)
        for os_name in sorted(set(own) - set(wanted)):
            text = f"Extra OS {os_name} not present on reference node ({reference})"
            yield Finding("ENODEOS", name, text)
        for os_name in sorted(set(own) & set(wanted)):
            for what, mine, theirs in _differences(own[os_name], wanted[os_name]):
                text = (
                    f"OS {what} for {os_name} differs from reference node {reference}: "
                    f"{mine} vs. {theirs}"
                )
                yield Finding("ENODEOS", name, text)
        missing = sorted(set(wanted) - set(own))
        if missing:
            text = (
                f"OSes present on reference node {reference} but missing on this node: "
                f"{', '.join(missing)}"
            )
            yield Finding("ENODEOS", name, text)


def _first(found: Sequence[OsStatus]) -> dict[str, OsStatus]:
    """The definition in use of each name: the first on the search path."""
    out: dict[str, OsStatus] = {}
    for item in found:
        out.setdefault(item.name, item)
    return out


def _differences(mine: OsStatus, theirs: OsStatus) -> Iterator[tuple[str, object, object]]:
    if not (mine.valid and theirs.valid):
        return
    for what in ("api_versions", "variants", "parameters"):
        own, other = getattr(mine, what), getattr(theirs, what)
        if sorted(own) != sorted(other):
            label = {"api_versions": "API version", "variants": "variants list"}.get(what, what)
            yield label, sorted(own), sorted(other)
