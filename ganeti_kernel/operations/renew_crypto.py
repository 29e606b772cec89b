"""Renewing keys and certificates while everything goes on.

A new authority is first trusted beside the old one, everywhere; then each node gets a certificate
of the new one; then the old one is forgotten. A candidate's new fingerprint is on every node's list
before the candidate has the certificate. So whoever calls, with the old or the new certificate, is
known to whoever is called. Every step can be repeated; nothing is undone, a renewal is only carried
on, by the master that began it: the new keys wait there only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.ssconf import ssconf_values
from ganeti_kernel.errors import ECODE_ENVIRON, ECODE_INVAL, GenericError, OpExecError, RemoteError
from ganeti_kernel.files import write_durably
from ganeti_kernel.jobs.opcodes import OpClusterRenewCrypto
from ganeti_kernel.jobs.operation import (
    ALL,
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import crypto_files, finding
from ganeti_kernel.operations.candidates import certificate_of
from ganeti_kernel.operations.cluster_files import SHARED, Redistribute, receivers
from ganeti_kernel.operations.no_return import NO_RETURN
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import (
    Identity,
    fingerprint,
    issue_certificate,
    split_certificates,
)
from ganeti_kernel.rpc.trust import CANDIDATES_KEY, read_authority

NEXT: Final = "-next"
"""Behind a node's UUID among the candidates' certificates: the one it is about to have."""

CA_FILE: Final = "/var/lib/ganeti/ca.pem"
CHECK_SECONDS: Final = 10.0


def online(context: JobContext) -> list[Node]:
    """All nodes that must take part, the master last."""
    view = context.view
    nodes = sorted(
        (node for node in view.nodes.values() if not node.offline), key=lambda node: node.name
    )
    return sorted(nodes, key=lambda node: node.uuid == view.cluster.master_node)


def on_all(context: JobContext, nodes: Sequence[Node], call: str, /, **args: Any) -> None:
    """Call all these nodes; raises RemoteError with every failure, after which it is repeated."""
    answers = context.nodes.call_many(nodes, call, **args)
    failed = [str(answer.error) for answer in answers.values() if not answer.ok]
    if failed:
        raise RemoteError("; ".join(failed))


def same_master(context: JobContext, args: Mapping[str, Any]) -> None:
    """Refuse to go on elsewhere than where the new keys wait. Raises OpExecError."""
    if context.view.cluster.master_node != args["master"]:
        raise OpExecError(
            "the master changed while keys were renewed, and the new ones were on the old master; "
            "give the command again"
        )


def _upload(context: JobContext, nodes: Sequence[Node], name: str, text: str, mode: int) -> None:
    on_all(context, nodes, "upload_file", name=name, content=text, mode=mode)


@step
class TrustAuthorities(Step):
    """Have all nodes trust these authorities. Arguments: master, certificates, before, adopt.

    `certificates` and `before`: what is trusted from here on and what was until now, PEM. With
    `adopt` the key of the new authority, which waited, is the cluster's from here on.
    """

    NAME = "crypto.trust"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        same_master(context, args)
        paths = Paths.from_environment()
        if args["adopt"]:
            _upload(context, online(context), CA_FILE, "".join(reversed(args["before"])), 0o644)
            key = crypto_files.waiting(paths, "ca.key")
            if key.exists():
                write_durably(paths.ca_key, key.read_bytes(), 0o400)
            for name in crypto_files.AUTHORITY:
                crypto_files.waiting(paths, name).unlink(missing_ok=True)
        _upload(context, online(context), CA_FILE, "".join(args["certificates"]), 0o644)


@step
class RenewNode(Step):
    """Give a node a new key and certificate. Arguments: master, uuid."""

    NAME = "crypto.renew-node"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        same_master(context, args)
        uuid, paths = args["uuid"], Paths.from_environment()
        node = context.view.nodes.get(uuid)
        if node is None or node.offline:
            return
        context.log(f"* renewing the certificate of node {node.name}")
        identity = issue_certificate(_authority(paths), node.name, node.primary_ip)
        mark = fingerprint(identity.certificate)
        candidate = uuid in context.view.cluster.candidate_certs
        if candidate:
            _note(context, {f"{uuid}{NEXT}": mark})
            text = ssconf_values(context.view)[CANDIDATES_KEY]
            on_all(context, online(context), "ssconf_write", values={CANDIDATES_KEY: text})
        context.nodes.call(node, "identity_write", certificate=identity.pem.decode())
        _await_certificate(node, mark)
        if candidate:
            _note(context, {uuid: mark, f"{uuid}{NEXT}": None})


def _authority(paths: Paths) -> Identity:
    """The authority that signs new certificates: the one that waits, if any."""
    key, certificate = (crypto_files.waiting(paths, name) for name in crypto_files.AUTHORITY)
    if key.exists():
        return Identity(key.read_bytes(), certificate.read_bytes())
    return read_authority(paths)


def _note(context: JobContext, marks: Mapping[str, str | None]) -> None:
    def change(draft: Draft) -> None:
        known = draft.view.cluster.candidate_certs
        wanted = {key: value for key, value in (known | dict(marks)).items() if value is not None}
        if wanted != known:
            draft.replace_cluster(candidate_certs=wanted)

    context.update(change)


def _await_certificate(node: Node, mark: str) -> None:
    """See that the node shows its new certificate. Raises RemoteError when it does not."""
    deadline = time.monotonic() + CHECK_SECONDS
    shown = ""
    while shown != mark:
        if time.monotonic() > deadline:
            raise RemoteError(f"node {node.name} does not use its new certificate")
        try:
            shown = certificate_of(node)
        except GenericError as error:
            raise RemoteError(str(error)) from None


@step
class ReplaceFiles(Step):
    """Take the other keys that wait into use, here and on the nodes that have them.

    Arguments: master, names (files of the data directory).
    """

    NAME = "crypto.replace-files"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        same_master(context, args)
        paths = Paths.from_environment()
        for name in args["names"]:
            source = crypto_files.waiting(paths, name)
            if not source.exists():
                continue  # it was done before this step was cut off
            shared = next(item for item in SHARED if item.path == f"/var/lib/ganeti/{name}")
            context.log(f"* replacing {name}")
            text = source.read_text("ascii")
            others = receivers(context.view, shared.who)
            _upload(context, others, shared.path, text, shared.mode)
            master = context.view.nodes[context.view.cluster.master_node]
            _upload(context, [master], shared.path, text, shared.mode)
            daemons = list(crypto_files.PLAIN[name])
            if daemons:
                on_all(context, [*others, master], "daemons_reload", names=daemons)
            source.unlink()


@operation
class ClusterRenewCrypto(Operation[OpClusterRenewCrypto]):
    """Take new keys into use, and give the nodes new certificates, without an interruption."""

    OPCODE = OpClusterRenewCrypto

    def locks(self) -> Sequence[Lock]:
        # no node may come, go or change its role
        return [Lock("cluster", "BGL", exclusive=True), Lock("node", ALL, exclusive=True)]

    def check(self) -> None:
        if self.op.renew_ssh_keys or self.op.ssh_key_type or self.op.ssh_key_bits:
            finding.refuse(
                "there are no ssh keys to renew: the nodes of this cluster do not use ssh among "
                "themselves",
                ECODE_INVAL,
            )
        self.names = crypto_files.pending(Paths.from_environment())
        if not self.names and not self.op.node_certificates:
            finding.refuse("there is nothing to renew", ECODE_INVAL)
        answers = self.context.nodes.call_many(online(self.context), "version")
        silent = [str(answer.error) for answer in answers.values() if not answer.ok]
        if silent:
            finding.refuse(
                f"every node must take part: {'; '.join(silent)} (mark a node offline to leave it "
                "out; it must be added anew then)",
                ECODE_ENVIRON,
            )
        for node in self.context.view.nodes.values():
            if node.offline:
                self.context.warn(
                    f"node {node.name} is offline and keeps its old keys; when it is back, remove "
                    "and add it"
                )

    def plan(self) -> Sequence[StepPlan]:
        paths = Paths.from_environment()
        authority = "ca.key" in self.names
        here = {"master": self.context.view.cluster.master_node}
        steps = [NO_RETURN]
        if authority:
            new = crypto_files.waiting(paths, "ca.pem").read_text()
            known = [item.decode() for item in split_certificates(paths.ca_file.read_bytes())]
            both = [*(item for item in known if item != new), new]
            args = {"certificates": both, "before": both, "adopt": False}
            steps.append(StepPlan(name=TrustAuthorities.NAME, args=here | args))
        if authority or self.op.node_certificates:
            steps += [
                StepPlan(name=RenewNode.NAME, args=here | {"uuid": node.uuid})
                for node in online(self.context)
            ]
        if authority:
            args = {"certificates": [new], "before": both, "adopt": True}
            steps.append(StepPlan(name=TrustAuthorities.NAME, args=here | args))
        plain = [name for name in self.names if name in crypto_files.PLAIN]
        if plain:
            steps.append(StepPlan(name=ReplaceFiles.NAME, args=here | {"names": plain}))
        return [*steps, StepPlan(name=Redistribute.NAME)]
