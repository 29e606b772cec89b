"""The watcher's pause, from the master to the file that each node's watcher reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.node.files import write_pause
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.client import NodeClient


async def tell_pause(
    paths: Paths, view: Callable[[], ConfigView], nodes: NodeClient, until: float | None
) -> None:
    """Write it here and tell all nodes that are online.

    Raises OpExecError that names the nodes which do not know of it; the others do.
    """
    await asyncio.to_thread(write_pause, paths, until)
    now = view()
    others = [
        node
        for uuid, node in now.nodes.items()
        if uuid != now.cluster.master_node and not node.offline
    ]
    answers = await nodes.call_many(others, "watcher_pause", {"until": until})
    silent = [
        f"{node.name} ({answers[node.uuid].error})" for node in others if not answers[node.uuid].ok
    ]
    if silent:
        what = "is paused" if until is not None else "is no longer paused"
        raise OpExecError(
            f"the watcher {what}, but could not tell {', '.join(silent)}; repeat the command when "
            "they answer"
        )
