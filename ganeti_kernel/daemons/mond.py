"""ganeti-mond: tells over HTTP what is going on on this node."""

from __future__ import annotations

import gc
import logging
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final, cast

from ganeti_kernel.confd.aclient import AsyncConfdClient
from ganeti_kernel.constants import MOND_PORT
from ganeti_kernel.daemons.common import Daemon, parse_options, run_daemon
from ganeti_kernel.daemons.lookup import STATUS_OK, ConfdLookup
from ganeti_kernel.errors import ConfdClientError
from ganeti_kernel.mond.service import Options, Service
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.collector import Collector

log = logging.getLogger(__name__)

NAME: Final = "ganeti-mond"
KIND: Final = "collector"
DATA_COLLECTORS: Final = 11
SETTINGS_DEADLINE: Final = 3.0


def main(argv: Sequence[str] | None = None) -> int:
    options = parse_options(
        NAME, "Tell over HTTP what is going on on this node.", argv, port=default_port()
    )
    return run_daemon(NAME, options, serve, owns_data=False)


def default_port() -> int:
    """The port that the services database names, else upstream's."""
    try:
        return socket.getservbyname(NAME, "tcp")
    except OSError:
        return MOND_PORT


async def serve(daemon: Daemon) -> None:
    """Run until told to stop."""
    catalogue = RegistryCatalogue(daemon.paths)
    preload()
    service = Service(
        catalogue,
        Options(
            node_name=host_name(),
            address=daemon.options.bind,
            port=cast("int", daemon.options.port),
            sweep=True,
            verbose=daemon.options.debug and daemon.options.foreground,
        ),
        Settings(daemon.paths).ask,
    )
    await service.start()
    daemon.on_reload(service.reload)
    daemon.ready(f"serving reports on port {service.port}")
    try:
        await daemon.stop.wait()
    finally:
        await service.stop()


def preload() -> None:
    """Import what every collector's process would import, once, so that they share it."""
    import stevedore.extension

    import ganeti_kernel.plugins.process
    import ganeti_kernel.specs.dropped
    import ganeti_kernel.specs.instance_status
    import ganeti_kernel.specs.samples  # noqa: F401 # all of these only to have them in memory

    del stevedore
    gc.collect()
    gc.freeze()  # else the first collection in each process would copy every page


class RegistryCatalogue:
    """The plugin registry as the monitoring room wants it."""

    def __init__(self, paths: Paths) -> None:
        self._registry = Registry(
            PluginContext(paths=paths, node_name=host_name(), cluster=ConfdLookup(paths))
        )

    def installed(self) -> Sequence[str]:
        registry = self._registry
        return [item.name for item in registry.found(KIND) if not registry.is_disabled(item)]

    def offered(self) -> Sequence[str]:
        return self._registry.names(KIND)

    def load(self, name: str) -> Collector:
        return cast("Collector", self._registry.get(KIND, name))

    def rescan(self) -> None:
        self._registry.rescan()


class Settings:
    """Asks confd which collectors the cluster wants; tells the log only when that changes."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._problem: str | None = None

    async def ask(self) -> Any:
        """Return the answer to type 11, None when there is none."""
        try:
            client = AsyncConfdClient.of_node(self._paths)
            result = await cast("AsyncConfdClient", client).question(
                DATA_COLLECTORS, timeout=SETTINGS_DEADLINE
            )
        except (ConfdClientError, OSError) as error:
            self._tell(str(error))
            return None
        if result.status != STATUS_OK:
            self._tell(f"confd answers with an error: {result.answer}")
            return None
        self._tell(None)
        return result.answer

    def _tell(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            log.info("collectors run as the cluster's configuration says")
        else:
            log.info("collectors run with their defaults: %s", problem)


if __name__ == "__main__":
    sys.exit(main())
