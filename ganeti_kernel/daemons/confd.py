"""`ganeti-confd`: answers how the cluster is supposed to look, over UDP and TCP."""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Sequence
from typing import Final

from ganeti_kernel.confd import udp
from ganeti_kernel.confd.codec import MAX_CLOCK_SKEW
from ganeti_kernel.confd.counters import Counters, Memory
from ganeti_kernel.confd.service import SECRET_POLICIES, SECRETS_HIDDEN, Service, Settings
from ganeti_kernel.confd.tcp import TcpServer
from ganeti_kernel.confd.worker import Workers
from ganeti_kernel.constants import CONFD_PORT
from ganeti_kernel.daemons.common import Daemon, parse_options, run_daemon

NAME: Final = "ganeti-confd"
MAX_WORKERS: Final = 64

log = logging.getLogger(NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; returns its exit code."""
    options = parse_options(
        NAME,
        "Answer questions about the cluster's configuration.",
        argv,
        port=_default_port(),
        add=_add_options,
    )
    return run_daemon(NAME, options, _run, owns_data=False)


def _add_options(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--workers", type=_workers, default=1, metavar="N", help="processes to serve with")
    flag(
        "--store",
        nargs="?",
        const="",
        metavar="URL",
        help="follow the store there instead of config.data (no URL: the store of this node, the "
        "master)",
    )
    flag("--metrics", metavar="ADDRESS:PORT", help="serve counters for Prometheus there")
    flag(
        "--max-clock-skew",
        type=int,
        default=MAX_CLOCK_SKEW,
        metavar="SECONDS",
        help="how far a request's time may be off (default %(default)s)",
    )
    flag(
        "--secrets",
        choices=SECRET_POLICIES,
        default=SECRETS_HIDDEN,
        help="hide secret parameters in look-ups by path, hide-all also in lists of whole "
        "instances and disks, or show them as upstream does (default %(default)s)",
    )


async def _run(daemon: Daemon) -> None:
    extra = daemon.options.extra
    settings = Settings(
        max_skew=extra.max_clock_skew,
        secrets=extra.secrets,
        latencies=bool(extra.metrics),
        store=extra.store,
    )
    wanted = udp.addresses(daemon.options.bind)
    shared = extra.workers > 1
    own = _bind(wanted, daemon.options.port or 0, shared)
    port = own[0].getsockname()[1]
    rows = {row: _bind(wanted, port, shared) for row in range(1, extra.workers)}
    memory = Memory(extra.workers)
    service = Service(daemon.paths, settings, own, Counters(memory), port)
    tcp = TcpServer(service.responder)
    workers = Workers(settings, memory, port, daemon.options.debug)
    metrics = None
    try:
        await tcp.start(wanted, port)
        if extra.metrics:
            from ganeti_kernel.confd.metrics import start as start_metrics

            metrics = start_metrics(extra.metrics, memory)
        service.start()
        workers.start(rows)
        daemon.on_reload(service.reload)
        daemon.on_reload(workers.reload)
        daemon.ready(f"serving {', '.join(wanted)} port {port} with {extra.workers} process(es)")
        await daemon.stop.wait()
    finally:
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()
        await workers.stop()
        service.stop()
        await tcp.stop()
        for sockets in rows.values():
            for sock in sockets:
                sock.close()


def _bind(addresses: list[str], port: int, shared: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for address in addresses:
        sockets.append(udp.bind(address, port, shared=shared))
        port = sockets[0].getsockname()[1]
    return sockets


def _default_port() -> int:
    """The port that the services database names, else upstream's."""
    try:
        return socket.getservbyname(NAME, "udp")
    except OSError:
        return CONFD_PORT


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes (1-{MAX_WORKERS})")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
