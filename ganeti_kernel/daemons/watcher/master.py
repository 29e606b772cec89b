"""What the watcher does on the master: its daemon answers, old jobs go, groups are watched."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from ganeti_kernel.daemons import control
from ganeti_kernel.daemons.watcher import files
from ganeti_kernel.errors import GenericError, LuxiError
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)

CHILD_DELAY: Final = 1.0
"""Seconds between the starts of two groups' watchers (upstream 3.0)."""

CHILD_SECONDS: Final = 900.0
ANSWER_SECONDS: Final = 30.0
ARCHIVE_SECONDS: Final = 30


def ensure_answer(paths: Paths) -> None:
    """Have the master daemon answer; one that runs and does not is started anew.

    Raises CommandError when it cannot be started, LuxiError when it does not answer even then.
    """
    name = control.MASTER_DAEMONS[0]
    try:
        _ping(paths)
        return
    except LuxiError as error:
        log.warning("the master daemon does not answer (%s); starting it anew", error)
    control.stop(paths, name)
    control.start(paths, name)
    _ping(paths)


def _ping(paths: Paths) -> None:
    with Client(paths.master_socket, timeout=ANSWER_SECONDS) as client:
        client.query_config_values(["cluster_name"])


def archive(paths: Paths, age: float) -> None:
    """Archive jobs that ended longer than `age` seconds ago."""
    with Client(paths.master_socket) as client:
        archived, left = client.call("AutoArchiveJobs", [age, ARCHIVE_SECONDS])
    log.debug("archived %d jobs, left %d", archived, left)


def groups(paths: Paths) -> list[tuple[str, str]]:
    """UUID and name of each node group."""
    with Client(paths.master_socket) as client:
        found = client.query("group", ["uuid", "name"])["data"]
    return [(uuid[1], name[1]) for uuid, name in found]


def watch_all(paths: Paths, options: Sequence[str], *, wait: bool) -> bool:
    """Start one process for each node group; with `wait` see them through."""
    found = groups(paths)
    files.remove_strangers(paths, [uuid for uuid, _name in found])
    children = []
    for number, (uuid, name) in enumerate(sorted(found, key=lambda item: item[1])):
        if number:
            time.sleep(CHILD_DELAY)
        argv = [sys.executable, "-m", "ganeti_kernel.daemons.watcher", "--node-group", uuid]
        child = subprocess.Popen(
            [*argv, *options], stdin=subprocess.DEVNULL, start_new_session=not wait
        )
        children.append((child, name))
    if not wait:
        return True
    ended = [_ended(child, name) for child, name in children]
    return all(ended)


def _ended(child: subprocess.Popen[bytes], name: str) -> bool:
    try:
        code = child.wait(CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        log.error("the watcher of group %s did not end in time; it goes on", name)
        return False
    if code:
        log.error("the watcher of group %s ended with exit code %d", name, code)
    return code == 0


def look_after(paths: Paths, age: float, options: Sequence[str], *, wait: bool) -> bool:
    """Everything the master's watcher does; whether all of it succeeded."""
    ensure_answer(paths)
    good = True
    try:
        archive(paths, age)
    except GenericError as error:
        log.error("cannot archive old jobs: %s", error)
        good = False
    return watch_all(paths, options, wait=wait) and good
