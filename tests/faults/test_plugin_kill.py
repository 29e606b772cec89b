"""kill -9 of a plugin's call at any moment: a repeated call finishes it, and nothing leaks."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ganeti_hypervisors_kvm import KvmHypervisor, taps
from ganeti_storage_ext_loopfile import LoopfileProvider, loop

from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.extstorage import make_volume
from ganeti_kernel.testing.hypervisor import make_guest

MOMENTS = 12
NAME = "inst1.example.com"
QEMU = shutil.which("qemu-system-x86_64") or ""

START = """
import sys
from pathlib import Path
from ganeti_hypervisors_kvm import KvmHypervisor
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.fakes import RecordingNics
from ganeti_kernel.testing.hypervisor import make_guest
context = PluginContext(paths=Paths(Path(sys.argv[1])), nics=RecordingNics())
plugin = KvmHypervisor(context)
params = {"kernel_path": "", "kvm_path": sys.argv[2], "kvm_flag": "disabled"}
guest = make_guest(plugin, "inst1.example.com", params)
print("ready", flush=True)
sys.stdin.readline()
plugin.start_instance(guest, False)
print("done", flush=True)
"""

ATTACH = """
import sys
from pathlib import Path
from ganeti_storage_ext_loopfile import LoopfileProvider
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.extstorage import make_volume
provider = LoopfileProvider(PluginContext(paths=Paths(Path(sys.argv[1]))))
volume = make_volume(0, {"sparse": "false"})
print("ready", flush=True)
sys.stdin.readline()
provider.create(volume)
provider.attach(volume)
print("done", flush=True)
"""


def run(script: str, *arguments: str, kill_after: float | None = None) -> float:
    """Run to the end, or kill after so many seconds; returns how long it took."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.stdin.write("\n")
        process.stdin.flush()
        if kill_after is not None:
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        else:
            assert process.stdout.readline() == "done\n"
        return time.monotonic() - started


def loop_devices(root: Path) -> list[str]:
    """Lines of losetup about files of this node."""
    listed = subprocess.run(["losetup", "-l", "-n"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(root) in line]


def qemus(root: Path) -> list[int]:
    """QEMU processes that have to do with this node."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if str(root).encode() in words and b"-pidfile" in words:
            found.append(int(directory.name))
    return found


def settled(root: Path) -> list[int]:
    """The QEMU processes once none is on its way into the background any more."""
    before: list[int] = []
    for _ in range(100):
        now = qemus(root)
        if now == before and len(now) <= 1:
            return now
        before = now
        time.sleep(0.05)
    return before


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(not QEMU, reason="QEMU is not installed")
@pytest.mark.skipif(not taps.usable(), reason="taps need root and /dev/net/tun")
def test_start_of_a_guest_killed_at_any_moment(
    ganeti_netns: None, ganeti_root: Path, record_property: Any
) -> None:
    plugin = KvmHypervisor(PluginContext(paths=Paths(ganeti_root)))
    guest = make_guest(plugin, NAME, {"kernel_path": "", "kvm_path": QEMU, "kvm_flag": "disabled"})
    whole = run(START, str(ganeti_root), QEMU)
    plugin.stop_instance(NAME, True, 1.0)
    running = 0
    for moment in range(MOMENTS):
        run(START, str(ganeti_root), QEMU, kill_after=whole * moment / MOMENTS)
        # At once: the QEMU that was being started is still at it.
        plugin.start_instance(guest, False)
        assert len(settled(ganeti_root)) == 1, f"moment {moment}"
        status = plugin._ask(NAME, ("query-status", {}))[0]["status"]
        assert status == "running", f"moment {moment}"
        running += 1
        plugin.stop_instance(NAME, True, 1.0)
        assert settled(ganeti_root) == []
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
        assert "tap" not in links, f"moment {moment}"
        files = [path for path in ganeti_root.glob("var/run/**/*") if not path.is_dir()]
        assert files == [], f"moment {moment}"
    record_property(
        "figure", f"{running} of {MOMENTS} starts finished after kill -9, nothing left behind"
    )


@pytest.mark.root
@pytest.mark.skipif(not loop.usable(), reason="loop devices need root and /dev/loop-control")
def test_volume_killed_at_any_moment(ganeti_root: Path) -> None:
    provider = LoopfileProvider(PluginContext(paths=Paths(ganeti_root)))
    volume = make_volume(0, {"sparse": "false"})
    whole = run(ATTACH, str(ganeti_root))
    provider.remove(volume)
    for moment in range(MOMENTS):
        run(ATTACH, str(ganeti_root), kill_after=whole * moment / MOMENTS)
        provider.create(volume)
        device = provider.attach(volume)
        mine = loop_devices(ganeti_root)
        assert len(mine) == 1, f"moment {moment}: {mine}"
        assert mine[0].split()[0] == device.path
        provider.remove(volume)
        # One that somebody looks at just now goes when he closes it.
        deadline = time.monotonic() + 10
        while loop_devices(ganeti_root) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert loop_devices(ganeti_root) == [], f"moment {moment}"
        files = [path for path in ganeti_root.glob("srv/**/*") if path.is_file()]
        assert files == [], f"moment {moment}"
