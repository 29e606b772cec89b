"""Finds directories of scripts and serves each as a provider."""

from __future__ import annotations

from collections.abc import Sequence

from ganeti_kernel.specs import PluginSource
from ganeti_storage_ext_scripts import directory
from ganeti_storage_ext_scripts.provider import ScriptProvider


class ScriptSource(PluginSource):
    """Looks anew with every call: a provider that is copied to a node is there at once."""

    API_VERSION = 1

    def names(self) -> Sequence[str]:
        return directory.names(self.context.paths.extstorage_search_path)

    def load(self, name: str) -> ScriptProvider:
        found = directory.load(name, self.context.paths.extstorage_search_path)
        return ScriptProvider(self.context, found)

    def location(self, name: str) -> str:
        path = directory.find(name, self.context.paths.extstorage_search_path)
        return str(path) if path else ""
