"""The cluster's files on the nodes: what is the same everywhere, sent anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ganeti_kernel.config.ssconf import is_candidate
from ganeti_kernel.jobs.opcodes import OpClusterRedistConf
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
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths

MAX_FILE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Shared:
    """A file that nodes have from the master, if it has it. `who`: all, candidates or vm."""

    path: str
    mode: int
    who: str = "all"


SHARED: Final = (
    Shared("/etc/ganeti/file-storage-paths", 0o644),
    Shared("/etc/ganeti/hosts", 0o644),
    Shared("/etc/ganeti/vnc-cluster-password", 0o600, "vm"),
    Shared("/var/lib/ganeti/ca.pem", 0o644),
    Shared("/var/lib/ganeti/cluster-domain-secret", 0o600, "candidates"),
    Shared("/var/lib/ganeti/hmac.key", 0o600),
    Shared("/var/lib/ganeti/known_hosts", 0o644),
    Shared("/var/lib/ganeti/rapi.pem", 0o600, "candidates"),
    Shared("/var/lib/ganeti/rapi/users", 0o600, "candidates"),
    Shared("/var/lib/ganeti/spice-ca.pem", 0o644, "vm"),
    Shared("/var/lib/ganeti/spice.pem", 0o600, "vm"),
)
"""What `redist-conf` sends (upstream 3.0's files, and our authority's certificate)."""


def receivers(view: ConfigView, who: str) -> list[Node]:
    """The online nodes besides the master that have files of this kind."""
    return [
        node
        for node in sorted(view.nodes.values(), key=lambda item: item.name)
        if not node.offline
        and node.uuid != view.cluster.master_node
        and (who != "vm" or node.vm_capable)
        and (who != "candidates" or is_candidate(view, node.uuid))
    ]


@step
class SendFiles(Step):
    """Send the master's copy of every shared file. No arguments."""

    NAME = "files.send"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        silent: set[str] = set()
        for item in SHARED:
            content = _read(context, item.path)
            nodes = [node for node in receivers(context.view, item.who) if node.uuid not in silent]
            if content is None or not nodes:
                continue
            answers = context.nodes.call_many(
                nodes, "upload_file", name=item.path, content=content, mode=item.mode
            )
            for uuid, answer in answers.items():
                if not answer.ok:
                    silent.add(uuid)
                    context.warn(f"the cluster's files are not sent further: {answer.error}")


def _read(context: JobContext, path: str) -> str | None:
    """The master's copy; None when it has none, or (with a warning) not a usable one."""
    source = Paths.from_environment().under(path)
    try:
        if source.stat().st_size > MAX_FILE:
            raise ValueError(f"larger than {MAX_FILE >> 20} MiB")
        return source.read_text()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # what is no text is a ValueError
        context.warn(f"{source} is not sent: {error}")
        return None


@step
class Redistribute(Step):
    """Have the master daemon write the configuration anew everywhere. No arguments."""

    NAME = "config.redistribute"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        for uuid, reason in context.redistribute().items():
            if uuid in context.view.nodes:
                context.warn(f"the configuration will be sent again: {reason}")


@operation
class ClusterRedistConf(Operation[OpClusterRedistConf]):
    """Send the configuration and the cluster's files to all nodes again."""

    OPCODE = OpClusterRedistConf

    def locks(self) -> Sequence[Lock]:
        return [Lock("node", ALL)]

    def plan(self) -> Sequence[StepPlan]:
        return [StepPlan(name=Redistribute.NAME), StepPlan(name=SendFiles.NAME)]
