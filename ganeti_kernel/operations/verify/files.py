"""The cluster's files on its nodes, compared with what the master has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ganeti_kernel.config.ssconf import is_candidate, ssconf_values
from ganeti_kernel.node.health import ssconf_sum
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.rpc.results import NodeReport, NodeState
from ganeti_kernel.rpc.trust import CANDIDATE_SECRETS

EVERYWHERE: Final = ("/var/lib/ganeti/ca.pem", "/var/lib/ganeti/hmac.key")
"""Files that all nodes have, the same on each."""

WHERE_WANTED: Final = (
    "/etc/ganeti/vnc-cluster-password",
    "/var/lib/ganeti/rapi.pem",
    "/var/lib/ganeti/rapi/users",
    "/var/lib/ganeti/spice-ca.pem",
    "/var/lib/ganeti/spice.pem",
)
"""Files that need not be there, but are the same wherever they are."""

SECRETS: Final = tuple(f"/var/lib/ganeti/{name}" for name in sorted(CANDIDATE_SECRETS))
"""Files that all master candidates have, and no other node."""

FILES: Final = (*EVERYWHERE, *WHERE_WANTED, *SECRETS)


@dataclass(frozen=True)
class Expected:
    """What nodes should have of the configuration and the master's secrets: sums by key, path."""

    view: ConfigView
    ssconf: Mapping[str, str]
    secrets: Mapping[str, str | None]


def expected(view: ConfigView, master: Mapping[str, str | None]) -> Expected:
    """`master`: sums of the master's own files by path."""
    sums = {key: ssconf_sum(value) for key, value in ssconf_values(view).items()}
    return Expected(view, sums, {path: master.get(path) for path in SECRETS})


def check_files(
    nodes: Iterable[Node],
    reports: Mapping[str, NodeReport],
    master: Mapping[str, str | None],
) -> Iterator[Finding]:
    """Compare files of `nodes` with the master's. `reports` by node name, sums by path."""
    answered = [node for node in nodes if node.name in reports]
    for path in (*EVERYWHERE, *WHERE_WANTED):
        missing, different = [], []
        for node in answered:
            own = reports[node.name].files.get(path)
            if own is None:
                missing += [node.name] if path in EVERYWHERE else []
            elif master.get(path) is not None and own != master[path]:
                different.append(node.name)
        for names, text in (
            (missing, "is missing from node(s)"),
            (different, "is not the master's on node(s)"),
        ):
            if names:
                yield Finding("ECLUSTERFILECHECK", "", f"File {path} {text} {', '.join(names)}")


def check_copies(wanted: Expected, node: Node, state: NodeReport | NodeState) -> Iterator[Finding]:
    """Compare what the master sends to a node (ssconf, `config.data`, secrets) with what it has.

    What was changed a moment ago may be under way to the node: ask it again before it counts.
    """
    for key, digest in sorted(wanted.ssconf.items()):
        own = state.ssconf.get(key)
        if own is None:
            yield _file(f"ssconf_{key}", "is missing from", node)
        elif own != digest:
            yield _file(f"ssconf_{key}", "is not up to date on", node)
    candidate = is_candidate(wanted.view, node.uuid)
    serial = wanted.view.serial_no
    if not candidate:
        if state.config_serial is not None:
            yield _file("config.data", "must not be on", node)
    elif state.config_serial is None:
        yield _file("config.data", "is missing from", node)
    elif state.config_serial != serial:
        text = f"has serial number {state.config_serial} instead of {serial} on"
        yield _file("config.data", text, node)
    for path, digest_of_master in wanted.secrets.items():
        own, name = state.files.get(path), path.rpartition("/")[2]
        if not candidate:
            if own is not None:
                yield _file(name, "must not be on", node)
        elif own is None:
            yield _file(name, "is missing from", node)
        elif digest_of_master is not None and own != digest_of_master:
            yield _file(name, "is not the master's on", node)


def _file(name: str, text: str, node: Node) -> Finding:
    return Finding("ECLUSTERFILECHECK", "", f"File /var/lib/ganeti/{name} {text} node {node.name}")
