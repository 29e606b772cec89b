"""The query engine with the master daemon's sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.rpc.client import NodeClient


class EngineQueries:
    """Implements `luxi.methods.Queries`."""

    def __init__(
        self, registry: Registry, config: SharedConfig, manager: JobManager, nodes: NodeClient
    ) -> None:
        self._registry = registry
        self._config = config
        self._manager = manager
        self._nodes = nodes

    async def query(self, what: str, fields: Sequence[str], qfilter: Any) -> dict[str, Any]:
        raise OpPrereqError(f"{what} cannot be queried yet", "wrong_input")

    async def query_fields(self, what: str, fields: Sequence[str] | None) -> dict[str, Any]:
        raise OpPrereqError(f"{what} cannot be queried yet", "wrong_input")

    async def rows(self, what: str, names: Sequence[str], fields: Sequence[str]) -> list[list[Any]]:
        raise OpPrereqError(f"{what} cannot be queried yet", "wrong_input")
