"""Opening the cluster's store, whichever backend keeps it."""

from __future__ import annotations

from typing import Final

from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Store, StoreBackend
from ganeti_kernel.store.url import file_url, scheme

DEFAULT_BACKEND: Final = "sqlite"
"""The store that comes with the kernel; `--store` of the daemons names another."""


def open_store(
    paths: Paths,
    url: str | None = None,
    *,
    create: bool = False,
    registry: Registry | None = None,
) -> Store:
    """Open the store at `url`, None: this node's file; or make it with `create`.

    Raises ConfigurationError when this node has none, StoreError when it is not ours or cannot be
    made, PluginError when nothing serves the URL.
    """
    if url is None:
        if not create and not paths.store_file.exists():
            raise ConfigurationError(
                f"{paths.store_file} does not exist: this node is not the master of a cluster; "
                "gnt-cluster init makes one, gnt-cluster master-failover takes one over"
            )
        url = file_url(DEFAULT_BACKEND, paths.store_file)
    registry = registry or Registry(PluginContext(paths=paths, node_name=host_name()))
    backend: StoreBackend = registry.get("store", scheme(url))
    return backend.open(url, create=create)
