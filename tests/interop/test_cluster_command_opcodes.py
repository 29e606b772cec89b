"""Debian's gnt-cluster and ours, given the same words, ask the master for the same thing.

A stand-in for the master records what is submitted; both programs talk to one of their own.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ganeti_cli.cluster_nodes import layout

if TYPE_CHECKING:
    from tests.conftest import Master

NODE = "node1.example.com"
COMMON = ("dry_run", "debug_level", "priority", "reason", "depends", "comment")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
    ),
]


class Recorder:
    """Accepts every job and remembers its opcodes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opcodes: list[dict[str, Any]] = []
        self._sockets: list[socket.socket] = []
        folder = root / "var/run/ganeti/socket"
        for path in (folder, root / "var/lib/ganeti", root / "etc/ganeti", root / "var/log/ganeti"):
            path.mkdir(parents=True)
        for key, value in (("cluster_name", "cluster.example.com"), ("master_node", NODE)):
            (root / f"var/lib/ganeti/ssconf_{key}").write_text(f"{value}\n")
        for name in ("ganeti-master", "ganeti-query"):
            line = socket.socket(socket.AF_UNIX)
            line.bind(str(folder / name))
            line.listen(8)
            self._sockets.append(line)
            threading.Thread(target=self._accept, args=(line,), daemon=True).start()

    def close(self) -> None:
        for line in self._sockets:
            line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self, line: socket.socket) -> None:
        while True:
            try:
                peer, _ = line.accept()
            except OSError:
                return
            with peer:
                self._serve(peer)

    def _serve(self, peer: socket.socket) -> None:
        data = b""
        while part := peer.recv(1 << 16):
            data += part
            while b"\x03" in data:
                message, data = data.split(b"\x03", 1)
                request = json.loads(message)
                if request["method"] == "SubmitJob":
                    self.opcodes += request["args"][0]
                reply = {"success": True, "result": 7}
                peer.sendall(json.dumps(reply).encode() + b"\x03")

    def run(self, program: str, words: str) -> dict[str, Any]:
        """What the program submits, as far as it asks for something."""
        environment = {
            "GANETI_ROOTDIR": str(self.root),
            "GANETI_HOSTNAME": NODE,
            "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}",
        }
        done = subprocess.run(
            [program, *shlex.split(words)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (opcode,) = self.opcodes
        self.opcodes.clear()
        return plain(opcode)


def plain(opcode: Mapping[str, Any]) -> dict[str, Any]:
    """The opcode without common fields and empty ones, numbers as texts: the master reads both."""
    kept = {name: _texts(value) for name, value in opcode.items() if name not in COMMON}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


@pytest.fixture(scope="module")
def recorders() -> Iterator[tuple[Recorder, Recorder]]:
    with tempfile.TemporaryDirectory(prefix="gnt") as folder:
        pair = (Recorder(Path(folder) / "a" / NODE), Recorder(Path(folder) / "b" / NODE))
        yield pair
        for recorder in pair:
            recorder.close()


@pytest.mark.parametrize(
    "words",
    [
        "modify --vg-name xenvg",
        "modify --vg-name=",
        "modify --enabled-hypervisors fake,kvm",
        "modify -H fake:migration_mode=live",
        "modify -B memory=256,vcpus=2",
        "modify -N link=br0",
        "modify -D drbd:metavg=x",
        "modify --uid-pool 10-20,30",
        "modify --uid-pool=",
        "modify --add-uids 5 --remove-uids 7-9",
        "modify -C 5 --max-running-jobs 7 --max-tracked-jobs 9 --maintain-node-health yes",
        "modify --prealloc-wipe-disks no -I hail",
        "modify -I ''",
        "modify --default-iallocator-params a=b",
        "modify --reserved-lvs=a,b",
        "modify --reserved-lvs=",
        "modify --node-parameters ovs_name=x",
        "modify -m aa:bb:cc --master-netdev eth1 --master-netmask 24 --modify-etc-hosts yes",
        "modify --use-external-mip-script yes",
        "modify --hypervisor-state kvm:mem_total=3",
        "modify --disk-state lvm/xenvg:disk_total=3",
        "modify --ipolicy-std-specs memory-size=1G",
        "modify --ipolicy-bounds-specs min:memory-size=1,cpu-count=1,disk-count=0,disk-size=1,"
        "nic-count=0,spindle-use=1/max:memory-size=1G,cpu-count=2,disk-count=1,disk-size=1G,"
        "nic-count=1,spindle-use=2",
        "modify --ipolicy-disk-templates file,ext",
        "modify --ipolicy-spindle-ratio 3 --ipolicy-vcpu-ratio default",
        "modify --enabled-disk-templates file,ext",
        "modify --drbd-usermode-helper /bin/true",
        "modify --drbd-usermode-helper=",
        "modify --file-storage-dir= --shared-file-storage-dir /y",
        "modify --compression-tools gzip,lz",
        "modify --instance-communication-network n",
        "modify --install-image /i --zeroing-image /z",
        "modify --user-shutdown yes",
        "modify --enabled-data-collectors lv=no,drbd=True",
        "modify -f -C 4",
        "redist-conf",
    ],
)
def test_same_opcode(recorders: tuple[Recorder, Recorder], words: str) -> None:
    theirs = recorders[0].run("/usr/sbin/gnt-cluster", f"{words} --submit")
    ours = recorders[1].run(str(Path(sys.executable).parent / "gnt-cluster"), f"{words} --submit")
    assert ours == theirs


SSH = """#!/bin/sh
for word; do command=$word; done
echo "said by $command"; echo again; exit 3
"""


@pytest.mark.parametrize("options", [(), ("-M",), ("--failure-only",), ("-M", "--failure-only")])
def test_output_of_a_command(plain_master: Master, options: tuple[str, ...]) -> None:
    """Debian's program, with a stand-in for ssh, lays its output out as ours does."""
    programs = plain_master.paths.under("/programs")
    programs.mkdir()
    (programs / "ssh").write_text(SSH)
    (programs / "ssh").chmod(0o755)
    environment = {
        name: value for name, value in plain_master.environment.items() if "PYTHON" not in name
    }
    done = subprocess.run(
        ["/usr/sbin/gnt-cluster", "command", *options, "date"],
        env=environment | {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = layout(NODE, 3, "said by date\nagain\n", "-M" in options)
    assert done.stdout == f"{ours}\n"
