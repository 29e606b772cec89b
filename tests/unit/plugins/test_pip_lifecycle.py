"""Throw-away distributions, installed and removed with pip in a virtual environment."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.plugins.conftest import Environment

pytestmark = pytest.mark.slow

GOOD = """
from ganeti_kernel.objects import BlockDevice
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.extstorage import ExtStorageProvider

class Provider(ExtStorageProvider):
    API_VERSION = 1
    @hookimpl
    def describe(self): return Description(name={name!r}, version="1", summary="throw-away")
    @hookimpl
    def verify(self, params): return []
    @hookimpl
    def create(self, volume): pass
    @hookimpl
    def remove(self, volume): pass
    @hookimpl
    def attach(self, volume): return BlockDevice(path="/dev/null")
    @hookimpl
    def detach(self, volume): pass
    @hookimpl
    def grow(self, volume, size): pass
"""

HEAD = "class Provider(ExtStorageProvider):"
UNKNOWN_HOOK = HEAD + "\n    @hookimpl\n    def no_such_call(self): pass"
DETACH = "    @hookimpl\n    def detach(self, volume): pass\n"

# name -> (what of the good one is replaced by what, what the one line about it must say)
SPOILT = {
    "importless": (HEAD, f"import no_such_module\n{HEAD}", "ModuleNotFoundError: No module named"),
    "exiting": (HEAD, f"raise SystemExit(3)\n{HEAD}", "SystemExit: 3"),
    "asserting": (HEAD, f"assert False, 'no'\n{HEAD}", "AssertionError: no"),
    "signature": ("def grow(self, volume, size)", "def grow(self, volume)", "should be grow(self,"),
    "unmarked": ("    @hookimpl\n    def create", "    def create", "not marked with @hookimpl"),
    "lacking": (DETACH, "", "Provider lacks the method detach"),
    "stranger": (HEAD, "class Provider:", "does not derive from ganeti_kernel.specs.extstorage."),
    "ancient": ("API_VERSION = 1", "API_VERSION = 0", "written for API version 0"),
    "futuristic": ("API_VERSION = 1", "API_VERSION = 99", "needs API version 99"),
    "unhooked": (HEAD, UNKNOWN_HOOK, "unknown hook 'no_such_call'"),
    "liar": ("name='liar'", "name='honest'", "describe() calls it 'honest'"),
}


def write_distribution(folder: Path, distribution: str, name: str, code: str) -> Path:
    project = folder / distribution
    package = distribution.replace("-", "_")
    (project / "src" / package).mkdir(parents=True)
    (project / "src" / package / "__init__.py").write_text('"""Throw-away."""\n' + code)
    (project / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [build-system]
        requires = ["flit_core"]
        build-backend = "flit_core.buildapi"
        [project]
        name = "{distribution}"
        version = "1.0"
        description = "Throw-away"
        [project.entry-points."ganeti.extstorage"]
        {name} = "{package}:Provider"
        """)
    )
    return project


@pytest.fixture
def installed(environment: Environment, tmp_path: Path) -> Iterator[Any]:
    """A function that installs distributions, which are removed after the test."""
    names: list[str] = []

    def install(*items: tuple[str, str, str]) -> None:
        names.extend(item[0] for item in items)
        environment.install(*(write_distribution(tmp_path, *item) for item in items))

    yield install
    if names:
        environment.pip("uninstall", "--yes", *names)


def test_a_good_one_appears_and_vanishes(environment: Environment, tmp_path: Path) -> None:
    project = write_distribution(tmp_path, "throwaway-good", "good", GOOD.format(name="good"))
    environment.install(project)
    _code, rows = environment.plugins("list", "extstorage")
    found = next(row for row in rows if row["name"] == "good")
    assert (found["distribution"], found["state"]) == ("throwaway-good", "enabled")
    assert environment.check("extstorage")[1]["good"]["state"] == "usable"
    environment.pip("uninstall", "--yes", "throwaway-good")
    assert "good" not in {row["name"] for row in environment.plugins("list", "extstorage")[1]}
    assert "good" not in environment.check("extstorage")[1]


def test_every_kind_of_broken_one_costs_only_itself(
    environment: Environment, installed: Any
) -> None:
    items = [("throwaway-sound", "sound", GOOD.format(name="sound"))]
    for name, (old, new, _text) in SPOILT.items():
        code = GOOD.format(name=name)
        assert old in code, name
        items.append((f"throwaway-{name}", name, code.replace(old, new)))
    installed(*items)
    exit_code, rows = environment.check("extstorage")
    assert exit_code == 1
    assert rows["sound"]["state"] == "usable"
    for name, (_old, _new, text) in SPOILT.items():
        assert rows[name]["state"] == "BROKEN", rows[name]
        assert text in rows[name]["problem"]
        assert "\n" not in rows[name]["problem"]
        assert rows[name]["from"] == f"throwaway-{name} 1.0"


def test_two_offers_of_one_name_are_both_refused_until_one_is_disabled(
    environment: Environment, installed: Any
) -> None:
    code = GOOD.format(name="twice")
    installed(("throwaway-first", "twice", code), ("throwaway-second", "twice", code))
    exit_code, rows = environment.check("extstorage")
    assert exit_code == 1
    assert "throwaway-first 1.0" in rows["twice"]["problem"]
    assert "throwaway-second 1.0" in rows["twice"]["problem"]
    assert 'disabled.extstorage = ["twice@throwaway-first"]' in rows["twice"]["problem"]
    settings = environment.root / "etc" / "ganeti" / "plugins.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[disabled]\nextstorage = ["twice@throwaway-first"]\n')
    try:
        exit_code, rows = environment.check("extstorage")
        assert rows["twice"]["state"] == "usable"
        assert rows["twice"]["from"] == "throwaway-second 1.0"
        settings.write_text('[disabled]\nextstorage = ["twice"]\n')
        assert "twice" not in environment.check("extstorage")[1]
        settings.write_text("[disabled\n")
        exit_code, rows = environment.check("extstorage")
        assert exit_code == 1  # and the other plugins stay usable
        assert rows["twice"]["state"] == "BROKEN"
    finally:
        settings.unlink()


def test_disabling_needs_no_import(environment: Environment, installed: Any) -> None:
    installed(("throwaway-bomb", "bomb", "raise SystemExit(9)\n" + GOOD.format(name="bomb")))
    settings = environment.root / "etc" / "ganeti" / "plugins.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('[disabled]\nextstorage = ["bomb"]\n')
    try:
        code, rows = environment.check("extstorage")
        assert "bomb" not in rows
        assert code == 0
        _code, listed = environment.plugins("list", "extstorage")
        assert next(row for row in listed if row["name"] == "bomb")["state"] == "disabled"
    finally:
        settings.unlink()
