"""Answers queries from a source. Pure: what must be asked of nodes is planned, not done.

A query goes: `plan` says what to gather, somebody gathers it (`query.live`), `query` answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.errors import ECODE_INVAL, OpPrereqError
from ganeti_kernel.objects import Instance, Node
from ganeti_kernel.query.fields.base import Cell, Table, unknown, unknown_cell
from ganeti_kernel.query.filter import compile_filter, fields_in, requested_names
from ganeti_kernel.query.resources import Resource, resource_of
from ganeti_kernel.query.source import INSTANCE_STATE, Plan, QuerySource
from ganeti_kernel.specs.base import Parameter


def query(
    resource: str, fields: Sequence[str], qfilter: Any, source: QuerySource
) -> dict[str, Any]:
    """Answer a query: `{"fields": [definition], "data": [[[status, value], …], …]}`.

    A field that does not exist is a column of its own kind with status 1 in every row. Raises
    OpPrereqError: unknown resource or bad filter (wrong_input), an object that was asked for by
    name and does not exist (unknown_entity).
    """
    kind = resource_of(resource)
    table = kind.table(source.hv_parameters)
    columns = [table.get(name) for name in fields]
    rows = [
        [unknown_cell() if column is None else column.cell(source, item) for column in columns]
        for item in _select(kind, table, qfilter, source, decided=True)
    ]
    return {"fields": _describe(table, fields), "data": rows}


def query_fields(
    resource: str, fields: Sequence[str] | None = None, hv_parameters: Iterable[Parameter] = ()
) -> dict[str, Any]:
    """Describe fields, all in order of their names when none are named: `{"fields": […]}`."""
    table = resource_of(resource).table(hv_parameters)
    return {"fields": _describe(table, fields or sorted(table, key=natural_key))}


def needs(resource: str, fields: Sequence[str], qfilter: Any) -> frozenset[str]:
    """Return the names of the live data (see `query.source`) that a query takes."""
    kind = resource_of(resource)
    table = kind.table(())
    used = (table.get(name) for name in {*fields, *fields_in(qfilter)})
    return kind.needs.union(*(field.needs for field in used if field is not None))


def plan(resource: str, fields: Sequence[str], qfilter: Any, source: QuerySource) -> Plan:
    """Say what to gather, and for which nodes and instances.

    What the filter excludes by the configuration alone is left out, so that one instance's state
    does not ask every node. Raises as `query` does.
    """
    kind = resource_of(resource)
    wanted = needs(resource, fields, qfilter)
    if not wanted or kind.needs:
        return Plan(wanted)
    items = _select(kind, kind.table(source.hv_parameters), qfilter, source, decided=False)
    instances = [item for item in items if isinstance(item, Instance)]
    nodes = {item.uuid: item for item in items if isinstance(item, Node)}
    if INSTANCE_STATE in wanted:
        for inst in instances:
            for uuid in source.view.instance_nodes(inst):
                if uuid in source.view.nodes:
                    nodes[uuid] = source.view.nodes[uuid]
    return Plan(wanted, list(nodes.values()), instances)


def plain_rows(
    resource: str, names: Sequence[str], fields: Sequence[str], source: QuerySource
) -> list[list[Any]]:
    """Answer an old-style query: values without a status, None where there is none.

    All objects when no name is given; a name that does not exist is left out. Raises
    OpPrereqError (wrong_input) for an unknown field.
    """
    kind = resource_of(resource)
    table = kind.table(source.hv_parameters)
    missing = [name for name in fields if name not in table]
    if missing:
        raise OpPrereqError(f"Unknown output fields selected: {', '.join(missing)}", ECODE_INVAL)
    items = kind.items(source)
    if names and kind.find is not None:
        items = [item for item in (kind.find(source, name) for name in names) if item is not None]
    elif names:
        key = table[kind.key]
        items = [item for item in items if key.cell(source, item)[1] in names]
    return [[table[name].cell(source, item)[1] for name in fields] for item in items]


def _select(
    kind: Resource, table: Table, qfilter: Any, source: QuerySource, *, decided: bool
) -> list[Any]:
    """The items that the filter lets through; before live data is there, those it may let through.

    `decided`: live data has been gathered, a cell without a value has none.
    """
    predicate = compile_filter(qfilter, table)
    names = requested_names(qfilter, kind.key) if kind.find is not None else None
    if names is not None:
        return kind.find_all(source, names)
    if qfilter is None:
        return list(kind.items(source))

    def passes(item: Any) -> bool:
        def cell(name: str) -> Cell | None:
            field = table[name]
            return field.cell(source, item) if decided or not field.needs else None

        return predicate(cell) is not False

    return [item for item in kind.items(source) if passes(item)]


def _describe(table: Table, fields: Iterable[str]) -> list[dict[str, str]]:
    return [(table.get(name) or unknown(name)).describe() for name in fields]
