"""Debian's ganeti-luxid on a configuration of ours, for comparisons in the same run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.simulated import node_name
from ganeti_kernel.config import datafile
from ganeti_kernel.config.ssconf import ssconf_values, write_ssconf
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates

LUXID: Final = Path("/usr/sbin/ganeti-luxid")
START_SECONDS: Final = 60.0

FOLDERS: Final = (
    "var/log/ganeti",
    "var/run/ganeti/socket",
    "var/run/ganeti/livelocks",
    "var/run/ganeti/luxidmessages",
    "var/lib/ganeti/queue/archive",
)


@contextlib.contextmanager
def luxid(folder: Path, view: ConfigView) -> Iterator[Paths]:
    """Serve this configuration as upstream does; gives the root's paths. It wants the root
    directory to be called like the master node, and asks no node that does not listen."""
    paths = Paths(folder / node_name(1))
    for name in FOLDERS:
        (paths.root / name).mkdir(parents=True)
    paths.config_file.write_bytes(datafile.dump(view))
    write_ssconf(paths, ssconf_values(view))
    own = certificates.create_authority("ganeti.example.com")
    for name in ("server.pem", "client.pem"):
        (paths.data_dir / name).write_bytes(own.pem)
    for name in ("serial", "version"):
        (paths.data_dir / "queue" / name).write_text("1\n")
    process = subprocess.Popen(
        [LUXID, "-f", "--no-user-checks", "--no-voting", "--yes-do-it"],
        env=environment(paths),
        stderr=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + START_SECONDS
        while not (paths.run_dir / "socket" / "ganeti-query").exists():
            if process.poll() is not None or time.monotonic() > ends:
                raise SystemExit("Debian's ganeti-luxid did not start")
            time.sleep(0.05)
        yield paths
    finally:
        process.terminate()
        process.wait()


def environment(paths: Paths) -> dict[str, str]:
    """What a program needs to work on a root, ours or upstream's."""
    kept = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    return kept | {"GANETI_ROOTDIR": str(paths.root), "GANETI_HOSTNAME": node_name(1)}
