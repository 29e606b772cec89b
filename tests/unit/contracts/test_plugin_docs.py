"""What documents say of contracts and plugins is what the code says."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ganeti_kernel.plugins.checking import contract_methods
from ganeti_kernel.plugins.discovery import parse_disabled
from ganeti_kernel.plugins.kinds import KINDS
from ganeti_kernel.specs.base import API_AGE, API_VERSION
from ganeti_kernel.specs.store import Store
from ganeti_kernel.version import SOFTWARE_VERSION

ROOT = Path(__file__).parents[3]
INDEX = ROOT / "docs/guides/index.md"
CHANGES = ROOT / "API-CHANGES.md"


def row_of(kind: str) -> str:
    """The kind's row in the index's table."""
    match = re.search(rf"^\| {kind} \|.*$", INDEX.read_text(), re.MULTILINE)
    assert match is not None, f"the index does not name {kind}"
    return match[0]


def guide_of(kind: str) -> Path:
    """The page that the index links for a kind."""
    match = re.search(r"\]\((.+?\.md)\)", row_of(kind))
    assert match is not None
    return INDEX.parent / match[1]


def headings(text: str) -> dict[str, list[str]]:
    """Method -> names of its arguments, as headings like "### `grow(volume: Volume)`" say."""
    found = re.findall(r"^### `(\w+)\((.*)\) -> .*`$", text, re.MULTILINE)
    return {name: re.findall(r"(?:^|, )(\w+):", arguments) for name, arguments in found}


def arguments_of(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)[1:]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_headings_are_the_contracts_methods(kind: str) -> None:
    contract = KINDS[kind].load_contract()
    wanted = {name: getattr(contract, name) for name in contract_methods(contract)}
    if kind == "store":
        wanted |= {name: getattr(Store, name) for name in Store.__abstractmethods__}
    assert "describe" in wanted
    found = headings(guide_of(kind).read_text())
    assert found == {name: arguments_of(function) for name, function in wanted.items()}


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "tools/plugin-docs", "--check"],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_index_is_that_of_the_kinds() -> None:
    rows = re.findall(r"^\| (\w+) \| .* `ganeti\.\w+` \|", INDEX.read_text(), re.MULTILINE)
    assert rows == list(KINDS)
    for kind in KINDS.values():
        assert f"| {kind.what} |" in row_of(kind.name)
        assert f"`{kind.group}`" in row_of(kind.name)


def test_links_lead_somewhere() -> None:
    for page in [CHANGES, *(ROOT / "docs/guides").glob("*.md"), *ROOT.glob("docs/reference/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_example_of_switching_off_is_read() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", INDEX.read_text(), re.DOTALL)
    disabled = parse_disabled(block)
    assert disabled.covers("hypervisor", "kvm", "anybody's")
    assert disabled.covers("extstorage", "mysan", "ganeti-storage-ext-mysan")
    assert not disabled.covers("extstorage", "mysan", "another")


def test_every_version_has_its_section() -> None:
    text = CHANGES.read_text()
    versions = [int(number) for number in re.findall(r"^## Version (\d+)$", text, re.MULTILINE)]
    assert versions == list(range(API_VERSION, 0, -1))
    newest = text.partition(f"## Version {API_VERSION}\n")[2].partition("\n## ")[0]
    assert f"`API_AGE` is {API_AGE}" in newest
    assert "What an author must do:" in newest
    assert f"`API_VERSION = {API_VERSION}`" in newest
    major, minor = map(int, SOFTWARE_VERSION.split(".")[:2])
    assert f"`ganeti-kernel>={major}.{minor},<{major}.{minor + 1}`" in newest


def test_public_rooms_are_those_that_the_tree_keeps_to() -> None:
    """What the index calls public is what the tree's own plugins use."""
    text = (ROOT / "tests/unit/test_tree.py").read_text()
    rooms = re.search(r"KERNEL_ROOMS = \{(.*?)\}", text, re.DOTALL)
    assert rooms is not None
    public = {"specs", "objects", "errors", "paths", "constants", "testing"}
    assert public <= set(re.findall(r'"(\w+)"', rooms[1]))
    for room in public:
        assert f"ganeti_kernel.{room}" in CHANGES.read_text()


def test_tool_names_a_page_that_is_not_current(tmp_path: Path) -> None:
    """On a copy of what it reads and writes."""
    for part in ("tools", "docs"):
        subprocess.run(["cp", "-r", ROOT / part, tmp_path], check=True)
    for project in [ROOT, *(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))]:
        target = tmp_path / project.relative_to(ROOT)
        target.mkdir(parents=True, exist_ok=True)
        (target / "pyproject.toml").write_bytes((project / "pyproject.toml").read_bytes())
        assert tomllib.loads((target / "pyproject.toml").read_text())["project"]["name"]
    guide = tmp_path / "docs/guides/stores.md"
    guide.write_text(guide.read_text().replace("revision() -> int", "revision() -> float"))
    command = [sys.executable, "tools/plugin-docs"]
    checked = subprocess.run(
        [*command, "--check"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (checked.returncode, checked.stdout) == (
        1,
        "docs/guides/stores.md is not current: run .venv/bin/python tools/plugin-docs\n",
    ), checked.stderr
    subprocess.run(command, cwd=tmp_path, check=True, timeout=100)
    assert guide.read_text() == (ROOT / "docs/guides/stores.md").read_text()
