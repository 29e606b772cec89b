"""The query engine with the master daemon's sources."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.errors import PluginError
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.locks import LockManager
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.operation import Lock
from ganeti_kernel.jobs.reading import JobReader
from ganeti_kernel.jobs.values import JOB_VALUES, job_values
from ganeti_kernel.jobs.waiting import lock_name, waits
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.operations.diagnose import os_table, provider_table, usable_nodes
from ganeti_kernel.operations.facts import storage_directory
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.query import engine, live
from ganeti_kernel.query import source as sources
from ganeti_kernel.query.filter import fields_in, requested_names
from ganeti_kernel.query.resources import job_number
from ganeti_kernel.query.source import QuerySource
from ganeti_kernel.rpc.client import NodeClient
from ganeti_kernel.rpc.results import StorageUnit
from ganeti_kernel.specs.base import Parameter

LOOK_SECONDS: Final = 5.0
"""How long what is installed is believed to be the same."""


class EngineQueries:
    """Implements `luxi.methods.Queries`.

    `facts` holds values of the cluster's fields that are not in the configuration; the daemon
    keeps it up to date ("watcher_pause").
    """

    def __init__(
        self,
        registry: Registry,
        config: SharedConfig,
        manager: JobManager,
        nodes: NodeClient,
        installed: Callable[[], object] = lambda: None,
    ) -> None:
        """`installed()` is called, in a thread, when other plugins are found than before."""
        self._registry = registry
        self._config = config
        self._manager = manager
        self._nodes = nodes
        self._installed = installed
        self._looked = time.monotonic()
        self.facts: dict[str, Any] = {}

    async def query(self, what: str, fields: Sequence[str], qfilter: Any) -> dict[str, Any]:
        source = await self._source(what, fields, qfilter)
        return await asyncio.to_thread(engine.query, what, fields, qfilter, source)

    async def query_fields(self, what: str, fields: Sequence[str] | None) -> dict[str, Any]:
        return engine.query_fields(what, fields, self._hv_parameters(what))

    async def rows(self, what: str, names: Sequence[str], fields: Sequence[str]) -> list[list[Any]]:
        source = await self._source(what, fields, None)
        return await asyncio.to_thread(engine.plain_rows, what, names, fields, source)

    async def look(self) -> None:
        """Notice what was installed or removed meanwhile."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            if await asyncio.to_thread(self._registry.refresh):
                await asyncio.to_thread(self._installed)

    # -- sources -------------------------------------------------------------------------------

    async def _source(self, what: str, fields: Sequence[str], qfilter: Any) -> QuerySource:
        """Everything the query needs, and no more."""
        await self.look()
        view = self._config.view
        source = QuerySource(view=view, hv_parameters=self._hv_parameters(what))
        plan = engine.plan(what, fields, qfilter, source)
        if sources.JOBS in plan.needs:
            archived = sources.ARCHIVED_JOBS in plan.needs
            used = {"id", *fields, *fields_in(qfilter)}
            jobs = await self._jobs(requested_names(qfilter, "id"), used, archived)
            return dataclasses.replace(source, jobs=jobs)
        if sources.CLUSTER in plan.needs:
            facts = {**self.facts, "drain_flag": self._manager.queue.drained}
            return dataclasses.replace(source, cluster=facts)
        if sources.LOCKS in plan.needs:
            return dataclasses.replace(source, rows={"lock": lock_rows(self._manager.grants.locks)})
        if sources.OS in plan.needs:
            table = os_table(view, await self._ask_usable(view, "os_diagnose"))
            return dataclasses.replace(source, rows={"os": _in_order(table)})
        if sources.EXPORTS in plan.needs:
            return dataclasses.replace(source, rows={"export": await self._exports(view)})
        if sources.EXTSTORAGE in plan.needs:
            providers = provider_table(view, await self._ask_usable(view, "extstorage_diagnose"))
            return dataclasses.replace(source, rows={"extstorage": _in_order(providers)})
        if plan.nodes or plan.instances:
            gathered = await live.gather(
                plan,
                view,
                self._nodes.call_many,
                storage=self._storage(view),
                build_guest=build_guest,
            )
            return dataclasses.replace(source, live=gathered)
        return source

    def _hv_parameters(self, what: str) -> list[Parameter]:
        """Parameters of all usable hypervisors; only instances have columns for them."""
        if what != "instance":
            return []
        plugins, _broken = self._registry.load_all("hypervisor")
        return [item for plugin in plugins.values() for item in plugin.describe().parameters]

    def _storage(self, view: ConfigView) -> list[StorageUnit]:
        """What listings show as a node's room: of the first enabled template that can tell."""
        cluster = view.cluster
        for name in cluster.enabled_disk_templates:
            try:
                description = self._registry.describe("disk_template", name)
            except PluginError:
                continue  # `gnt-plugins list` says why; here its figures are missing
            if "space" in description.features:
                directory = storage_directory(cluster, description)
                params = cluster.diskparams.get(name, {})
                return [StorageUnit(template=name, params=params, directory=directory)]
        return []

    async def _ask_usable(self, view: ConfigView, call: str) -> dict[str, Sequence[Any]]:
        """A diagnosis by node UUID; a node that does not answer is left out."""
        answers = await self._nodes.call_many(usable_nodes(view), call, {}, live.PATIENCE)
        return {uuid: answer.value for uuid, answer in answers.items() if answer.ok}

    async def _exports(self, view: ConfigView) -> list[dict[str, Any]]:
        """A row for each export, and one without for a node that cannot say (upstream 3.0)."""
        nodes = sorted(view.nodes.values(), key=lambda node: natural_key(node.name))
        answers = await self._nodes.call_many(nodes, "exports_list", {}, live.PATIENCE)
        return [
            {"node": node.name, "export": export}
            for node in nodes
            for export in (answers[node.uuid].value if answers[node.uuid].ok else [None])
        ]

    async def _jobs(
        self, wanted: Sequence[Any] | None, used: Iterable[str], archived: bool
    ) -> dict[int, Mapping[str, Any]]:
        """Job id -> values of the fields in use; all jobs of the queue, or those named."""
        fields = [name for name in JOB_VALUES if name in set(used)]
        ids = None if wanted is None else _numbers(wanted)
        reader = JobReader(self._manager, lambda: self._config.view.secrets)
        return {
            row.job.id: dict(zip(fields, job_values(row, fields), strict=True))
            async for row in reader.rows(ids, fields, archived=archived)
        }


def lock_rows(locks: LockManager) -> list[dict[str, Any]]:
    """One row a lock that somebody holds or waits for, by name.

    "waits": [job, mode, since (seconds since the epoch), [jobs it is behind]] for each waiter.
    """
    holders: dict[str, list[tuple[str, bool]]] = {}
    known: dict[str, Lock] = {}
    for owner, held in locks.owners().items():
        for lock in held:
            known[lock_name(lock)] = lock
            holders.setdefault(lock_name(lock), []).append((f"job {owner}", lock.exclusive))
    waiters = locks.waiters()
    known |= {lock_name(lock): lock for waiter in waiters for lock in waiter.claims}
    rows = []
    for name in sorted(known, key=natural_key):
        waiting = waits(locks, known[name], waiters)
        owners = holders.get(name)
        rows.append(
            {
                "name": name,
                "mode": _mode(owners[0][1]) if owners else None,
                "owner": [owner for owner, _ in owners] if owners else None,
                "pending": [[_mode(item.exclusive), [f"job {item.job}"]] for item in waiting],
                "waits": [
                    [f"job {item.job}", _mode(item.exclusive), item.since, item.behind]
                    for item in waiting
                ],
            }
        )
    return rows


def _mode(exclusive: bool) -> str:
    return "exclusive" if exclusive else "shared"


def _in_order(table: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [table[name] for name in sorted(table, key=natural_key)]


def _numbers(names: Iterable[Any]) -> list[int]:
    """Job numbers among what was asked for; the engine refuses the rest."""
    return [number for number in map(job_number, names) if number is not None]
