"""confd requests about instances: their addresses, the nodes they run on, their disks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import msgspec

from ganeti_kernel.objects import ConfigView
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.confd_query import (
    ERROR_ARGUMENT,
    ERROR_UNKNOWN_ENTRY,
    STATUS_ERROR,
    Answer,
    ConfdQuery,
    DictQuery,
    error,
    ok,
    one_string,
    parse_query,
)

VERSION: Final = "0.1.0"

_NO_INSTANCE: Final = (
    'Instance not found in the configuration: OpPrereqError "Instance name {} {}" ECodeNoEnt'
)
"""What upstream answers when an instance is not there; clients show the text."""


class NodeByInstanceAddress(ConfdQuery):
    """Type 2: the primary address of the node that runs the instance with an address.

    For a list of addresses the answer is a list of [status, answer, serial].
    """

    API_VERSION = 1
    NUMBER = 2

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="node-ip-by-instance-ip",
            version=VERSION,
            summary="the address of the node that runs the instance with an address",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        form = parse_query(query)
        if not isinstance(form, DictQuery):
            return error(ERROR_ARGUMENT)
        link = _default_link(view) if form.link is None else form.link
        if form.ip is not None:
            return _runs_on(view, link, form.ip)
        found = [_runs_on(view, link, ip) for ip in form.ips or ()]
        rows = [[item.status, item.answer, item.serial] for item in found]
        return ok(rows, view.cluster.serial_no)


class InstanceAddresses(ConfdQuery):
    """Type 6: the instances' addresses on a link, without a query on the default link."""

    API_VERSION = 1
    NUMBER = 6

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="instance-ips",
            version=VERSION,
            summary="the addresses of all instances on a link (default: the cluster's)",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        form = parse_query(query)
        if isinstance(form, DictQuery):
            return Answer(STATUS_ERROR, "Invalid query type", 0)
        link = _default_link(view) if form is None else form
        addresses: dict[str, list[str]] = defaultdict(list)
        for where, ip in view.nics_by_ip:
            addresses[where].append(ip)
        return ok(addresses.get(link, []), view.cluster.serial_no)


class InstanceDisks(ConfdQuery):
    """Type 9: an instance's disks as whole objects."""

    API_VERSION = 1
    NUMBER = 9

    @hookimpl
    def describe(self) -> Description:
        return Description(name="instance-disks", version=VERSION, summary="an instance's disks")

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        name = one_string(query)
        if isinstance(name, Answer):
            return name
        inst = view.find_instance(name)
        if inst is None:
            several = bool(name) and any(
                other.name.startswith(name + ".") for other in view.instances.values()
            )
            problem = "has multiple matches" if several else "not found"
            return Answer(STATUS_ERROR, _NO_INSTANCE.format(name, problem), 0)
        table = view.document.table("disks")
        disks = [table[disk.uuid] for disk in view.instance_disks(inst)]
        if view.secrets.everywhere:
            return ok(
                [view.secrets.redact(msgspec.json.decode(raw)) for raw in disks], inst.serial_no
            )
        return ok(disks, inst.serial_no)


def _default_link(view: ConfigView) -> str:
    return str(view.cluster.nicparams.get("default", {}).get("link", ""))


def _runs_on(view: ConfigView, link: str, ip: str) -> Answer:
    inst = view.nics_by_ip.get((link, ip))
    node = view.nodes.get(inst.primary_node) if inst is not None and inst.name else None
    if node is None:
        return error(ERROR_UNKNOWN_ENTRY)
    return ok(node.primary_ip, view.cluster.serial_no)
