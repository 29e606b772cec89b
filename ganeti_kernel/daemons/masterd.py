"""`ganeti-masterd`: takes jobs and queries, runs jobs, and is the only writer of the state."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from ganeti_kernel.config.history import DEFAULT_KEPT, HISTORY_PREFIX, MOST_KEPT, stale_keys
from ganeti_kernel.config.keys import RESERVATIONS_PREFIX
from ganeti_kernel.config.replica import read_epoch
from ganeti_kernel.config.reservations import Reservations
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.constants import EXIT_FAILURE
from ganeti_kernel.daemons import voting
from ganeti_kernel.daemons.common import Daemon, parse_options, run_daemon
from ganeti_kernel.daemons.distribute import Distributor
from ganeti_kernel.daemons.pause import tell_pause
from ganeti_kernel.daemons.queries import EngineQueries
from ganeti_kernel.daemons.replicate import Replicator
from ganeti_kernel.errors import ConfigurationError, MasterReplaced
from ganeti_kernel.files import remove_remnants
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.livelock import Livelocks
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.orphans import end_jobs
from ganeti_kernel.jobs.processes import JobProcesses
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.server import JobServer
from ganeti_kernel.jobs.warm import WarmSpec
from ganeti_kernel.luxi.filters import FilterChain
from ganeti_kernel.luxi.methods import Methods
from ganeti_kernel.luxi.server import LuxiServer, method_table
from ganeti_kernel.node.copies import set_aside
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.paths import host_name
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.plugins.secrets import secret_parameters
from ganeti_kernel.rpc.client import NodeClient
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import MAX_OPERATIONS, Delete, Store
from ganeti_kernel.store.opening import open_store

NAME: Final = "ganeti-masterd"

UNCONFIRMED: Final = (
    "--no-voting makes two masters of one cluster when another node is the master; say --yes-do-it "
    "as well if you are sure that there is none"
)

log = logging.getLogger(NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; returns its exit code."""
    options = parse_options(
        NAME, "Take jobs and queries, and keep the cluster's configuration.", argv, add=_add_options
    )
    if not options.extra.voting and not options.extra.yes_do_it:
        print(f"{NAME}: {UNCONFIRMED}", file=sys.stderr)
        return EXIT_FAILURE
    return run_daemon(NAME, options, _run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--store", metavar="URL", help="where the state is kept (default: a file on this node)")
    flag(
        "--operations",
        metavar="MODULE",
        default="ganeti_kernel.operations",
        help="module whose import registers all operations (default %(default)s)",
    )
    flag(
        "--no-voting",
        dest="voting",
        action="store_false",
        help="be the master without asking the other nodes; needs --yes-do-it",
    )
    flag("--yes-do-it", action="store_true", help="confirm --no-voting")
    flag(
        "--voting-timeout",
        type=float,
        default=voting.VOTE_SECONDS,
        metavar="SECONDS",
        help="how long to wait for enough nodes to answer (default %(default)g)",
    )
    flag(
        "--node-calls",
        metavar="MODULE:NAME",
        default="ganeti_kernel.rpc.sync:SyncNodeClient",
        help="what makes the client for node calls in job processes (default %(default)s)",
    )
    flag(
        "--config-history",
        metavar="COUNT",
        type=_kept,
        default=DEFAULT_KEPT,
        help="earlier configurations that can be had again, 0: none (default %(default)s)",
    )


def _kept(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_KEPT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {MOST_KEPT}")
    return int(text)


async def _forget_history(committer: Committer, serial: int, kept: int) -> None:
    """Drop earlier configurations beyond those to keep, which may be fewer than before."""
    keys = await committer.read(
        lambda store: stale_keys([item.key for item in store.list(HISTORY_PREFIX)], serial, kept)
    )
    for start in range(0, len(keys), MAX_OPERATIONS):
        await committer.commit([Delete(key) for key in keys[start : start + MAX_OPERATIONS]])


async def _run(daemon: Daemon) -> None:
    registry = Registry(PluginContext(paths=daemon.paths, node_name=host_name()))
    try:
        replaced = await _serve(daemon, registry)
    except MasterReplaced:
        _end_jobs(daemon, registry)
        raise
    if replaced is not None:
        _end_jobs(daemon, registry)
        if daemon.options.extra.store is None:
            set_aside(daemon.paths)
        raise MasterReplaced(replaced)


def _end_jobs(daemon: Daemon, registry: Registry) -> None:
    """The new master brings the jobs to their end; here nothing of them may go on."""
    store = open_store(daemon.paths, daemon.options.extra.store, registry=registry)
    try:
        ended = end_jobs(daemon.paths, store)
    finally:
        store.close()
    if ended:
        log.warning("ended the processes of jobs %s", ", ".join(map(str, ended)))


async def _serve(daemon: Daemon, registry: Registry) -> str | None:
    """Serve until told to stop (None), or until replaced by another master (the text of it).

    Raises MasterReplaced when another node is the master already.
    """
    paths, extra = daemon.paths, daemon.options.extra
    remove_remnants(paths.data_dir)
    committer = Committer(open_store(paths, extra.store, registry=registry))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(committer.close)
        hidden = secret_parameters(registry)

        def installed() -> None:
            # What was hidden stays so: a plugin that is removed leaves its values behind.
            hidden.update(secret_parameters(registry))

        secrets = SecretRules(names=hidden)
        kept = extra.config_history
        writer = await committer.read(
            lambda store: ConfigWriter(store, secrets=secrets, history=kept)
        )
        _check_master(writer)
        epoch, reservations = await committer.read(_load)
        nodes = await stack.enter_async_context(NodeClient(paths, epoch))
        if extra.voting:
            await voting.check(nodes, writer.view, host_name(), epoch, extra.voting_timeout)
        await _forget_history(committer, writer.view.serial_no, kept)
        config = SharedConfig(writer, committer)
        replicator = None
        if extra.store is None:  # another store is replicated by itself
            replicator = Replicator(paths, committer, config, nodes, epoch, voting=extra.voting)
            stack.push_async_callback(replicator.stop)
            await replicator.start()
        queue = JobQueue(committer)
        await queue.load()
        manager = JobManager(Livelocks(paths), committer, queue, config, reservations)
        server = JobServer(manager, committer, epoch)
        await server.load()
        spec = WarmSpec([extra.operations], extra.node_calls)
        processes = JobProcesses(paths, spec, manager.running)
        starter = manager.starter
        starter.fork = processes.fork
        starter.judges = lambda: [FilterChain(config.view.filters.values(), starter.jobs())]

        distributor = Distributor(paths, config, nodes)
        server.settled = distributor.settled
        if replicator is not None:
            replicator.joined = distributor.tell_failed
        server.everywhere = distributor.everywhere
        queries = EngineQueries(registry, config, manager, nodes, installed)
        methods = Methods(committer, config, manager, queries)
        methods.tell_pause = partial(tell_pause, paths, lambda: config.view, nodes)
        await methods.load()
        luxi = LuxiServer(method_table(methods.table()))

        await processes.start()
        stack.push_async_callback(processes.stop)
        await manager.start()
        stack.push_async_callback(manager.stop)
        spreading = asyncio.create_task(distributor.run())
        stack.push_async_callback(_cancel, spreading)
        await server.listen(paths.job_socket)
        stack.push_async_callback(server.close)
        for path in (paths.master_socket, paths.query_socket):
            await luxi.listen(path)
        stack.push_async_callback(luxi.close)
        daemon.on_reload(registry.rescan)
        loop = asyncio.get_running_loop()
        daemon.on_reload(lambda: loop.run_in_executor(None, installed))
        daemon.ready(f"serving cluster {config.view.cluster.cluster_name}")
        return await _until_stopped(daemon, spreading, replicator)


async def _until_stopped(
    daemon: Daemon, spreading: asyncio.Task[None], replicator: Replicator | None
) -> str | None:
    """Wait for the end; a background task that dies takes the daemon with it, not in silence.

    Returns what is known of the new master when this one was replaced.
    """
    stop = asyncio.create_task(daemon.stop.wait())
    tasks: list[asyncio.Future[Any]] = [stop, spreading]
    if replicator is not None:
        tasks.append(replicator.replaced)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if spreading.done():
            spreading.result()
        if replicator is not None and replicator.replaced.done():
            return replicator.replaced.result()
        return None
    finally:
        stop.cancel()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _check_master(writer: ConfigWriter) -> None:
    master = writer.view.master
    name = host_name()
    if master is not None and master.name != name:
        raise ConfigurationError(
            f"the master node is {master.name}, this is {name}; the master daemon runs there only"
        )


def _load(store: Store) -> tuple[int, Reservations]:
    keys = [entry.key for entry in store.list(RESERVATIONS_PREFIX)]
    return read_epoch(store), Reservations.from_keys(keys)


if __name__ == "__main__":
    sys.exit(main())
