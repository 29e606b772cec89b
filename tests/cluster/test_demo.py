"""The demonstration shows what it promises and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import BIN

DEMO = Path(__file__).parents[2] / "tools" / "demo"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def demo(root: Path, *args: str) -> str:
    environment = os.environ | {"DEMO_ROOT": str(root), "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [DEMO, *args], env=environment, capture_output=True, text=True, timeout=380, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def belonging(root: Path) -> list[str]:
    """Processes, mounts, loop devices and namespaces of a root directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"GANETI_ROOTDIR={root}".encode() in environment:
                found.append(f"process {command!r}")
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line]
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        if str(root) in path.read_text():
            found.append(str(path))
    return found


def namespaces() -> set[str]:
    folder = Path("/var/run/netns")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_demo() -> None:
    root = Path(tempfile.mkdtemp(prefix="gdemo-"))
    before = namespaces()
    try:
        out = demo(root)
        assert "3 nodes are up" in out
        assert len(re.findall(r"Provider: (?:dirpool|loopfile)", out)) == 2
        assert out.count("For nodegroup: default --> valid") == 2
        assert re.search(
            r"^web\.example\.com +\w+ +node2\S+ +running .* ext +192\.0\.2\.\d+$", out, re.MULTILINE
        )
        assert re.search(
            r"^mail\.example\.com +\w+ +node3\S+ +running .* file +192\.0\.2\.\d+$",
            out,
            re.MULTILINE,
        )
        assert re.search(r"^\d+ success INSTANCE_CREATE\(web\.example\.com\)$", out, re.MULTILINE)
        assert '"name": "cpu-avg-load"' in out
        assert re.search(r"gnt-confd node-ip-by-instance-ip 192\.0\.2\.\d+\n[\d.]+\n", out)
        if "the guests really boot" in out:
            assert re.search(
                r"^ganeti guest (web|mail)\.example\.com is up: eth0 192\.", out, re.MULTILINE
            )
        else:
            assert "hypervisor fake" in out
            no_qemu = shutil.which("qemu-system-x86_64") is None and "QEMU is not installed" in out
            assert no_qemu or "no guest kernel can be had" in out
    finally:
        demo(root, "stop")
    assert belonging(root) == []
    assert not root.exists()
    assert namespaces() <= before
