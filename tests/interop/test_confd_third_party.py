"""A request type of somebody else: installed into a running cluster's venv, and removed again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import Peer, Root

pytestmark = [pytest.mark.slow]

CONFIG = Path(__file__).parents[1] / "data/config/config.data.rich1.json"
KERNEL = Path(__file__).parents[2]

PYPROJECT = """\
[build-system]
requires = ["flit_core>=3.9,<5"]
build-backend = "flit_core.buildapi"

[project]
name = "tags-of-acme"
version = "{version}"
description = "instances by tag"
requires-python = ">=3.11"

[project.entry-points."ganeti.confd_queries"]
instances-by-tag = "tags_of_acme:InstancesByTag"
"""

MODULE = '''
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.confd_query import Answer, ConfdQuery, ok, one_string


class InstancesByTag(ConfdQuery):
    """Names of the instances that carry a tag."""

    API_VERSION = 1
    NUMBER = {number}

    @hookimpl
    def describe(self):
        return Description(name="instances-by-tag", version="{version}", summary="by tag")

    @hookimpl
    def answer(self, view, query):
        tag = one_string(query)
        if isinstance(tag, Answer):
            return tag
        names = [inst.name for inst in view.instances.values() if tag in inst.tags]
        return ok(["{version}", *sorted(names)], view.cluster.serial_no)
'''


class Venv:
    """A virtual environment of its own that sees this one's packages."""

    def __init__(self, path: Path) -> None:
        self.python = path / "bin/python"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(path)], check=True, timeout=100
        )
        here = sysconfig.get_paths()["purelib"]
        own = next(path.glob("lib/python*/site-packages"))
        lines = [f"import site; site.addsitedir({here!r})", str(KERNEL)]
        (own / "outer.pth").write_text("\n".join(lines) + "\n")

    def pip(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.python), "-m", "pip", *arguments, "-q", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def install(self, source: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", str(source))


def distribution(folder: Path, version: str, number: int = 1042) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT.format(version=version))
    source = MODULE.replace("{version}", version).replace("{number}", str(number))
    (folder / "tags_of_acme.py").write_text(source)
    return folder


def after_reload(peer: Peer, wanted: Callable[[Any], bool]) -> Any:
    """Send SIGHUP and ask until the answer is as wanted."""
    peer.process.send_signal(signal.SIGHUP)
    reply = None
    for _attempt in range(200):
        reply = peer.ask(1042, "web")
        if wanted(reply):
            return reply
        time.sleep(0.05)
    raise AssertionError(f"still {reply}: {peer.log.read_text()[-2000:]}")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_installed_served_upgraded_removed(tmp_path: Path, ganeti_root: Path, workers: str) -> None:
    venv = Venv(tmp_path / "venv")
    root = Root(ganeti_root, CONFIG.read_bytes())
    argv = [str(venv.python), "-m", "ganeti_kernel.daemons.confd", "--workers", workers]
    names = sorted(
        inst["name"]
        for inst in json.loads(CONFIG.read_text())["instances"].values()
        if "web" in inst["tags"]
    )
    assert names
    with confd_peer.running(argv, root) as peer:
        assert peer.ask(1042, "web")[0] == 2  # type: ignore[index] # None fails the test too
        venv.install(distribution(tmp_path / "one", "1.0"))
        assert after_reload(peer, lambda reply: reply[0] == 0) == (0, ["1.0", *names], 24)
        assert peer.ask(3) == (0, "node1.example.com", 24)
        venv.pip("uninstall", "-y", "tags-of-acme")
        gone = after_reload(peer, lambda reply: reply[0] == 2)
        assert "1042 is not installed" in gone.answer["text"]
        venv.install(distribution(tmp_path / "two", "2.0"))
        assert after_reload(peer, lambda reply: reply[0] == 0).answer[0] == "2.0"


def test_a_number_that_is_taken_serves_neither_and_names_both(
    tmp_path: Path, ganeti_root: Path
) -> None:
    venv = Venv(tmp_path / "venv")
    root = Root(ganeti_root, CONFIG.read_bytes())
    venv.install(distribution(tmp_path / "one", "1.0", number=3))
    with confd_peer.running([str(venv.python), "-m", "ganeti_kernel.daemons.confd"], root) as peer:
        reply = peer.ask(3)
        assert reply is not None
        assert reply.status == 2
        assert peer.ask(1, "node1.example.com") == (0, 0, 24)
        log = peer.log.read_text()
    assert "request type 3 is claimed by" in log
    assert "cluster-master" in log
    assert "instances-by-tag" in log
