"""A stranger's collector, installed with pip, on all nodes of a development cluster."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.testing.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NODES = 3
DISTRIBUTION = "stranger-humidity"
PACKAGE = '''\
"""Throw-away."""
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.collector import Collector

class Humidity(Collector):
    API_VERSION = 1
    @hookimpl
    def describe(self):
        return Description(name="humidity", version="1", summary="how damp it is")
    @hookimpl
    def collect(self):
        return {"node": self.context.node_name, "percent": 40}
'''
PROJECT = f"""
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"
[project]
name = "{DISTRIBUTION}"
version = "1"
description = "Throw-away"
[project.entry-points."ganeti.collectors"]
humidity = "stranger_humidity:Humidity"
"""


class Cluster:
    """A development cluster that runs from a virtual environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "cluster"
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        self.bin = venv / "bin"
        packages = next(venv.glob("lib/python3*/site-packages"))
        for index, path in enumerate(site.getsitepackages()):
            (packages / f"outer{index}.pth").write_text(f"import site; site.addsitedir({path!r})\n")
        for script in Path(sys.executable).parent.iterdir():
            if script.is_file() and b"ganeti" in script.read_bytes()[:4096]:
                self._adopt(script)

    def _adopt(self, script: Path) -> None:
        """Have the same command run with this environment's Python."""
        first, _, rest = script.read_text().partition("\n")
        if "python" in first:
            copy = self.bin / script.name
            copy.write_text(f"#!{self.bin}/python\n{rest}")
            copy.chmod(0o755)

    def command(self, *words: str | Path) -> str:
        environment = os.environ | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def devcluster(self, verb: str, *words: str) -> str:
        return self.command(self.bin / "gnt-devcluster", verb, "--root", self.root, *words)

    def pip(self, *words: str | Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "-q"]
        self.command(*pip, "--disable-pip-version-check", *words)

    def addresses(self) -> dict[str, str]:
        """Node -> address, as the nodes' own files have it."""
        path = self.root / "node1/var/lib/ganeti/ssconf_node_primary_ips"
        return dict(line.split() for line in path.read_text().splitlines())

    def reload(self) -> None:
        for pid in self.root.glob("node*/var/run/ganeti/ganeti-mond.pid"):
            os.kill(int(pid.read_text()), signal.SIGHUP)

    def reports(self) -> dict[str, Any]:
        """Node -> its report of the stranger's collector, None where there is none."""
        found: dict[str, Any] = {}
        for node, address in self.addresses().items():
            url = f"http://{address}:1815/1/report/default/humidity"
            with contextlib.suppress(urllib.error.HTTPError):  # 404 where there is none
                found[node] = None
                with urllib.request.urlopen(url, timeout=10) as answer:
                    found[node] = json.load(answer)["data"]
        return found

    def wait_for_reports(self, wanted: dict[str, Any]) -> None:
        wait_until(lambda: self.reports() == wanted, lambda: f"{wanted}, not {self.reports()}")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="gnt-coll-"))
    try:
        made = Cluster(folder)
        try:
            made.devcluster("up", "--nodes", str(NODES))
            yield made
        finally:
            down = subprocess.run(
                [made.bin / "gnt-devcluster", "down", "--root", made.root],
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert down.returncode == 0, down.stdout + down.stderr


def test_comes_and_goes_on_all_nodes(cluster: Cluster) -> None:
    nodes = cluster.addresses()
    assert len(nodes) == NODES
    cluster.wait_for_reports(dict.fromkeys(nodes))

    project = cluster.folder / "project"
    (project / "src/stranger_humidity").mkdir(parents=True)
    (project / "src/stranger_humidity/__init__.py").write_text(PACKAGE)
    (project / "pyproject.toml").write_text(PROJECT)
    cluster.pip("install", "--no-index", "--no-deps", "--no-build-isolation", project)
    cluster.reload()
    wanted = {node: {"node": node, "percent": 40} for node in nodes}
    cluster.wait_for_reports(wanted)

    seen = json.loads(cluster.devcluster("exec", "node1", "--", "gnt-mon", "--json"))
    assert {row["node"] for row in seen} == set(nodes)
    assert "no answer" not in {row["status"] for row in seen}

    cluster.pip("uninstall", "--yes", DISTRIBUTION)
    cluster.reload()
    cluster.wait_for_reports(dict.fromkeys(nodes))
