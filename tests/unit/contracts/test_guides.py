"""The examples of the guides are whole: the suite they show passes on the plugin they show."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[3] / "docs/guides"
KINDS = {
    "allocators": "ganeti.allocators",
    "confd-queries": "ganeti.confd_queries",
    "disk-templates": "ganeti.disk_templates",
    "extstorage": "ganeti.extstorage",
    "hypervisors": "ganeti.hypervisors",
    "network-scripts": "ganeti.network_scripts",
    "stores": "ganeti.stores",
}
CONFIG = """\
[pytest]
markers =
    root: needs root
"""


def blocks(name: str, language: str) -> list[str]:
    text = (GUIDES / f"{name}.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_example_passes_its_suite(name: str, tmp_path: Path) -> None:
    plugin, suite = blocks(name, "python")
    (tmp_path / "example.py").write_text(plugin)
    (tmp_path / "test_example.py").write_text(suite)
    (tmp_path / "pytest.ini").write_text(CONFIG)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"\d+ passed", finished.stdout)


@pytest.mark.parametrize(("name", "group"), sorted(KINDS.items()))
def test_entry_point_names_the_example(name: str, group: str) -> None:
    (text,) = blocks(name, "toml")
    ((entry, target),) = tomllib.loads(text)["project"]["entry-points"][group].items()
    module, _, cls = target.partition(":")
    assert module == "example"
    plugin = blocks(name, "python")[0]
    assert f"class {cls}(" in plugin
    assert f'name="{entry}"' in plugin
