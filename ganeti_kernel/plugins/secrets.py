"""Which parameters installed plugins call secret."""

from __future__ import annotations

from typing import Final

from ganeti_kernel.plugins.registry import Registry

_KINDS: Final = ("hypervisor", "disk_template", "extstorage")
"""The kinds whose parameters stand in the configuration."""


def secret_parameters(registry: Registry) -> set[str]:
    """Names of the parameters that installed plugins call secret."""
    names: set[str] = set()
    for kind in _KINDS:
        good, _broken = registry.load_all(kind)
        for plugin in good.values():
            names |= {item.name for item in plugin.describe().parameters if item.secret}
    return names
