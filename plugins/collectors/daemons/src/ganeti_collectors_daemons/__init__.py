"""The cluster's daemons on this node: which run, what they use, which should and do not."""

from __future__ import annotations

__version__ = "0.1.0"

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.collector import (
    BAD,
    KIND_STATUS,
    OK,
    Collector,
    Field,
    merge_status,
    status,
)
from ganeti_kernel.specs.reading import read_text

PID_FILES = "ganeti-*.pid"
EVERY_NODE, CANDIDATE, MASTER = "every node", "master candidates", "the master"

EXPECTED = (
    (("ganeti-noded",), EVERY_NODE),
    (("ganeti-mond",), EVERY_NODE),
    (("ganeti-confd",), CANDIDATE),
    (("ganeti-masterd", "ganeti-luxid"), MASTER),
)
"""Daemons that should run, and where; of several names one will do (ours, upstream's).

The REST interface is not among them: a site may do without. If it ran once, it is reported."""

START_SLACK = 60.0
"""Seconds by which a process may look younger than its pid file: it writes it when it starts."""


def _field(key: str, text: str, **more: Any) -> Field:
    return Field(path=f"daemons[].{key}", help=text, **more)


class Daemons(Collector):
    API_VERSION = 1
    CATEGORY = "daemon"
    KIND = KIND_STATUS
    FIELDS = (
        Field(path="status.code", help="0, or 4 when a daemon is missing", metric="status_code"),
        Field(path="status.message", type="string", help="what is wrong, a line for each daemon"),
        _field("name", "name of the daemon", type="string", label=True),
        _field("running", "whether it runs", type="bool", metric="running"),
        _field("expected", "where it should run; null: nowhere in particular", type="string"),
        _field("pid", "process id, null when it does not run", metric="process_id"),
        _field(
            "memory",
            "memory it uses",
            unit="bytes",
            metric="resident_memory_bytes",
        ),
        _field(
            "cpu",
            "CPU time it used",
            type="float",
            unit="seconds",
            metric="cpu_seconds_total",
            counter=True,
        ),
        _field("uptime", "how long it runs", type="float", unit="seconds", metric="uptime_seconds"),
        _field("threads", "threads it has", metric="threads"),
        _field("files", "file descriptors it has open, null when that is not told"),
        _field("status.code", "0, or 4 when it should run and does not", metric="daemon_code"),
        _field("status.message", "what is wrong, empty if nothing", type="string"),
    )

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="daemons", version=__version__, summary="the cluster's daemons on this node"
        )

    @hookimpl
    def precondition(self) -> str | None:
        path = self.context.paths.ssconf("cluster_name")
        return None if path.exists() else f"this node belongs to no cluster ({path} is missing)"

    @hookimpl
    def collect(self) -> Any:
        paths = self.context.paths
        entries = list(look(paths, roles(paths, self.context.node_name)))
        return {
            "status": merge_status(
                (item["status"]["code"], item["status"]["message"]) for item in entries
            ),
            "daemons": entries,
        }


def roles(paths: Paths, node: str) -> frozenset[str]:
    """What this node is in its cluster, by the node's own files."""
    found = {EVERY_NODE}
    for role, key in ((MASTER, "master_node"), (CANDIDATE, "master_candidates")):
        try:
            if node in read_text(paths.ssconf(key)).split():
                found.add(role)
        except CommandError:  # the file is not there yet: nothing is expected of this role
            continue
    return frozenset(found)


def look(paths: Paths, here: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Every daemon that has a pid file or should run, by name."""
    files = {path.stem: path for path in paths.run_dir.glob(PID_FILES)}
    wanted: dict[str, str] = {}
    for names, role in EXPECTED:
        if role in here:
            wanted[next((name for name in names if name in files), names[0])] = role
    for name in sorted({*files, *wanted}):
        usage = _usage(files[name]) if name in files else None
        place = wanted.get(name)
        missing = usage is None and place is not None
        yield {
            "name": name,
            "running": usage is not None,
            "expected": place,
            **(usage or {"pid": None}),
            "status": status(BAD, f"{name} does not run") if missing else status(OK),
        }


def _usage(pid_file: Path) -> dict[str, Any] | None:
    """What the process uses; None when it does not run or the number is another's now."""
    try:
        pid = int(read_text(pid_file, 64).strip())
        written = pid_file.stat().st_mtime
        fields = read_text(f"/proc/{pid}/stat", 4096).rpartition(")")[2].split()
        pages = int(read_text(f"/proc/{pid}/statm", 4096).split()[1])
    except (CommandError, OSError, ValueError, IndexError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / ticks
    if time.time() - uptime > written + START_SLACK:
        return None
    return {
        "pid": pid,
        "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        "cpu": (int(fields[11]) + int(fields[12])) / ticks,
        "uptime": round(uptime, 2),
        "threads": int(fields[17]),
        "files": _open_files(pid),
    }


def _open_files(pid: int) -> int | None:
    try:
        return sum(1 for _entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # another user's process
        return None
