"""The cluster's files on its nodes, compared with what the master has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ganeti_kernel.config.ssconf import is_candidate, ssconf_values
from ganeti_kernel.node.health import ssconf_sum
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.rpc.results import NodeReport, NodeState

EVERYWHERE: Final = ("/var/lib/ganeti/ca.pem", "/var/lib/ganeti/hmac.key")
"""Files that all nodes have, the same on each."""

WHERE_WANTED: Final = (
    "/etc/ganeti/vnc-cluster-password",
    "/var/lib/ganeti/cluster-domain-secret",
    "/var/lib/ganeti/rapi.pem",
    "/var/lib/ganeti/rapi/users",
    "/var/lib/ganeti/spice-ca.pem",
    "/var/lib/ganeti/spice.pem",
)
"""Files that need not be there, but are the same wherever they are."""

CANDIDATES_ONLY: Final = ("/var/lib/ganeti/ca.key",)
"""Files that only master candidates may have."""

FILES: Final = (*EVERYWHERE, *WHERE_WANTED, *CANDIDATES_ONLY)


def check_files(
    view: ConfigView,
    nodes: Iterable[Node],
    reports: Mapping[str, NodeReport],
    master: Mapping[str, str | None],
) -> Iterator[Finding]:
    """Compare files of `nodes` with the master's. `reports` by node name, sums by path."""
    answered = [node for node in nodes if node.name in reports]
    for path in FILES:
        missing, different, superfluous = [], [], []
        for node in answered:
            own = reports[node.name].files.get(path)
            if own is None:
                missing += [node.name] if path in EVERYWHERE else []
            elif path in CANDIDATES_ONLY and not is_candidate(view, node.uuid):
                superfluous.append(node.name)
            elif master.get(path) is not None and own != master[path]:
                different.append(node.name)
        for names, text in (
            (missing, "is missing from node(s)"),
            (different, "is not the master's on node(s)"),
            (superfluous, "must not be on node(s)"),
        ):
            if names:
                yield Finding("ECLUSTERFILECHECK", "", f"File {path} {text} {', '.join(names)}")


def check_copies(view: ConfigView, node: Node, state: NodeReport | NodeState) -> Iterator[Finding]:
    """Compare ssconf files and `config.data` of one node with the configuration.

    What was changed a moment ago may be under way to the node: ask it again before it counts.
    """
    wanted = {key: ssconf_sum(value) for key, value in ssconf_values(view).items()}
    for key, digest in sorted(wanted.items()):
        own = state.ssconf.get(key)
        if own is None:
            yield _file(f"ssconf_{key}", "is missing from", node)
        elif own != digest:
            yield _file(f"ssconf_{key}", "is not up to date on", node)
    if is_candidate(view, node.uuid):
        if state.config_serial is None:
            yield _file("config.data", "is missing from", node)
        elif state.config_serial != view.serial_no:
            text = f"has serial number {state.config_serial} instead of {view.serial_no} on"
            yield _file("config.data", text, node)
    elif state.config_serial is not None:
        yield _file("config.data", "must not be on", node)


def _file(name: str, text: str, node: Node) -> Finding:
    return Finding("ECLUSTERFILECHECK", "", f"File /var/lib/ganeti/{name} {text} node {node.name}")
