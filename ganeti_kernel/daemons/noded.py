"""`ganeti-noded`: serves the master's calls on every node."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from ganeti_kernel.constants import NODED_PORT
from ganeti_kernel.daemons import control
from ganeti_kernel.daemons.common import Daemon, parse_options, run_daemon
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.nics import NodeNics
from ganeti_kernel.node.registry import handlers
from ganeti_kernel.paths import host_name
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.rpc.server import NodeServer
from ganeti_kernel.specs.base import PluginContext

NAME = "ganeti-noded"

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the program."""
    options = parse_options(NAME, "Serve the master's calls on this node.", argv, port=NODED_PORT)
    return run_daemon(NAME, options, serve)


async def serve(daemon: Daemon) -> None:
    """Serve until told to stop, or until the node has left its cluster."""
    os.umask(0o077)  # scripts and what they make inherit it, as under upstream
    loop = asyncio.get_running_loop()
    nics = NodeNics()
    plugins = Registry(PluginContext(paths=daemon.paths, node_name=host_name(), nics=nics))
    nics.use(plugins)

    def leave() -> None:
        # Called from a call's thread: the node's other daemons have nothing to serve any more; the
        # answer goes out before this one stops.
        for name in control.NODE_DAEMONS:
            if name != NAME:
                control.stop(daemon.paths, name)
        loop.call_soon_threadsafe(loop.call_later, 0.5, daemon.stop.set)

    context = NodeContext(daemon.paths, host_name(), plugins, leave)
    server = NodeServer(daemon.paths, handlers(context))

    def reload() -> None:
        plugins.rescan()
        server.reload()

    daemon.on_reload(reload)
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


if __name__ == "__main__":
    sys.exit(main())
