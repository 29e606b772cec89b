"""Clusters from records (dicts) as LUXI, RAPI and IAllocator give them.

A node's, instance's or group's record holds the fields in `NODE_FIELDS`, `INSTANCE_FIELDS` and
`GROUP_FIELDS`, LUXI's query names. Records from outside are checked here: a missing or ill-typed
field raises `LoadError` that names the object and the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganeti_allocators_htools.errors import LoadError
from ganeti_allocators_htools.model import (
    NO_NODE,
    Cluster,
    Group,
    Instances,
    IPolicy,
    ISpec,
    MinMax,
    Nodes,
)
from ganeti_allocators_htools.words import (
    ALLOC_POLICIES,
    SPEC_NAMES,
    STATUSES,
    TEMPLATES,
    choice,
)

Record = Mapping[str, Any]
#: Whether a field's value (None where it is missing) is of the right kind.
Fits = Callable[[Any], bool]
#: Larger numbers are refused: nothing of a cluster comes near, and floats are exact up to here.
_LIMIT = 2**53


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not _flag(value) and abs(value) < _LIMIT


def _whole(value: Any) -> bool:
    return isinstance(value, int) and _number(value)


def _object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _list_of(fits: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _maybe(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


_texts = _list_of(_text)
_size = _maybe(_number)

#: In the order in which upstream's release 3.0 asks for them through LUXI.
NODE_FIELDS: dict[str, Fits] = {
    "name": _text, "mtotal": _size, "mnode": _size, "mfree": _size, "dtotal": _size, "dfree": _size,
    "ctotal": _size, "cnos": _size, "offline": _flag, "drained": _maybe(_flag),
    "vm_capable": _maybe(_flag), "ndp/spindle_count": _size, "group.uuid": _text, "tags": _texts,
    "ndp/exclusive_storage": _maybe(_flag), "sptotal": _size, "spfree": _size,
    "ndp/cpu_speed": _size,
}  # fmt: skip
#: Columns of `Nodes` that are 0 for a node that cannot be asked.
_MEASURES = {
    "tmem": "mtotal", "nmem": "mnode", "fmem": "mfree", "tdsk": "dtotal", "fdsk": "dfree",
    "tcpu": "ctotal", "ncpu": "cnos",
}  # fmt: skip
INSTANCE_FIELDS: dict[str, Fits] = {
    "name": _text, "disk_usage": _number, "be/memory": _whole, "be/vcpus": _whole, "status": _text,
    "pnode": _text, "snodes": _texts, "tags": _texts, "be/auto_balance": _flag,
    "disk_template": _text, "be/spindle_use": _maybe(_number), "disk.sizes": _list_of(_number),
    "disk.spindles": _maybe(_list_of(_maybe(_whole))), "forthcoming": _maybe(_flag),
}  # fmt: skip
GROUP_FIELDS: dict[str, Fits] = {
    "uuid": _text, "name": _text, "alloc_policy": _text, "ipolicy": _object, "tags": _texts,
}  # fmt: skip
#: What only some sources tell.
_NICS: dict[str, Fits] = {"nic.count": _maybe(_whole)}
_NETWORKS: dict[str, Fits] = {"networks": _maybe(_texts)}

_CLUSTER: dict[str, Fits] = {
    "tags": _texts, "ipolicy": _object, "master": _maybe(_text),
    "default_hypervisor": _maybe(_text), "enabled_hypervisors": _maybe(_texts),
}  # fmt: skip
_POLICY: dict[str, Fits] = {
    "minmax": lambda value: bool(value) and _list_of(_object)(value), "std": _object,
    "disk-templates": _texts, "vcpu-ratio": _number, "spindle-ratio": _number,
}  # fmt: skip
_RANGE: dict[str, Fits] = {"min": _object, "max": _object}
_SPEC: dict[str, Fits] = dict.fromkeys(SPEC_NAMES, _whole)


def _wrong(record: Record, field: str, what: str) -> LoadError:
    if field not in record:
        return LoadError(f"{what}: key '{field}' not found")
    shown = repr(record[field])
    if len(shown) > 100:
        shown = f"{shown[:100]}..."
    return LoadError(f"{what}: field '{field}' has the unexpected value {shown}")


def _checked(record: Record, fields: Mapping[str, Fits], what: str) -> dict[str, Any]:
    """The fields' values, None for those that may be missing and are; raises `LoadError`."""
    values = {field: record.get(field) for field in fields}
    for field, fits in fields.items():
        if not fits(values[field]):
            raise _wrong(record, field, what)
    return values


def _named(record: Record, kind: str) -> str:
    """The object for error messages: its kind and name."""
    return f"{kind} '{_checked(record, {'name': _text}, kind)['name']}'"


def _ispec(record: Record, what: str) -> ISpec:
    return ISpec(*_checked(record, _SPEC, what).values())


def _ipolicy(record: Record, what: str) -> IPolicy:
    policy = _checked(record, _POLICY, what)
    ranges = [_checked(one, _RANGE, f"{what} minmax") for one in policy["minmax"]]
    return IPolicy(
        std=_ispec(policy["std"], f"{what} std"),
        minmax=tuple(
            MinMax(_ispec(one["min"], f"{what} min"), _ispec(one["max"], f"{what} max"))
            for one in ranges
        ),
        templates=tuple(
            choice(name, TEMPLATES, "DiskTemplate") for name in policy["disk-templates"]
        ),
        vcpu_ratio=float(policy["vcpu-ratio"]),
        spindle_ratio=float(policy["spindle-ratio"]),
    )


def group(record: Record) -> Group:
    """A node group from its record; raises `LoadError`."""
    what = _named(record, "group")
    values = _checked(record, GROUP_FIELDS | _NETWORKS, what)
    return Group(
        values["name"],
        values["uuid"],
        choice(values["alloc_policy"], ALLOC_POLICIES, "AllocPolicy"),
        tuple(values["tags"]),
        tuple(values["networks"] or ()),
        _ipolicy(values["ipolicy"], what),
    )


def _node(record: Record, groups: Mapping[str, int], master: str | None) -> dict[str, Any]:
    what = _named(record, "node")
    values = _checked(record, NODE_FIELDS, what)
    name, uuid = values["name"], values["group.uuid"]
    if uuid not in groups:
        raise LoadError(f"Unknown group '{uuid}' for node {name}")
    known = values["mtotal"] is not None and values["mfree"] is not None
    live = known and not values["offline"] and values["vm_capable"] is not False
    for field in ("mnode", "ctotal") if live else ():
        if values[field] is None:
            raise _wrong(record, field, what)
    exclusive = live and bool(values["ndp/exclusive_storage"])
    count = values["ndp/spindle_count"]
    spindles = (values["sptotal"] or 0) if exclusive else 1 if count is None else count
    return {
        **{column: (values[field] or 0) * live for column, field in _MEASURES.items()},
        "name": name,
        "offline": not live or bool(values["drained"]),
        "master": name == master,
        "group": groups[uuid],
        "spindles": spindles,
        "fspindles": (values["spfree"] or 0) * exclusive,
        "exclusive": exclusive,
        "cpu_speed": values["ndp/cpu_speed"] or 1.0,
        "tags": tuple(values["tags"]),
    }


def _instance(record: Record, nodes: Mapping[str, int]) -> dict[str, Any]:
    what = _named(record, "instance")
    values = _checked(record, INSTANCE_FIELDS | _NICS, what)
    name = values["name"]
    places = [values["pnode"], *values["snodes"][:1]]
    for node in places:
        if node not in nodes:
            raise LoadError(f"Unknown node '{node}' for instance {name}")
    spindles = values["disk.spindles"] or [None] * len(values["disk.sizes"])
    return {
        "name": name,
        "mem": values["be/memory"],
        "dsk": values["disk_usage"],
        "vcpus": values["be/vcpus"],
        "status": STATUSES.index(choice(values["status"], STATUSES, "InstanceStatus")),
        "auto_balance": values["be/auto_balance"],
        "pnode": nodes[places[0]],
        "snode": nodes[places[1]] if len(places) > 1 else NO_NODE,
        "template": TEMPLATES.index(choice(values["disk_template"], TEMPLATES, "DiskTemplate")),
        "tags": tuple(values["tags"]),
        "spindle_use": values["be/spindle_use"] or 0,
        "spindles": -1 if None in spindles else sum(spindles),
        "disks": tuple(map(int, values["disk.sizes"])),
        "disk_spindles": tuple(spindles),
        "nics": values["nic.count"] or 0,
        "forthcoming": bool(values["forthcoming"]),
    }


def build(
    nodes: Sequence[Record],
    instances: Sequence[Record],
    groups: Sequence[Record],
    info: Record,
    kvm_node_memory: int = 0,
) -> Cluster:
    """The cluster from all records; ``info`` has tags, ipolicy, master and hypervisors.

    ``kvm_node_memory`` (MiB, 0: as reported) is what a KVM node itself is taken to need.
    Raises `LoadError`.
    """
    made = [group(record) for record in groups]
    by_uuid = {one.uuid: number for number, one in enumerate(made)}
    cluster = _checked(info, _CLUSTER, "cluster")
    master = cluster["master"]
    rows = [_node(record, by_uuid, master) for record in nodes]
    if master is not None and not any(row["master"] for row in rows):
        raise LoadError(f"Master node {master} unknown")
    # the default is the first that is enabled; IAllocator requests tell only the latter
    enabled = cluster["enabled_hypervisors"] or [None]
    hypervisor = cluster["default_hypervisor"] or enabled[0]
    if hypervisor == "kvm" and kvm_node_memory > 0:
        for row in rows:
            row["nmem"] = kvm_node_memory
    table = Nodes.of(rows)
    return Cluster(
        tuple(made),
        table,
        Instances.of([_instance(record, table.index) for record in instances]),
        tuple(cluster["tags"]),
        _ipolicy(cluster["ipolicy"], "cluster"),
    )
