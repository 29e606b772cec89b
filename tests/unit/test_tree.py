"""The tree's own rules: one shape for every plugin, and nobody imports a neighbour."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.plugins.kinds import KINDS

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
GROUPS = {group for kind in KINDS.values() for group in (kind.group, kind.sources_group)}
KERNEL_ROOMS = {
    "specs", "objects", "errors", "paths", "constants", "units", "version", "plugins", "testing",
}  # fmt: skip
"""What a plugin may import of the kernel."""

PLUGIN_HELPERS = {"process", "devices"}
"""Modules of the kernel's plugin room that are made for plugins."""


def project_of(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())
    return project


def imports_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every imported module (dotted) of a folder's Python files."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield path, node.module
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def identifier(folder: Path) -> str:
    return str(folder.relative_to(ROOT))


def test_there_are_plugins() -> None:
    assert len(PROJECTS) > 15


@pytest.mark.parametrize("folder", PROJECTS, ids=identifier)
def test_shape(folder: Path) -> None:
    family, name = folder.parent.name, folder.name
    content = project_of(folder)
    project = content["project"]
    assert project["name"] == f"ganeti-{family}-{name}"
    assert content["build-system"]["build-backend"] == "flit_core.buildapi"
    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "BSD-2-Clause"
    assert (folder / "README.md").is_file()
    assert (folder / "src" / project["name"].replace("-", "_") / "__init__.py").is_file()
    assert list((folder / "tests").glob("test_*.py")), "no tests"
    points = project.get("entry-points", {})
    assert set(points) <= GROUPS, "an entry-point group that no kind has"
    if points:
        assert "ganeti-kernel>=0.1,<0.2" in project["dependencies"]


@pytest.mark.parametrize("folder", PROJECTS, ids=identifier)
def test_a_plugin_imports_no_other_and_only_the_public_kernel(folder: Path) -> None:
    own = project_of(folder)["project"]["name"].replace("-", "_")
    for path, module in imports_of(folder / "src"):
        head, _, rest = module.partition(".")
        if head == "ganeti_kernel" and rest:
            room, _, inner = rest.partition(".")
            assert room in KERNEL_ROOMS, f"{path} imports {module}"
            if room == "plugins" and inner:
                assert inner.partition(".")[0] in PLUGIN_HELPERS, f"{path} imports {module}"
        elif head.startswith("ganeti_"):
            assert head == own, f"{path} imports {module}"


def test_the_kernel_and_the_command_line_import_no_plugin() -> None:
    for folder in (ROOT / "ganeti_kernel", ROOT / "cli" / "ganeti_cli"):
        for path, module in imports_of(folder):
            head = module.partition(".")[0]
            if head.startswith("ganeti_"):
                assert head in ("ganeti_kernel", "ganeti_cli"), f"{path} imports {module}"


def test_the_metapackage_names_every_distribution() -> None:
    names = {project_of(folder)["project"]["name"] for folder in PROJECTS}
    extras = project_of(ROOT / "cli")["project"]["optional-dependencies"]["all"]
    assert {re.split(r"[\s<>=\[]", item)[0] for item in extras} == names


def version_of(folder: Path) -> str:
    """From the metadata, or (dynamic) from the package as flit takes it."""
    project = project_of(folder)["project"]
    if "version" in project:
        return str(project["version"])
    package = folder / "src" / project["name"].replace("-", "_") / "__init__.py"
    match = re.search(r'^__version__ = "(.+)"$', package.read_text(), re.MULTILINE)
    assert match is not None, package
    return match[1]


def test_every_version_is_the_same() -> None:
    folders = [ROOT, ROOT / "cli", *PROJECTS]
    assert {version_of(folder) for folder in folders} == {"0.1.0"}


def test_no_module_is_too_long() -> None:
    folders = [ROOT / "ganeti_kernel", ROOT / "cli", ROOT / "plugins"]
    sizes = {
        path: len(path.read_text().splitlines())
        for folder in folders
        for path in folder.rglob("*.py")
        if ".venv" not in path.parts
    }
    assert {str(path): lines for path, lines in sizes.items() if lines > 650} == {}
