from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates, trust
from ganeti_kernel.rpc.server import NodeServer, make_handler

T = TypeVar("T")


class Place:
    """A cluster of one authority on loopback: identities on disk, servers in a thread's loop."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority = certificates.create_authority("cluster.example.com")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: list[NodeServer] = []

    def identity(
        self, name: str, authority: certificates.Identity | None = None, *, candidate: bool = True
    ) -> Paths:
        """Set a machine up: certificates and the list of who may call it (itself)."""
        paths = Paths(self.root / name)
        paths.data_dir.mkdir(parents=True, exist_ok=True)
        own = certificates.issue_certificate(authority or self.authority, name, "127.0.0.1")
        paths.node_certificate.write_bytes(own.pem)
        paths.ca_file.write_bytes((authority or self.authority).certificate)
        if candidate:
            self.admit(paths, paths)
        return paths

    def admit(self, node: Paths, *callers: Paths) -> None:
        lines = [f"uuid-{n}={trust.own_fingerprint(item)}" for n, item in enumerate(callers)]
        node.ssconf(trust.CANDIDATES_KEY).write_text("\n".join(lines))

    def serve(
        self,
        paths: Paths,
        functions: dict[str, Callable[..., Any]],
        subject: Callable[[Any], str | None] = lambda _args: None,
    ) -> int:
        handlers = {name: make_handler(name, item, subject) for name, item in functions.items()}
        server = NodeServer(paths, handlers)
        self._servers.append(server)
        return self.run(server.start("127.0.0.1", 0))

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(30)

    def close(self) -> None:
        for server in self._servers:
            self.run(server.close(grace=0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def make_node(name: str = "node1.example.com", **fields: Any) -> Node:
    return Node(name=name, primary_ip="127.0.0.1", uuid=f"uuid-of-{name}", **fields)


@pytest.fixture
def node() -> Node:
    return make_node()
