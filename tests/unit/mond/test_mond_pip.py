"""A stranger's collector, installed with pip, appears on all nodes after a reload; it vanishes."""

from __future__ import annotations

import site
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.mond.conftest import Mond

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NODES = 3
DISTRIBUTION = "stranger-temperature"
CODE = """
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.collector import Collector

class Temperature(Collector):
    API_VERSION = 1
    VERSION = "{version}"
    @hookimpl
    def describe(self):
        return Description(name="temperature", version="{version}", summary="how warm it is")
    @hookimpl
    def collect(self):
        return {{"celsius": {celsius}}}
"""


class Site:
    """A virtual environment that sees this one's packages and can have more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        self.python = str(venv / "bin/python")
        packages = next(venv.glob("lib/python3*/site-packages"))
        for index, path in enumerate(site.getsitepackages()):
            (packages / f"outer{index}.pth").write_text(f"import site; site.addsitedir({path!r})\n")

    def pip(self, *words: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.python, "-q"]
        subprocess.run([*command, "--disable-pip-version-check", *words], check=True, timeout=100)

    def install(self, version: str, code: str) -> None:
        project = self.folder / f"project-{version}"
        package = project / "src/stranger_temperature"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f'"""Throw-away."""\n{code}')
        (project / "pyproject.toml").write_text(
            textwrap.dedent(f"""
            [build-system]
            requires = ["flit_core"]
            build-backend = "flit_core.buildapi"
            [project]
            name = "{DISTRIBUTION}"
            version = "{version}"
            description = "Throw-away"
            [project.entry-points."ganeti.collectors"]
            temperature = "stranger_temperature:Temperature"
            """)
        )
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", project)


@pytest.fixture
def place(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def nodes(place: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Mond]]:
    mond: type[Mond] = request.getfixturevalue("mond_class")
    started: list[Mond] = []
    try:
        for index in range(NODES):
            started.append(mond(tmp_path / f"node{index + 1}", python=place.python))
        yield started
    finally:
        for node in started:
            node.stop()


def reload(nodes: list[Mond]) -> None:
    for node in nodes:
        node.reload()


def on_all(nodes: list[Mond], version: str, celsius: int) -> None:
    """Wait until every node has the report of that version."""
    path = "/1/report/default/temperature"

    def there(node: Mond) -> bool:
        answer = node.get(path)
        return answer.status == 200 and answer.json["version"] == version

    for node in nodes:
        node.eventually(partial(there, node), f"version {version}")
        assert node.get(path).json["data"] == {"celsius": celsius}
        assert ["temperature", "default", 0] in node.get("/1/list/collectors").json


def fails(node: Mond) -> bool:
    return not node.collectors()["temperature"]["ok"]


def gone(node: Mond) -> bool:
    return "temperature" not in node.collectors()


def test_comes_changes_breaks_and_goes(nodes: list[Mond], place: Site) -> None:
    others = {name for name, _category, _kind in nodes[0].get("/1/list/collectors").json}
    assert nodes[0].get("/1/report/default/temperature").status == 404

    place.install("1", CODE.format(version="1", celsius=21))
    reload(nodes)
    on_all(nodes, "1", 21)

    place.install("2", CODE.format(version="2", celsius=42))
    reload(nodes)
    on_all(nodes, "2", 42)

    place.install("3", "import no_such_module\n")
    reload(nodes)
    for node in nodes:
        node.eventually(partial(fails, node), "the broken one is told")
        assert "no_such_module" in node.collectors()["temperature"]["reason"]
        states = node.collectors()
        assert all(states[name]["ok"] for name in others)

    place.pip("uninstall", "--yes", DISTRIBUTION)
    reload(nodes)
    for node in nodes:
        node.eventually(partial(gone, node), "it is gone")
        assert node.get("/1/report/default/temperature").status == 404
        assert {name for name, _c, _k in node.get("/1/list/collectors").json} == others
