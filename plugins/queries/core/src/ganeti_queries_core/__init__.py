"""confd requests about the cluster as a whole: ping, master, look-up by path, data collectors."""

from __future__ import annotations

from typing import Any, Final

from ganeti_kernel.objects import ConfigView
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.confd_query import (
    ERROR_ARGUMENT,
    Answer,
    BadQuery,
    ConfdQuery,
    DictQuery,
    error,
    ok,
    one_string,
    parse_query,
)
from ganeti_queries_core.pointer import NotFound, look_up

VERSION: Final = "0.1.0"

MASTER_FIELDS: Final = (
    lambda view: view.master.name,
    lambda view: view.cluster.master_ip,
    lambda view: view.master.primary_ip,
)
"""What the field numbers 0 to 2 of a master request stand for."""

COLLECTOR_DEFAULTS: Final = {
    name: {"active": True, "interval": 5_000_000}
    for name in ("cpu-avg-load", "diskstats", "drbd", "inst-status-xen", "lv", "xen-cpu-avg-load")
}
"""Upstream's collectors and their settings where the configuration says nothing; microseconds."""


class Ping(ConfdQuery):
    """Type 0: is anybody there? The answer is the configuration's version."""

    API_VERSION = 1
    NUMBER = 0

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="ping", version=VERSION, summary="is the daemon there; the configuration's version"
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        parse_query(query)
        return ok(view.version, 0)


class ClusterMaster(ConfdQuery):
    """Type 3: the master's name, or the fields that the query lists."""

    API_VERSION = 1
    NUMBER = 3

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="cluster-master",
            version=VERSION,
            summary="the master node's name; by fields: 0 name, 1 cluster address, 2 node address",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        form = parse_query(query)
        if isinstance(form, str):
            return error(ERROR_ARGUMENT)
        if form is None:
            return ok(MASTER_FIELDS[0](view), view.cluster.serial_no)
        values = [MASTER_FIELDS[_field(item)](view) for item in form.fields or ()]
        return ok(values, view.cluster.serial_no)


class ConfigQuery(ConfdQuery):
    """Type 10: any value of the configuration, by JSON pointer (RFC 6901)."""

    API_VERSION = 1
    NUMBER = 10

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="config-query",
            version=VERSION,
            summary="a value of the configuration by JSON pointer, e.g. /cluster/ipolicy",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        pointer = one_string(query)
        if isinstance(pointer, Answer):
            return pointer
        try:
            return ok(look_up(view, pointer), view.cluster.serial_no)
        except NotFound:
            return error(ERROR_ARGUMENT)


class DataCollectors(ConfdQuery):
    """Type 11: which data collectors run, and how often."""

    API_VERSION = 1
    NUMBER = 11

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="data-collectors",
            version=VERSION,
            summary="collector -> is it active, and its interval in microseconds",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        parse_query(query)
        out = {name: dict(values) for name, values in COLLECTOR_DEFAULTS.items()}
        for name, values in view.cluster.data_collectors.items():
            known = {key: values[key] for key in ("active", "interval") if key in values}
            out[name] = out.get(name, COLLECTOR_DEFAULTS["diskstats"]) | known
        if not any(name.startswith("xen") for name in view.cluster.enabled_hypervisors):
            out["inst-status-xen"]["active"] = False
        return ok(out, view.cluster.serial_no)


def _field(item: int | str) -> int:
    """A field number; upstream's own test client sends it as a string, which is taken too."""
    if str(item) not in ("0", "1", "2"):
        raise BadQuery(f"there is no master field {item!r}; fields are 0, 1 and 2")
    return int(item)


__all__ = ["ClusterMaster", "ConfigQuery", "DataCollectors", "DictQuery", "Ping"]
