"""The contracts: one module per plugin kind. This package is public API (see API-CHANGES.md)."""

from ganeti_kernel.specs.base import (
    API_AGE,
    API_VERSION,
    ClusterLookup,
    Description,
    NicScripts,
    Parameter,
    Plugin,
    PluginContext,
    PluginLookup,
    PluginSource,
    hookimpl,
    hookspec,
)

__all__ = [
    "API_AGE",
    "API_VERSION",
    "ClusterLookup",
    "Description",
    "NicScripts",
    "Parameter",
    "Plugin",
    "PluginContext",
    "PluginLookup",
    "PluginSource",
    "hookimpl",
    "hookspec",
]
