"""What the watcher does on every node: its daemons run, the administrator's scripts are run."""

from __future__ import annotations

import logging
import os
import re
from typing import Any, Final

from ganeti_kernel.daemons import control
from ganeti_kernel.errors import CommandError, GenericError
from ganeti_kernel.node import hooks
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins import process

log = logging.getLogger(__name__)

SCRIPT: Final = re.compile(r"[a-zA-Z0-9_-]+")
SCRIPT_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
ROLE_BY_NAME: Final = 1
ROLE_OFFLINE: Final = 2
"""A confd request, and the answer for an offline node (upstream 3.0)."""


def ensure(paths: Paths, names: tuple[str, ...]) -> bool:
    """Start daemons that do not run; whether all of them run now."""
    good = True
    for name in names:
        if control.pid_of(paths, name) is not None:
            continue
        log.warning("%s does not run; starting it", name)
        try:
            control.start(paths, name)
        except (GenericError, OSError) as error:
            log.error("%s cannot be started: %s", name, error)
            good = False
    return good


def run_scripts(paths: Paths) -> bool:
    """Run `hooks/watcher/`, every executable in order; whether all succeeded."""
    folder = paths.hooks_dir / "watcher"
    if not folder.is_dir():
        return True
    good = True
    for path in sorted(folder.iterdir()):
        if not SCRIPT.fullmatch(path.name) or not path.is_file() or not os.access(path, os.X_OK):
            continue
        try:
            done = process.run(
                [str(path)],
                timeout=SCRIPT_SECONDS,
                env={"PATH": hooks.SCRIPT_PATH},
                cwd="/",
                merge=True,
            )
        except CommandError as error:
            log.error("watcher script %s: %s", path.name, error)
            good = False
            continue
        if done.code:
            said = done.tail(5) or "it said nothing"
            log.error("watcher script %s failed with exit code %d: %s", path.name, done.code, said)
            good = False
    return good


def maintain(paths: Paths, name: str) -> None:
    """Stop the guests of a node that the master candidates know as offline.

    Only where the cluster asks for it (maintain_node_health).
    """
    from ganeti_kernel.confd.client import ConfdClient
    from ganeti_kernel.config.ssconf import read_ssconf

    if read_ssconf(paths, "maintain_node_health").strip() != "True":
        return
    answer = ConfdClient.of_node(paths).ask(ROLE_BY_NAME, name, coverage=-1)
    if answer.answer != ROLE_OFFLINE:
        return
    log.warning("the master candidates know this node as offline: its guests are stopped")
    for hypervisor in read_ssconf(paths, "hypervisor_list").split():
        _stop_guests(paths, name, hypervisor)


def _stop_guests(paths: Paths, name: str, hypervisor: str) -> None:
    from ganeti_kernel.node.context import NodeContext
    from ganeti_kernel.node.nics import NodeNics
    from ganeti_kernel.plugins.registry import Registry
    from ganeti_kernel.specs.base import PluginContext

    nics = NodeNics()
    registry = Registry(PluginContext(paths=paths, node_name=name, nics=nics))
    nics.use(registry)
    context: Any = NodeContext(paths, name, registry)
    with context.hypervisor(hypervisor) as plugin:
        for guest in plugin.list_instances():
            log.warning("stopping instance %s", guest.name)
            plugin.stop_instance(guest.name, True, STOP_SECONDS)
