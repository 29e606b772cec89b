"""Clusters from records (dicts) as LUXI, RAPI and IAllocator give them.

A node's, instance's or group's record holds the fields in `NODE_FIELDS`, `INSTANCE_FIELDS` and
`GROUP_FIELDS`, LUXI's query names. Records from outside are checked here: a missing or ill-typed
field raises `LoadError` that names the object and the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ganeti_allocators_htools.words import ALLOC_POLICIES, STATUSES, TEMPLATES, choice

Record = Mapping[str, Any]

NODE_FIELDS = (
    "name", "mtotal", "mnode", "mfree", "dtotal", "dfree", "ctotal", "cnos", "offline", "drained",
    "vm_capable", "ndp/spindle_count", "group.uuid", "tags", "ndp/exclusive_storage", "sptotal",
    "spfree", "ndp/cpu_speed",
)  # fmt: skip
INSTANCE_FIELDS = (
    "name", "disk_usage", "be/memory", "be/vcpus", "status", "pnode", "snodes", "tags",
    "be/auto_balance", "disk_template", "be/spindle_use", "disk.sizes", "disk.spindles",
    "forthcoming",
)  # fmt: skip
GROUP_FIELDS = ("uuid", "name", "alloc_policy", "ipolicy", "tags")

_NUMBER = (int, float)


def _get(record: Record, field: str, kinds: Any, what: str) -> Any:
    if field not in record:
        raise LoadError(f"{what}: key '{field}' not found")
    value = record[field]
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise LoadError(f"{what}: field '{field}' has the unexpected value {value!r}")
    return value


def _texts(record: Record, field: str, what: str) -> tuple[str, ...]:
    values = _get(record, field, list, what)
    if not all(isinstance(value, str) for value in values):
        raise LoadError(f"{what}: field '{field}' is not a list of strings")
    return tuple(values)


def ispec(record: Any, what: str) -> ISpec:
    """An instance specification from its JSON form."""
    if not isinstance(record, Mapping):
        raise LoadError(f"{what}: not an instance specification")
    names = ("memory-size", "cpu-count", "disk-size", "disk-count", "nic-count", "spindle-use")
    return ISpec(*(int(_get(record, name, int, what)) for name in names))


def ipolicy(record: Any, what: str) -> IPolicy:
    """An instance policy from its JSON form."""
    if not isinstance(record, Mapping):
        raise LoadError(f"{what}: not an instance policy")
    ranges = _get(record, "minmax", list, what)
    if not ranges or not all(isinstance(entry, Mapping) for entry in ranges):
        raise LoadError(f"{what}: field 'minmax' is no list of ranges")
    return IPolicy(
        std=ispec(record.get("std"), f"{what} std"),
        minmax=tuple(
            MinMax(ispec(entry.get("min"), f"{what} min"), ispec(entry.get("max"), f"{what} max"))
            for entry in ranges
        ),
        templates=tuple(
            choice(name, TEMPLATES, "DiskTemplate")
            for name in _texts(record, "disk-templates", what)
        ),
        vcpu_ratio=float(_get(record, "vcpu-ratio", _NUMBER, what)),
        spindle_ratio=float(_get(record, "spindle-ratio", _NUMBER, what)),
    )


def group(record: Record) -> Group:
    name = _get(record, "name", str, "node group")
    what = f"group '{name}'"
    return Group(
        name,
        _get(record, "uuid", str, what),
        choice(_get(record, "alloc_policy", str, what), ALLOC_POLICIES, "AllocPolicy"),
        _texts(record, "tags", what),
        tuple(record.get("networks") or ()),
        ipolicy(record.get("ipolicy"), what),
    )


def _node(record: Record, groups: Mapping[str, int], master: str) -> dict[str, Any]:
    name = _get(record, "name", str, "node")
    what = f"node '{name}'"
    uuid = _get(record, "group.uuid", str, what)
    if uuid not in groups:
        raise LoadError(f"Unknown group '{uuid}' for node {name}")
    offline = _get(record, "offline", bool, what)
    usable = record.get("vm_capable", True) is not False
    live = not offline and usable
    excl = bool(record.get("ndp/exclusive_storage"))

    def number(field: str, default: Any = None) -> Any:
        value = record.get(field)
        if value is None and (default is not None or not live):
            return default or 0
        return _get(record, field, _NUMBER, what)

    spindles = number("ndp/spindle_count", 1)
    if excl:
        spindles = number("sptotal", 0)
    live = live and record.get("mtotal") is not None and record.get("mfree") is not None
    return {
        "name": name,
        "tmem": float(number("mtotal") if live else 0),
        "nmem": int(number("mnode") if live else 0),
        "fmem": int(number("mfree") if live else 0),
        "tdsk": float(number("dtotal", 0) if live else 0),
        "fdsk": int(number("dfree", 0) if live else 0),
        "tcpu": float(number("ctotal") if live else 0),
        "ncpu": int(number("cnos", 0) if live else 0),
        "offline": not live or bool(record.get("drained")),
        "master": name == master,
        "group": groups[uuid],
        "spindles": int(spindles) if live else 0,
        "fspindles": int(number("spfree", 0)) if live and excl else 0,
        "exclusive": excl if live else False,
        "cpu_speed": float(record.get("ndp/cpu_speed") or 1.0),
        "tags": _texts(record, "tags", what),
    }


def _instance(record: Record, nodes: Mapping[str, int]) -> dict[str, Any]:
    name = _get(record, "name", str, "instance")
    what = f"instance '{name}'"
    places = [_get(record, "pnode", str, what), *_texts(record, "snodes", what)[:1]]
    for node in places:
        if node not in nodes:
            raise LoadError(f"Unknown node '{node}' for instance {name}")
    template = _get(record, "disk_template", str, what)
    status = _get(record, "status", str, what)
    sizes = _get(record, "disk.sizes", list, what)
    spindles = record.get("disk.spindles") or [None] * len(sizes)
    known = all(count is not None for count in spindles)
    return {
        "name": name,
        "mem": int(_get(record, "be/memory", int, what)),
        "dsk": int(_get(record, "disk_usage", _NUMBER, what)),
        "vcpus": int(_get(record, "be/vcpus", int, what)),
        "status": STATUSES.index(choice(status, STATUSES, "InstanceStatus")),
        "auto_balance": bool(_get(record, "be/auto_balance", bool, what)),
        "pnode": nodes[places[0]],
        "snode": nodes[places[1]] if len(places) > 1 else NO_NODE,
        "template": TEMPLATES.index(choice(template, TEMPLATES, "DiskTemplate")),
        "tags": _texts(record, "tags", what),
        "spindle_use": int(record.get("be/spindle_use") or 0),
        "spindles": sum(spindles) if known else -1,
        "disks": tuple(int(size) for size in sizes),
        "disk_spindles": tuple(spindles),
        "nics": int(record.get("nic.count") or 0),
        "forthcoming": bool(record.get("forthcoming") or False),
    }


def _columns(rows: Sequence[dict[str, Any]], empty: Sequence[str]) -> dict[str, Any]:
    if not rows:
        return dict.fromkeys(empty, ())
    return {name: tuple(row[name] for row in rows) for name in rows[0]}


def build(
    nodes: Sequence[Record],
    instances: Sequence[Record],
    groups: Sequence[Record],
    info: Record,
    kvm_node_memory: int = 0,
) -> Cluster:
    """The cluster from all records; ``info`` has tags, ipolicy, master, enabled_hypervisors.

    ``kvm_node_memory`` (MiB, 0: as reported) is what a KVM node itself is taken to need.
    """
    made = [group(record) for record in groups]
    by_uuid = {one.uuid: number for number, one in enumerate(made)}
    hypervisors = info.get("enabled_hypervisors") or [None]
    master = info.get("master")
    rows = [_node(record, by_uuid, str(master)) for record in nodes]
    if master is not None and not any(row["master"] for row in rows):
        raise LoadError(f"Master node {master} unknown")
    if hypervisors[0] == "kvm" and kvm_node_memory > 0:
        for row in rows:
            if row["tmem"]:
                row["nmem"] = kvm_node_memory
    names = ("name", "tmem", "nmem", "fmem", "tdsk", "fdsk", "tcpu")
    table = Nodes(**_columns(rows, names))
    insts = [_instance(record, table.index) for record in instances]
    required = ("name", "mem", "dsk", "vcpus", "pnode")
    return Cluster(
        tuple(made),
        table,
        Instances(**_columns(insts, required)),
        _texts(info, "tags", "cluster"),
        ipolicy(info.get("ipolicy"), "cluster"),
    )
