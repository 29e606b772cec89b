"""`ganeti-noded`: serves the master's calls on every node."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from ganeti_kernel.constants import NODED_PORT
from ganeti_kernel.daemons import control
from ganeti_kernel.daemons.common import Daemon, parse_options, run_daemon
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.files import remove_remnants
from ganeti_kernel.jobs.orphans import end_jobs
from ganeti_kernel.node.context import NodeContext, Services
from ganeti_kernel.node.nics import NodeNics
from ganeti_kernel.node.registry import handlers
from ganeti_kernel.paths import host_name
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.rpc.server import NodeServer
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.store import local

NAME = "ganeti-noded"

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the program."""
    options = parse_options(NAME, "Serve the master's calls on this node.", argv, port=NODED_PORT)
    return run_daemon(NAME, options, serve)


class NodeServices(Services):
    """This machine's daemons, as node calls need them; called from calls' threads."""

    def __init__(self, daemon: Daemon, plugins: Registry, loop: asyncio.AbstractEventLoop) -> None:
        self._daemon = daemon
        self._paths = daemon.paths
        self._plugins = plugins
        self._loop = loop

    def leaving(self) -> None:
        for name in control.NODE_DAEMONS:
            if name != NAME:
                control.stop(self._paths, name)

    def left(self) -> None:
        # the answer goes out before this daemon stops
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.5, self._daemon.stop.set)

    def master_runs(self) -> bool:
        return any(control.pid_of(self._paths, name) for name in control.MASTER_DAEMONS)

    def stop_master(self) -> list[str]:
        ended = [name for name in control.MASTER_DAEMONS if control.pid_of(self._paths, name)]
        for name in ended:
            control.stop(self._paths, name)
        if self._paths.store_file.exists():
            store = local.open_file(self._plugins, self._paths.store_file, create=False)
            try:
                ended += [f"job {number}" for number in end_jobs(self._paths, store)]
            finally:
                store.close()
        return ended

    def reload(self, name: str) -> None:
        pid = control.pid_of(self._paths, name)
        if pid is not None:
            os.kill(pid, signal.SIGHUP)


async def serve(daemon: Daemon) -> None:
    """Serve until told to stop, or until the node has left its cluster."""
    os.umask(0o077)  # scripts and what they make inherit it, as under upstream
    remove_remnants(daemon.paths.data_dir)
    loop = asyncio.get_running_loop()
    nics = NodeNics()
    plugins = Registry(PluginContext(paths=daemon.paths, node_name=host_name(), nics=nics))
    nics.use(plugins)

    context = NodeContext(daemon.paths, host_name(), plugins, NodeServices(daemon, plugins, loop))
    server = NodeServer(daemon.paths, handlers(context))

    daemon.on_reload(plugins.rescan)
    port = daemon.options.port
    address = daemon.options.bind
    try:
        port = await server.start(address, NODED_PORT if port is None else port)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address or 'any address'} port {port}: {error.strerror or error}"
        ) from None
    daemon.ready(f"serving node calls on {address or '*'} port {port}")
    await daemon.stop.wait()
    await server.close()
    context.replica.close()


if __name__ == "__main__":
    sys.exit(main())
