"""Allocator: says where instances go. The document is upstream's IAllocator protocol, version 2."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from ganeti_kernel.specs.base import Plugin, hookspec


class Allocator(Plugin):
    """The contract. Features: the request types it answers ("allocate", "relocate", …)."""

    @hookspec
    @abstractmethod
    def allocate(self, request: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        """Answer `{"success": bool, "info": str, "result": …}` to an IAllocator request.

        `options` are the cluster's default allocator parameters. Pure: the same request, the
        same answer. What cannot be placed is `success` false with the reason, not an error.
        """
