"""Names that sources offer: two of one name, and names that are switched off."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ganeti_kernel.errors import PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.discovery import Disabled, Found
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.base import Plugin, PluginSource


class Folder(PluginSource):
    def names(self) -> Sequence[str]:
        return ["alone", "twice"]

    def load(self, name: str) -> Plugin:
        raise PluginError(f"{name} was asked for")

    def location(self, name: str) -> str:
        return f"/somewhere/{name}"


class Other(Folder):
    def names(self) -> Sequence[str]:
        return ["twice"]

    def location(self, name: str) -> str:
        return f"/elsewhere/{name}"


def registry(root: Path, *disabled: str) -> Registry:
    found = [
        Found(
            kind="collector",
            name=cls.__name__.lower(),
            value=f"{__name__}:{cls.__name__}",
            distribution="test",
            version="1",
            entry_point=EntryPoint(
                cls.__name__.lower(), f"{__name__}:{cls.__name__}", "ganeti.collectors.sources"
            ),
            source=True,
        )
        for cls in (Folder, Other)
    ]
    entries = {"collector": frozenset(disabled)} if disabled else {}
    return Registry(PluginContext(paths=Paths(root)), Disabled(entries), found)


def test_one_name_of_two_sources_is_that_name_s_trouble_alone(tmp_path: Path) -> None:
    good, broken = registry(tmp_path).load_all("collector")
    assert not good
    reasons = {item.name: item.reason for item in broken}
    assert reasons["alone"] == "alone was asked for"
    assert "offered by /somewhere/twice and by /elsewhere/twice; remove one" in reasons["twice"]


@pytest.mark.parametrize("entry", ["alone", "alone@source"])
def test_a_name_that_is_switched_off_is_not_loaded(tmp_path: Path, entry: str) -> None:
    made = registry(tmp_path, entry)
    assert made.names("collector") == ["twice"]
    assert made.location("collector", "alone") == ""
    with pytest.raises(PluginError, match=r"'alone' is disabled in .*plugins"):
        made.get("collector", "alone")


def test_a_source_that_is_switched_off_settles_it(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="twice was asked for"):
        registry(tmp_path, "other").get("collector", "twice")
