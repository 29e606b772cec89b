"""Confd as collectors see it: one method, no waiting twice for a daemon that is not there."""

from __future__ import annotations

import time
from typing import Any, Final

from ganeti_kernel.confd.client import ConfdClient
from ganeti_kernel.errors import ConfdClientError
from ganeti_kernel.paths import Paths

STATUS_OK: Final = 0
DEADLINE: Final = 2.0
"""Seconds a collector waits for an answer."""
SETTLE: Final = 0.1
"""Seconds for which it waits for a newer answer when it has one: a candidate may be silent."""
SILENCE: Final = 10.0
"""Seconds for which a cluster that did not answer is not asked again."""


class ConfdLookup:
    """A `ClusterLookup`. The key and the addresses are read when first needed, and anew after a
    failure, so it can be made on a machine that belongs to no cluster yet."""

    def __init__(
        self, paths: Paths, *, address: str | None = None, port: int | None = None
    ) -> None:
        self._paths = paths
        self._where: dict[str, Any] = {}
        if address is not None:
            self._where["peers"] = [address]
        if port is not None:
            self._where["port"] = port
        self._client: ConfdClient | None = None
        self._silent_until = float("-inf")
        self._problem = ""

    def ask(self, number: int, query: Any) -> Any:
        """Return the answer; raises ConfdClientError when there is none or it is an error."""
        if time.monotonic() < self._silent_until:
            raise ConfdClientError(self._problem)
        try:
            if self._client is None:
                self._client = ConfdClient.of_node(self._paths, **self._where)
            result = self._client.ask(number, query, timeout=DEADLINE, settle=SETTLE)
        except ConfdClientError as error:
            self._client = None
            self._problem = str(error)
            self._silent_until = time.monotonic() + SILENCE
            raise
        if result.status != STATUS_OK:
            raise ConfdClientError(
                f"confd answers request {number} for {query!r} with an error: {result.answer}"
            )
        return result.answer
