"""`ganeti-watcher`: run every few minutes on every node, it restarts what should run.

Options, files and exit codes are upstream 3.0's.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from typing import Final

from ganeti_kernel.constants import (
    EXIT_FAILURE,
    EXIT_NOT_CLUSTER,
    EXIT_NOT_MASTER,
    EXIT_SUCCESS,
)
from ganeti_kernel.daemons import control
from ganeti_kernel.daemons.watcher import files, group, master, node
from ganeti_kernel.errors import GenericError, UnitParseError
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.units import parse_duration
from ganeti_kernel.version import SOFTWARE_VERSION

NAME: Final = "ganeti-watcher"
JOB_AGE: Final = "6h"

log = logging.getLogger(NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the program; returns its exit code."""
    options = _parse(argv)
    try:
        paths = Paths.from_environment()
        if not paths.ssconf("cluster_name").exists():
            print(f"{NAME}: this machine is no node of a cluster", file=sys.stderr)
            return EXIT_NOT_CLUSTER
        _log_to(paths, debug=options.debug)
    except (OSError, ValueError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return EXIT_FAILURE
    try:
        until = files.paused_until(paths, time.time())
        if until is not None and not options.ignore_pause:
            end = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(until))
            log.info("paused until %s; gnt-cluster watcher continue ends the pause", end)
            return EXIT_SUCCESS
        if options.node_group:
            return _one_group(paths, options)
        with files.locked(paths.lock_dir / "ganeti-watcher.lock", "another watcher"):
            return _all(paths, options)
    except (GenericError, OSError) as error:
        log.error("%s", error)
        print(f"{NAME}: {error}", file=sys.stderr)
        return EXIT_FAILURE


def _all(paths: Paths, options: argparse.Namespace) -> int:
    good = node.ensure(paths, control.NODE_DAEMONS)
    good = node.run_scripts(paths) and good
    try:
        node.maintain(paths, host_name())
    except GenericError as error:
        log.error("node maintenance: %s", error)
        good = False
    if not control.is_master(paths):
        log.debug("this node is not the master")
        return EXIT_NOT_MASTER if good else EXIT_FAILURE
    passed = [
        flag
        for flag, on in (
            ("--debug", options.debug),
            ("--ignore-pause", options.ignore_pause),
            ("--no-verify-disks", options.no_verify_disks),
            ("--no-strict", options.no_strict),
        )
        if on
    ]
    good = master.look_after(paths, options.job_age, passed, wait=options.wait_children) and good
    return EXIT_SUCCESS if good else EXIT_FAILURE


def _one_group(paths: Paths, options: argparse.Namespace) -> int:
    if not control.is_master(paths):
        log.error("node groups are watched on the master node only")
        return EXIT_NOT_MASTER
    good = group.watch_group(
        paths,
        options.node_group,
        verify_disks=not options.no_verify_disks,
        strict=not options.no_strict,
    )
    return EXIT_SUCCESS if good else EXIT_FAILURE


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Restart what should run on this node; on the master, in the whole cluster.",
        allow_abbrev=False,
    )
    flag = parser.add_argument
    flag("-d", "--debug", action="store_true", help="log details, to standard error too")
    flag("-A", "--job-age", type=_age, default=JOB_AGE, metavar="AGE",
         help=f"archive jobs that ended longer ago (default {JOB_AGE})")  # fmt: skip
    flag("--ignore-pause", action="store_true", help="run although the watcher is paused")
    flag("--wait-children", action="store_true", default=True, help="see all groups through")
    flag("--no-wait-children", action="store_false", dest="wait_children",
         help="leave the groups' watchers to themselves")  # fmt: skip
    flag("--no-verify-disks", action="store_true", help="do not look at disks")
    flag("--no-strict", action="store_true", help="look at disks without waiting for all locks")
    flag("--rapi-ip", metavar="ADDRESS", help="taken for upstream's sake: there is no RAPI yet")
    flag("--node-group", metavar="UUID", help="look after one node group (used by the watcher)")
    flag("--version", action="version", version=f"{NAME} {SOFTWARE_VERSION}")
    return parser.parse_args(argv)


def _age(text: str) -> float:
    try:
        return parse_duration(text)
    except UnitParseError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _log_to(paths: Paths, *, debug: bool) -> None:
    root = logging.getLogger()
    paths.log_dir.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(paths.log_dir / "watcher.log")]
    if debug:
        handlers.append(logging.StreamHandler())
    form = logging.Formatter(f"%(asctime)s: {NAME} pid=%(process)d %(levelname)s %(message)s")
    for handler in handlers:
        handler.setFormatter(form)
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
