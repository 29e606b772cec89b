"""The plugin kinds: their names, entry-point groups and contracts.

Contracts are named here by module and class, not imported: listing plugins must stay cheap.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final, cast

from ganeti_kernel.errors import PluginError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plugin.

    `name` is what commands and the configuration call it, `group` its entry-point group,
    `family` the folder of the source tree and the middle of a distribution's name, `prefix` what
    such a name has before the plugin's own.
    """

    name: str
    group: str
    family: str
    contract: str
    what: str
    prefix: str = ""

    def load_contract(self) -> type:
        """Import and return the contract class."""
        module, _, attribute = self.contract.partition(":")
        return cast("type", getattr(importlib.import_module(module), attribute))

    @property
    def sources_group(self) -> str:
        return f"{self.group}.sources"


_SPECS = "ganeti_kernel.specs"

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "hypervisor",
            "ganeti.hypervisors",
            "hypervisors",
            f"{_SPECS}.hypervisor:Hypervisor",
            "starts, stops and looks at guests",
        ),
        Kind(
            "disk_template",
            "ganeti.disk_templates",
            "storage",
            f"{_SPECS}.disk_template:DiskTemplate",
            "makes disks out of some kind of storage",
        ),
        Kind(
            "extstorage",
            "ganeti.extstorage",
            "storage",
            f"{_SPECS}.extstorage:ExtStorageProvider",
            "serves volumes of an outside storage system",
            "ext-",
        ),
        Kind(
            "network_script",
            "ganeti.network_scripts",
            "networks",
            f"{_SPECS}.network_script:NetworkScript",
            "connects NICs of a mode, or serves networks with a tag",
        ),
        Kind(
            "collector",
            "ganeti.collectors",
            "collectors",
            f"{_SPECS}.collector:Collector",
            "makes a report of the monitoring daemon",
        ),
        Kind(
            "confd_query",
            "ganeti.confd_queries",
            "queries",
            f"{_SPECS}.confd_query:ConfdQuery",
            "answers a type of confd request",
        ),
        Kind(
            "allocator",
            "ganeti.allocators",
            "allocators",
            f"{_SPECS}.allocator:Allocator",
            "says where instances go",
        ),
        Kind(
            "store",
            "ganeti.stores",
            "stores",
            f"{_SPECS}.store:StoreBackend",
            "keeps the cluster's state",
        ),
    )
}


def kind_of(name: str) -> Kind:
    """Return a kind by name (dashes and underscores alike); raises PluginError for others."""
    kind = KINDS.get(name.replace("-", "_"))
    if kind is None:
        raise PluginError(f"there is no plugin kind {name!r}; kinds are {', '.join(sorted(KINDS))}")
    return kind
