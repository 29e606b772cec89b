"""The pool of master candidates: who could join it, whose certificate may call the nodes."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.constants import NODED_PORT, RPC_CONNECT_TIMEOUT
from ganeti_kernel.errors import ECODE_ENVIRON, ConfigurationError, OpPrereqError
from ganeti_kernel.jobs.operation import JobContext, Step, step
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import fingerprint_der
from ganeti_kernel.rpc.trust import client_context


def eligible(node: Node) -> bool:
    """Whether a node may be in the pool."""
    return node.master_capable and not node.offline and not node.drained


def lacking(nodes: Iterable[Node], pool_size: int) -> tuple[int, list[Node]]:
    """How many candidates the pool lacks that it could have, and who could join, by name."""
    found = list(nodes)
    present = sum(node.master_candidate for node in found)
    free = sorted(
        (node for node in found if eligible(node) and not node.master_candidate),
        key=lambda node: node.name,
    )
    return max(0, min(pool_size - present, len(free))), free


def certificate_of(node: Node) -> str:
    """Fingerprint of the certificate a node proves its name with.

    Raises OpPrereqError when it does not answer, or not with a certificate of this cluster.
    """
    address = (node.primary_ip, NODED_PORT)
    try:
        context = client_context(Paths.from_environment())
        with (
            socket.create_connection(address, timeout=RPC_CONNECT_TIMEOUT) as line,
            context.wrap_socket(line, server_hostname=node.name) as secure,
        ):
            data = secure.getpeercert(binary_form=True)
    except (OSError, ConfigurationError) as error:  # ssl.SSLError is an OSError
        raise OpPrereqError(
            f"cannot read the certificate of node {node.name} ({node.primary_ip}): {error}; a "
            "master candidate must be reachable",
            ECODE_ENVIRON,
        ) from None
    assert data is not None  # the context requires one
    return fingerprint_der(data)


def promotable(context: JobContext, nodes: Iterable[Node], pool_size: int) -> dict[str, str]:
    """Whom to promote so that the pool is full: UUID -> fingerprint. Warns of who is silent."""
    missing, free = lacking(nodes, pool_size)
    out: dict[str, str] = {}
    for node in free:
        if len(out) == missing:
            break
        try:
            out[node.uuid] = certificate_of(node)
        except OpPrereqError as error:
            context.warn(f"not promoted to master candidate: {error}")
    return out


def set_nodes_args(
    view: ConfigView, fields: Mapping[str, Mapping[str, Any]], certs: Mapping[str, str]
) -> dict[str, Any]:
    """Arguments of SetNodes: new fields by UUID, and new candidates' fingerprints."""
    before = {
        uuid: {key: getattr(view.nodes[uuid], key) for key in new} for uuid, new in fields.items()
    }
    known = view.cluster.candidate_certs
    return {
        "fields": {uuid: dict(new) for uuid, new in fields.items()},
        "before": before,
        "certs": dict(certs),
        "certs_before": {uuid: known[uuid] for uuid in fields if uuid in known},
    }


@step
class SetNodes(Step):
    """Change nodes and the list of candidates' certificates in one commit.

    Arguments: those of `set_nodes_args`.
    """

    NAME = "config.set-nodes"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _set(context, args["fields"], args["certs"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _set(context, args["before"], args["certs_before"])


def _set(
    context: JobContext, fields: Mapping[str, Mapping[str, Any]], certs: Mapping[str, str]
) -> None:
    def change(draft: Draft) -> None:
        known = dict(draft.view.cluster.candidate_certs)
        for uuid, new in fields.items():
            node = draft.view.nodes.get(uuid)
            if node is None:
                continue
            if draft.replace(node, **new).master_candidate:
                known |= {uuid: certs[uuid]} if uuid in certs else {}
            else:
                known.pop(uuid, None)
        if known != draft.view.cluster.candidate_certs:
            draft.replace_cluster(candidate_certs=known)

    context.update(change)
