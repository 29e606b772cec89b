"""A development cluster for tests: `gnt-devcluster` on a root directory of its own.

The programs are those beside the running Python. Use it as a context manager, or through the
fixture `ganeti_devcluster` (two nodes, one cluster for a test module).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.waiting import wait_until

BIN: Final = Path(sys.executable).parent
TIMEOUT: Final = 120.0
OS_SCRIPTS: Final = ("create", "import", "export", "rename")
NODE_DAEMONS: Final = ("ganeti-noded", "ganeti-confd", "ganeti-mond")


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class DevCluster:
    """A cluster of `nodes` nodes with hypervisor `fake`; `options` go to `gnt-devcluster up`."""

    def __init__(self, nodes: int = 2, *options: str) -> None:
        # Unix sockets lie below: the path must be short, whatever pytest's own folders are.
        self.root = Path(tempfile.mkdtemp(prefix="gdc-"))
        self.nodes = [Paths(self.root / f"node{number}") for number in range(1, nodes + 1)]
        self._options = ("--nodes", str(nodes), *options)

    def up(self) -> None:
        ran = self.run("gnt-devcluster", "up", "--root", str(self.root), *self._options)
        assert ran.code == 0, ran.out + ran.err

    def down(self) -> None:
        """Take the cluster down; fails when something of it stays behind."""
        ran = self.run("gnt-devcluster", "down", "--root", str(self.root))
        shutil.rmtree(self.root, ignore_errors=True)
        assert ran.code == 0, ran.out + ran.err

    def write_os(self, name: str, create: str = "exit 0") -> None:
        """Give each node an OS definition; `create` is the shell text of its create script."""
        for paths in self.nodes:
            folder = paths.under(f"/srv/ganeti/os/{name}")
            folder.mkdir(parents=True)
            (folder / "ganeti_api_version").write_text("10\n")
            for script in OS_SCRIPTS:
                text = create if script == "create" else "exit 0"
                (folder / script).write_text(f"#!/bin/sh\n{text}\n")
                (folder / script).chmod(0o755)

    def run(self, program: str, *args: str, **options: Any) -> Ran:
        """Run one of this installation's programs on the machine itself."""
        done = subprocess.run(
            [BIN / program, *args],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            **options,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def on(self, node: int, *argv: str) -> Ran:
        """Run a command as on a node, counted from 1."""
        head = ("exec", "--root", str(self.root), f"node{node}", "--")
        return self.run("gnt-devcluster", *head, *argv)

    def must(self, *argv: str, node: int = 1) -> str:
        """Run a command as on a node; it must succeed. Returns its output."""
        ran = self.on(node, *argv)
        assert ran.code == 0, f"{argv}: {ran.out}{ran.err}"
        return ran.out

    def processes(self, node: int) -> list[int]:
        """Everything that runs as on a node."""
        mark = f"GANETI_ROOTDIR={self.nodes[node - 1].root}\0".encode()
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def kill_host(self, node: int) -> None:
        """End everything that runs as on a node, as a power failure would."""

        def gone() -> bool:
            for pid in self.processes(node):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.processes(node)

        wait_until(gone, f"the processes of node {node} to end")

    def start_node(self, node: int) -> None:
        """Start the daemons that every node runs, not what only a master runs."""
        for name in NODE_DAEMONS:
            self.must("daemon-util", "start", name, node=node)

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()  # of what came up: nobody else will
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
