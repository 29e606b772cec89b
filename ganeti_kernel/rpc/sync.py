"""Node calls for programs without an event loop: job processes, set-up tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp  # noqa: F401 # 0.2 s: before the fork, so that not every job process pays for it

from ganeti_kernel.constants import NODED_PORT
from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.client import NodeClient, Result


class SyncNodeClient:
    """`NodeClient` with blocking calls; arguments of the call are keywords.

    Nothing is opened before the first call, so it may be made before a fork. It belongs to one
    thread.
    """

    def __init__(self, paths: Paths, epoch: int = 0, *, port: int = NODED_PORT) -> None:
        self._paths = paths
        self._epoch = epoch
        self._port = port
        self._runner: asyncio.Runner | None = None
        self._client: NodeClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch = value
        if self._client is not None:
            self._client.epoch = value

    def call(self, node: Node, name: str, /, *, deadline: float | None = None, **args: Any) -> Any:
        """Return the result, typed as in calls.py; raises RemoteError or the node's own error."""
        runner, client = self._open()
        return runner.run(client.call(node, name, args, deadline))

    def call_many(
        self, nodes: Sequence[Node], name: str, /, *, deadline: float | None = None, **args: Any
    ) -> dict[str, Result]:
        """Return node UUID -> Result; one node's failure is its Result's `error`."""
        runner, client = self._open()
        return runner.run(client.call_many(nodes, name, args, deadline))

    def call_each(
        self,
        questions: Sequence[tuple[Node, Mapping[str, Any]]],
        name: str,
        /,
        *,
        deadline: float | None = None,
    ) -> dict[str, Result]:
        """Like `call_many` with arguments of its own for each node."""
        runner, client = self._open()
        return runner.run(client.call_each(questions, name, deadline))

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        runner, client = self._runner, self._client
        self._runner = self._client = None
        if runner is not None:
            try:
                if client is not None:
                    runner.run(client.close())
            finally:
                runner.close()

    def _open(self) -> tuple[asyncio.Runner, NodeClient]:
        if self._runner is None or self._client is None:
            self._runner = asyncio.Runner()
            self._client = NodeClient(self._paths, self._epoch, port=self._port)
        return self._runner, self._client
