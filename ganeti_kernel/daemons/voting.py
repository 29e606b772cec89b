"""Asking the nodes who is the master, before this one takes up its work."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from ganeti_kernel.errors import MasterReplaced, RemoteError
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.rpc import voting
from ganeti_kernel.rpc.client import NodeClient

log = logging.getLogger(__name__)

VOTE_SECONDS: Final = 60.0
"""How long a starting master waits for enough nodes (upstream 3.0: six rounds of ten seconds)."""

ROUND_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 1.0

HINT: Final = (
    "; `gnt-cluster getmaster` on another node says who is the master, and if there is certainly "
    "none, `ganeti-masterd --no-voting --yes-do-it` starts this one all the same"
)


async def gather(nodes: NodeClient, view: ConfigView, name: str) -> voting.States:
    """Ask all nodes but `name` and those that are offline."""
    others = [node for node in view.nodes.values() if node.name != name and not node.offline]
    answers = await nodes.call_many(others, "master_state", timeout=ROUND_SECONDS)
    return {node.name: answers[node.uuid].value for node in others}


async def check(
    nodes: NodeClient, view: ConfigView, name: str, epoch: int, patience: float = VOTE_SECONDS
) -> None:
    """Return when node `name` may be the master of this epoch.

    Raises MasterReplaced when another one is, RemoteError when too few nodes answer in time.
    """
    deadline = time.monotonic() + patience
    while True:
        refusal = voting.refusal(await gather(nodes, view, name), name, epoch)
        if refusal is None:
            return
        text, wait = refusal
        if not wait:
            raise MasterReplaced(text)
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise RemoteError(text + HINT)
        log.warning("waiting for more nodes: %s", text)
        await asyncio.sleep(PAUSE_SECONDS)
