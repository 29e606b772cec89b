"""What each LUXI method does (upstream 3.0's names, arguments and results)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from ganeti_kernel.config.changes import Change, new_uuid
from ganeti_kernel.config.keys import META_WATCHER_PAUSE
from ganeti_kernel.errors import GenericError, JobLost, OpCodeUnknown, OpPrereqError, ParameterError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.opcodes import Opcode, decode_opcode
from ganeti_kernel.jobs.reading import JobReader
from ganeti_kernel.jobs.values import check_fields, job_values
from ganeti_kernel.luxi.clusterinfo import cluster_info, config_values
from ganeti_kernel.luxi.codec import BadRequest
from ganeti_kernel.luxi.filters import check_rule
from ganeti_kernel.objects import FilterRule, to_wire
from ganeti_kernel.specs.store import Change as StoreChange
from ganeti_kernel.specs.store import Delete, Put

JobId = Annotated[int, Meta(gt=0)] | Annotated[str, Meta(pattern="^[0-9]{1,15}$")]
"""Upstream's clients send what the user typed."""

MAX_WAIT: Final = 89.0
"""Longest that WaitForJobChange waits (upstream 3.0)."""

NO_CHANGE: Final = "nochange"


class Queries(Protocol):
    """The query engine with its sources.

    `facts`: values of the cluster's fields that the daemon keeps ("watcher_pause").
    """

    facts: dict[str, Any]

    async def look(self) -> None:
        """Notice plugins that were installed or removed meanwhile."""

    async def query(self, what: str, fields: Sequence[str], qfilter: Any) -> dict[str, Any]:
        """Return {"fields", "data"}; raises OpPrereqError, QueryFilterParseError."""

    async def query_fields(self, what: str, fields: Sequence[str] | None) -> dict[str, Any]:
        """Return {"fields"}."""

    async def rows(self, what: str, names: Sequence[str], fields: Sequence[str]) -> list[list[Any]]:
        """Old-style rows: plain values, all objects when no name is given."""


class Methods:
    """The methods; `table` maps LUXI names to them."""

    def __init__(
        self, committer: Committer, config: SharedConfig, manager: JobManager, queries: Queries
    ) -> None:
        self._committer = committer
        self._config = config
        self._manager = manager
        self._queue = manager.queue
        self._queries = queries
        self.tell_pause: Callable[[float | None], Awaitable[None]] = _tell_nobody
        self._jobs = JobReader(manager, lambda: config.view.secrets)

    async def load(self) -> None:
        entry = await self._committer.read(lambda store: store.get(META_WATCHER_PAUSE))
        pause = msgspec.json.decode(entry.value, type=float) if entry else None
        self._queries.facts["watcher_pause"] = pause

    def table(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        return {
            "SubmitJob": self.submit_job,
            "SubmitJobToDrainedQueue": self.submit_job_to_drained_queue,
            "SubmitManyJobs": self.submit_many_jobs,
            "WaitForJobChange": self.wait_for_job_change,
            "CancelJob": self.cancel_job,
            "ChangeJobPriority": self.change_job_priority,
            "ArchiveJob": self.archive_job,
            "AutoArchiveJobs": self.auto_archive_jobs,
            "SetDrainFlag": self.set_drain_flag,
            "SetWatcherPause": self.set_watcher_pause,
            "Query": self.query,
            "QueryFields": self.query_fields,
            "QueryJobs": self.query_jobs,
            "QueryInstances": self._old_style("instance"),
            "QueryNodes": self._old_style("node"),
            "QueryGroups": self._old_style("group"),
            "QueryNetworks": self._old_style("network"),
            "QueryFilters": self.query_filters,
            "QueryExports": self.query_exports,
            "QueryClusterInfo": self.query_cluster_info,
            "QueryConfigValues": self.query_config_values,
            "QueryTags": self.query_tags,
            "ReplaceFilter": self.replace_filter,
            "DeleteFilter": self.delete_filter,
        }

    # -- jobs ----------------------------------------------------------------------------------

    async def submit_job(self, ops: list[dict[str, Any]]) -> int:
        return await self._submit_one("SubmitJob", ops, even_drained=False)

    async def submit_job_to_drained_queue(self, ops: list[dict[str, Any]]) -> int:
        return await self._submit_one("SubmitJobToDrainedQueue", ops, even_drained=True)

    async def _submit_one(self, name: str, ops: list[dict[str, Any]], even_drained: bool) -> int:
        job = _decode_ops(ops)
        if isinstance(job, GenericError):
            raise BadRequest(f"{name}: {job}")
        ((ok, value),) = await self._queue.submit([job], even_drained=even_drained)
        if not ok:
            raise OpPrereqError(str(value), "wrong_input")
        return int(value)

    async def submit_many_jobs(
        self, jobs: list[list[dict[str, Any]]]
    ) -> list[tuple[bool, int | str]]:
        """As upstream: opcodes that cannot be read refuse the whole request."""
        decoded = []
        for number, ops in enumerate(jobs, 1):
            job = _decode_ops(ops)
            if isinstance(job, GenericError):
                raise BadRequest(f"SubmitManyJobs: job {number}: {job}; none was submitted")
            decoded.append(job)
        return await self._queue.submit(decoded)

    async def wait_for_job_change(
        self,
        job_id: JobId,
        fields: list[str],
        previous: Any,
        log_serial: int | None,
        timeout: float,
    ) -> Any:
        number = int(job_id)
        deadline = time.monotonic() + min(max(timeout, 0.0), MAX_WAIT)
        while True:
            row = await self._jobs.row(number, [*fields, "oplog"])
            if row is None:
                raise JobLost(f"Job {number} not found in queue")
            values = job_values(row, fields)
            entries = (entry for log in row.logs.values() for entry in log)
            new = (entry for entry in entries if entry.serial > (log_serial or 0))
            logs = sorted(new, key=lambda entry: entry.serial)
            # A job that has ended is told at once, also when nothing is new: upstream's clients
            # ask again after its last log entry and would wait for ever.
            if values != previous or logs or row.job.final:
                return [values, logs]
            left = deadline - time.monotonic()
            if left <= 0:
                return NO_CHANGE
            await self._queue.wait_change(number, left)

    async def cancel_job(self, job_id: JobId, kill: bool = False) -> tuple[bool, str]:
        return await self._manager.cancel(int(job_id), kill)

    async def change_job_priority(self, job_id: JobId, priority: int) -> tuple[bool, str]:
        return await self._manager.change_priority(int(job_id), priority)

    async def archive_job(self, job_id: JobId) -> bool:
        return await self._queue.archive(int(job_id))

    async def auto_archive_jobs(self, age: float, timeout: float) -> tuple[int, int]:
        return await self._queue.auto_archive(age, timeout)

    async def set_drain_flag(self, flag: bool) -> bool:
        await self._queue.set_drain(flag)
        return True

    async def set_watcher_pause(self, until: float | None) -> float | None:
        change: StoreChange = Delete(META_WATCHER_PAUSE)
        if until is not None:
            if until < time.time():
                raise OpPrereqError("the end of the pause is in the past", "wrong_input")
            change = Put(META_WATCHER_PAUSE, msgspec.json.encode(until))
        await self._committer.commit([change])
        self._queries.facts["watcher_pause"] = until
        await self.tell_pause(until)
        return until

    async def query_jobs(self, ids: list[JobId] | None, fields: list[str]) -> list[Any]:
        check_fields(fields)
        if not ids:
            return [job_values(row, fields) async for row in self._jobs.rows(None, fields)]
        rows = [await self._jobs.row(int(job_id), fields) for job_id in ids]
        return [None if row is None else job_values(row, fields) for row in rows]

    # -- queries -------------------------------------------------------------------------------

    async def query(self, what: str, fields: list[str], qfilter: Any = None) -> dict[str, Any]:
        return await self._queries.query(what, fields, qfilter)

    async def query_fields(self, what: str, fields: list[str] | None = None) -> dict[str, Any]:
        return await self._queries.query_fields(what, fields)

    def _old_style(self, what: str) -> Callable[..., Awaitable[Any]]:
        async def rows(
            names: list[str] | None,
            fields: list[str],
            use_locking: bool = False,  # noqa: ARG001 # upstream sends it, nothing is locked
        ) -> list[list[Any]]:
            return await self._queries.rows(what, names or [], fields)

        return rows

    async def query_exports(self, nodes: list[str], use_locking: bool = False) -> list[list[Any]]:
        return await self._queries.rows("export", nodes, ["node", "export"])

    async def query_cluster_info(self) -> dict[str, Any]:
        await self._queries.look()
        return cluster_info(self._config.view)

    async def query_config_values(self, fields: list[str]) -> list[Any]:
        return config_values(
            self._config.view,
            fields,
            self._queue.drained,
            self._queries.facts["watcher_pause"],
        )

    async def query_tags(self, kind: str, name: str | None = None) -> list[str]:
        view = self._config.view
        find: dict[str, Callable[[str], Any]] = {
            "cluster": lambda _name: view.cluster,
            "node": view.find_node,
            "nodegroup": view.find_group,
            "instance": view.find_instance,
            "network": view.find_network,
        }
        if kind not in find:
            raise OpPrereqError(f"{kind!r} has no tags; there are {', '.join(find)}", "wrong_input")
        found = find[kind](name or "")
        if found is None:
            raise OpPrereqError(f"{kind} {name!r} is not known", "unknown_entity")
        return sorted(found.tags)

    # -- filters -------------------------------------------------------------------------------

    async def query_filters(self, uuids: list[str] | None, fields: list[str]) -> list[list[Any]]:
        return await self._queries.rows("filter", uuids or [], fields)

    async def replace_filter(
        self,
        uuid: str | None,
        priority: int,
        predicates: list[Any],
        action: Any,
        reason: list[Any],
    ) -> str:
        rules = self._config.view.filters
        old = rules.get(uuid) if uuid else None
        if uuid and old is None:
            raise OpPrereqError(f"there is no job filter {uuid}", "unknown_entity")
        rule = FilterRule(
            uuid=uuid or new_uuid(),
            serial_no=old.serial_no if old else 1,
            watermark=self._queue.last_id,
            priority=priority,
            predicates=predicates,
            action=action,
            reason_trail=reason,
        )
        check_rule(rule)
        change = Change("filters", rule.uuid, old.serial_no if old else 0, to_wire(rule))
        await self._config.change([change])
        self._manager.starter.kick()
        return rule.uuid

    async def delete_filter(self, uuid: str) -> None:
        old = self._config.view.filters.get(uuid)
        if old is None:
            raise OpPrereqError(f"there is no job filter {uuid}", "unknown_entity")
        await self._config.change([Change("filters", uuid, old.serial_no, None)])
        self._manager.starter.kick()


async def _tell_nobody(_until: float | None) -> None:
    """Where there are no nodes to tell of the watcher's pause."""


def _decode_ops(ops: Sequence[dict[str, Any]]) -> list[Opcode] | GenericError:
    try:
        return [decode_opcode(op) for op in ops]
    except (OpCodeUnknown, ParameterError) as error:
        return error
