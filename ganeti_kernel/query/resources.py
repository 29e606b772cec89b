"""What can be queried: fields, the items in their order, and how an item is found by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, OpPrereqError
from ganeti_kernel.query import source as sources
from ganeti_kernel.query.fields import cluster, daemon, group, instance, network, node
from ganeti_kernel.query.fields.base import Table
from ganeti_kernel.query.source import QuerySource
from ganeti_kernel.specs.base import Parameter

Items = Callable[[QuerySource], Sequence[Any]]
Find = Callable[[QuerySource, Any], Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """`key` is the field that names an item.

    `items` gives all of them in the order of listings; `find` one by its key, None when it does
    not exist. Without `find` a filter on the key is a filter like any other. `needs` is live data
    that every query of the resource takes.
    """

    name: str
    noun: str
    table: Callable[[Iterable[Parameter]], Table]
    items: Items
    find: Find | None = None
    key: str = "name"
    needs: frozenset[str] = frozenset()

    def find_all(self, source: QuerySource, names: Iterable[Any]) -> list[Any]:
        """Find items by name; raises OpPrereqError (unknown_entity) for one that is missing."""
        out = []
        for name in names:
            found = self.find(source, name) if self.find else None
            if found is None:
                raise OpPrereqError(f"{self.noun} name {name} not found", ECODE_NOENT)
            out.append(found)
        return out


def _fixed(table: Table) -> Callable[[Iterable[Parameter]], Table]:
    return lambda _parameters: table


def _named(table: str) -> Items:
    """A table of the configuration, by name."""

    def items(source: QuerySource) -> Sequence[Any]:
        values = getattr(source.view, table).values()
        return sorted(values, key=lambda item: natural_key(item.name))

    return items


def _rows(name: str) -> Items:
    return lambda source: source.rows.get(name, ())


def _jobs(source: QuerySource) -> Sequence[Any]:
    return [source.jobs[number] for number in sorted(source.jobs)]


def _job(source: QuerySource, number: Any) -> Any:
    """A job that does not exist is a row of its own: its number and nothing else (upstream)."""
    job = job_number(number)
    if job is None:
        raise OpPrereqError(f"Job ID {str(number)[:40]!r} is not a number", ECODE_INVAL)
    return source.jobs.get(job, {"id": job})


def job_number(value: Any) -> int | None:
    """Read a job's number, given as a number or as text; None when it is not one."""
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _filters(source: QuerySource) -> Sequence[Any]:
    """In the order in which they are asked."""
    rules = source.view.filters.values()
    return sorted(rules, key=lambda rule: (rule.priority, rule.watermark, rule.uuid))


RESOURCES: Final = {
    item.name: item
    for item in (
        Resource(
            "cluster",
            "Cluster",
            _fixed(cluster.CLUSTER),
            lambda source: [source.view.cluster],
            needs=frozenset({sources.CLUSTER}),
        ),
        Resource(
            "node",
            "Node",
            _fixed(node.NODE),
            _named("nodes"),
            lambda source, name: source.view.find_node(str(name)),
        ),
        Resource(
            "group",
            "Node group",
            _fixed(group.GROUP),
            _named("nodegroups"),
            lambda source, name: source.view.find_group(str(name)),
        ),
        Resource(
            "instance",
            "Instance",
            instance.instance_table,
            _named("instances"),
            lambda source, name: source.view.find_instance(str(name)),
        ),
        Resource(
            "network",
            "Network",
            _fixed(network.NETWORK),
            _named("networks"),
            lambda source, name: source.view.find_network(str(name)),
        ),
        Resource(
            "job",
            "Job",
            _fixed(daemon.JOB),
            _jobs,
            _job,
            key="id",
            needs=frozenset({sources.JOBS}),
        ),
        Resource("filter", "Filter", _fixed(cluster.FILTER), _filters, key="uuid"),
        Resource(
            "lock", "Lock", _fixed(daemon.LOCK), _rows("lock"), needs=frozenset({sources.LOCKS})
        ),
        Resource(
            "export",
            "Export",
            _fixed(daemon.EXPORT),
            _rows("export"),
            key="node",
            needs=frozenset({sources.EXPORTS}),
        ),
        Resource("os", "OS", _fixed(daemon.OS), _rows("os"), needs=frozenset({sources.OS})),
        Resource(
            "extstorage",
            "ExtStorage provider",
            _fixed(daemon.EXTSTORAGE),
            _rows("extstorage"),
            needs=frozenset({sources.EXTSTORAGE}),
        ),
    )
}


def resource_of(name: str) -> Resource:
    """Return the resource; raises OpPrereqError (wrong_input) that lists what there is."""
    found = RESOURCES.get(name)
    if found is None:
        raise OpPrereqError(
            f"there is no resource {name!r} to query; there are {', '.join(sorted(RESOURCES))}",
            ECODE_INVAL,
        )
    return found
