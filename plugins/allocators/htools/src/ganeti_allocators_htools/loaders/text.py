"""The text data format: sections separated by one empty line, columns by ``|``.

Sections: groups, nodes, instances, cluster tags, policies (optional). `parse` and `format_cluster`
are inverse to each other for what they keep; reading and writing files is apart. The format is
upstream's htools(1); later releases' trailing columns are optional.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganeti_allocators_htools.errors import LoadError, open_error, shown_list
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
from ganeti_allocators_htools.numbers import fixed, parse_float, parse_int, show_float
from ganeti_allocators_htools.words import ALLOC_POLICIES, STATUSES, TEMPLATES, choice

#: Larger files are refused: no cluster comes near it.
MAX_BYTES = 256 * 1024 * 1024

_SPEC_FIELDS = ("memorysize", "cpucount", "disksize", "diskcount", "niccount", "spindleuse")


def split_tags(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _sections(text: str) -> list[list[str]]:
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    if not lines:
        return []
    sections: list[list[str]] = [[]]
    for line in lines:
        if line:
            sections[-1].append(line)
        else:
            sections.append([])
    return sections


def parse(text: str) -> Cluster:
    """Build the cluster from a data file's text; raises `LoadError` that names what is wrong."""
    sections = _sections(text)
    if len(sections) < 4:
        raise LoadError(
            f"Invalid format of the input file: {len(sections)} sections instead of 4 or more"
        )
    groups = [_group(line) for line in sections[0]]
    by_uuid = {group.uuid: number for number, group in enumerate(groups)}
    nodes = _nodes(sections[1], by_uuid)
    instances = _instances(sections[2], nodes)
    policy, groups = _policies(sections[4] if len(sections) > 4 else [], groups)
    return Cluster(tuple(groups), nodes, instances, tuple(sections[3]), policy)


def _group(line: str) -> Group:
    parts = line.split("|")
    if len(parts) not in (4, 5):
        raise LoadError(f"Invalid/incomplete group data: '{shown_list(parts)}'")
    name, uuid, policy, tags, networks = (*parts, "")[:5]
    choice(policy, ALLOC_POLICIES, "AllocPolicy")
    return Group(name, uuid, policy, split_tags(tags), split_tags(networks))


_NODE_DEFAULTS = ("1", "", "N", "0", "1", "1.0")
_NODE_COLUMNS = (
    "name",
    "tmem",
    "nmem",
    "fmem",
    "tdsk",
    "fdsk",
    "tcpu",
    "offline",
    "master",
    "group",
    "spindles",
    "tags",
    "exclusive",
    "fspindles",
    "ncpu",
    "cpu_speed",
)


def _node(line: str, by_uuid: dict[str, int]) -> tuple[Any, ...]:
    parts = line.split("|")
    if len(parts) < 9:
        raise LoadError(f"Invalid/incomplete node data: '{shown_list(parts)}'")
    parts.extend(_NODE_DEFAULTS[len(parts) - 9 :])
    name, tm, nm, fm, td, fd, tc, role, uuid, spindles, tags, excl, free_sp, ncpu, speed = parts[
        :15
    ]
    if uuid not in by_uuid:
        raise LoadError(f"Unknown group '{uuid}' for node {name}")
    group = by_uuid[uuid]
    if excl not in ("Y", "N"):
        raise LoadError(f"Invalid exclusive_storage value for node '{name}': {excl}")
    tag_list = split_tags(tags)
    if "?" in (tm, nm, fm, td, fd, tc):
        return (name, 0.0, 0, 0, 0.0, 0, 0.0, True, False, group, 0, tag_list, False, 0, 0, 1.0)
    return (
        name,
        parse_float(tm, name),
        parse_int(nm, name),
        parse_int(fm, name),
        parse_float(td, name),
        parse_int(fd, name),
        parse_float(tc, name),
        role == "Y",
        role == "M",
        group,
        parse_int(spindles, name),
        tag_list,
        excl == "Y",
        parse_int(free_sp, name),
        parse_int(ncpu, name),
        parse_float(speed, name),
    )


def _nodes(lines: list[str], by_uuid: dict[str, int]) -> Nodes:
    rows = [_node(line, by_uuid) for line in lines]
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(_NODE_COLUMNS)
    return Nodes(**dict(zip(_NODE_COLUMNS, columns, strict=True)))


_INSTANCE_COLUMNS = (
    "name",
    "mem",
    "dsk",
    "vcpus",
    "status",
    "auto_balance",
    "pnode",
    "snode",
    "template",
    "tags",
    "spindle_use",
    "spindles",
    "forthcoming",
)
_INSTANCE_DEFAULTS = ("1", "-", "N")
_STATUS_CODE = {status: code for code, status in enumerate(STATUSES)}
_TEMPLATE_CODE = {template: code for code, template in enumerate(TEMPLATES)}


def _flag(text: str, kind: str, name: str) -> bool:
    if text not in ("Y", "N"):
        raise LoadError(f"Invalid {kind} value '{text}' for instance {name}")
    return text == "Y"


def _instance(line: str, node_index: dict[str, int]) -> tuple[Any, ...]:
    parts = line.split("|")
    if len(parts) < 10:
        raise LoadError(f"Invalid/incomplete instance data: '{shown_list(parts)}'")
    parts.extend(_INSTANCE_DEFAULTS[len(parts) - 10 :])
    name, mem, dsk, vcpus, status, auto, pnode, snode, template, tags, use, spindles, forth = parts[
        :13
    ]
    for node in (pnode, snode):
        if node not in node_index and not (node == "" and node is snode):
            raise LoadError(f"Unknown node '{node}' for instance {name}")
    values = (
        name,
        parse_int(mem, name),
        parse_int(dsk, name),
        parse_int(vcpus, name),
        _STATUS_CODE[choice(status, STATUSES, "InstanceStatus")],
        _flag(auto, "auto_balance", name),
        node_index[pnode],
        node_index[snode] if snode else NO_NODE,
    )
    if template not in _TEMPLATE_CODE:
        raise LoadError(
            f'Instance {name}: Invalid string value for type DiskTemplate: "{template}"'
        )
    rest = (
        _TEMPLATE_CODE[template],
        split_tags(tags),
        parse_int(use, name),
        -1 if spindles == "-" else parse_int(spindles, name),
        _flag(forth, "forthcoming", name),
    )
    if snode and pnode == snode:
        raise LoadError(f"Instance {name} has same primary and secondary node - {pnode}")
    return values + rest


def _instances(lines: list[str], nodes: Nodes) -> Instances:
    rows = [_instance(line, nodes.index) for line in lines]
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(_INSTANCE_COLUMNS)
    return Instances(**dict(zip(_INSTANCE_COLUMNS, columns, strict=True)))


def _spec(text: str, where: str) -> ISpec:
    parts = text.split(",")
    if len(parts) != len(_SPEC_FIELDS):
        raise LoadError(f"Invalid ispec data for {where}: {shown_list(parts)}")
    return ISpec(
        *(
            parse_int(part, f"{where}/{field}")
            for part, field in zip(parts, _SPEC_FIELDS, strict=True)
        )
    )


def _policy(line: str) -> tuple[str, IPolicy]:
    parts = line.split("|")
    if len(parts) != 6:
        raise LoadError(f"Invalid ipolicy data: '{shown_list(parts)}'")
    owner, std, ranges, templates, vcpu_ratio, spindle_ratio = parts
    standard = _spec(std, f"{owner}/stdspec")
    texts = ranges.split(";")
    if len(texts) % 2:
        raise LoadError(f"Odd number of min/max specs for {owner}")
    minmax = tuple(
        MinMax(_spec(low, f"{owner}/minspec"), _spec(high, f"{owner}/maxspec"))
        for low, high in zip(texts[::2], texts[1::2], strict=True)
    )
    allowed = tuple(choice(name, TEMPLATES, "DiskTemplate") for name in split_tags(templates))
    return owner, IPolicy(
        standard,
        minmax,
        allowed,
        parse_float(vcpu_ratio, f"{owner}/vcpu_ratio"),
        parse_float(spindle_ratio, f"{owner}/spindle_ratio"),
    )


def _policies(lines: list[str], groups: list[Group]) -> tuple[IPolicy, list[Group]]:
    cluster = IPolicy()
    own: dict[str, IPolicy] = {}
    names = {group.name for group in groups}
    for line in lines:
        owner, policy = _policy(line)
        if owner == "":
            cluster = policy
        elif owner in names:
            own[owner] = policy
        else:
            raise LoadError(f"Wrong number of elems found with name {owner}")
    return cluster, [replace(group, policy=own.get(group.name, IPolicy())) for group in groups]


def read(path: str) -> Cluster:
    """Load the data file at ``path``; raises `LoadError`."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise LoadError(f"{path}: larger than {MAX_BYTES} bytes, refused")
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            text = stream.read()
    except OSError as err:
        raise LoadError(open_error(path, err)) from err
    return parse(text)


def format_cluster(
    cluster: Cluster,
    pnode: Sequence[int] | np.ndarray[Any, Any] | None = None,
    snode: Sequence[int] | np.ndarray[Any, Any] | None = None,
    fdsk: Sequence[int] | np.ndarray[Any, Any] | None = None,
    fspindles: Sequence[int] | np.ndarray[Any, Any] | None = None,
) -> str:
    """The cluster as a data file's text.

    ``pnode``, ``snode`` (per instance) and ``fdsk``, ``fspindles`` (per node) replace the input's
    columns: that is how a program saves the state it arrived at.
    """
    nodes, instances = cluster.nodes, cluster.instances
    sections = [
        [_group_line(group) for group in cluster.groups],
        _node_lines(
            cluster,
            nodes.fdsk if fdsk is None else fdsk,
            nodes.fspindles if fspindles is None else fspindles,
        ),
        _instance_lines(
            cluster,
            instances.pnode if pnode is None else pnode,
            instances.snode if snode is None else snode,
        ),
        list(cluster.tags),
    ]
    policies = [("", cluster.policy), *((group.name, group.policy) for group in cluster.groups)]
    body = "\n".join("".join(f"{line}\n" for line in section) for section in sections)
    return body + "\n" + "".join(f"{_policy_line(*item)}\n" for item in policies)


def _group_line(group: Group) -> str:
    return "|".join(
        (group.name, group.uuid, group.alloc_policy, ",".join(group.tags), ",".join(group.networks))
    )


def _yes_no(flags: Iterable[bool]) -> list[str]:
    return ["Y" if flag else "N" for flag in flags]


def _column(values: Any, show: Callable[[Any], str] = str) -> list[str]:
    return [show(value) for value in np.asarray(values).tolist()]


def _node_lines(cluster: Cluster, fdsk: Any, fspindles: Any) -> list[str]:
    nodes = cluster.nodes
    roles = [
        "M" if master else "Y" if offline else "N"
        for master, offline in zip(nodes.master.tolist(), nodes.offline.tolist(), strict=True)
    ]

    def whole(value: float) -> str:
        return fixed(value, 0)

    columns = (
        nodes.name,
        _column(nodes.tmem, whole),
        _column(nodes.nmem),
        _column(nodes.fmem),
        _column(nodes.tdsk, whole),
        _column(fdsk),
        _column(nodes.tcpu, whole),
        roles,
        [cluster.groups[number].uuid for number in nodes.group.tolist()],
        _column(nodes.spindles),
        [",".join(tags) for tags in nodes.tags],
        _yes_no(nodes.exclusive.tolist()),
        _column(fspindles),
        _column(nodes.ncpu),
        _column(nodes.cpu_speed, show_float),
    )
    return ["|".join(row) for row in zip(*columns, strict=True)]


def _instance_lines(cluster: Cluster, pnode: Any, snode: Any) -> list[str]:
    nodes, instances = cluster.nodes, cluster.instances
    columns = (
        instances.name,
        _column(instances.mem),
        _column(instances.dsk),
        _column(instances.vcpus),
        [STATUSES[code] for code in instances.status.tolist()],
        _yes_no(instances.auto_balance.tolist()),
        _column(pnode, lambda number: nodes.name[number]),
        _column(snode, lambda number: nodes.name[number] if number >= 0 else ""),
        [TEMPLATES[code] for code in instances.template.tolist()],
        [",".join(tags) for tags in instances.tags],
        _column(instances.spindle_use),
        _column(instances.spindles, lambda count: "-" if count < 0 else str(count)),
        _yes_no(instances.forthcoming.tolist()),
    )
    return ["|".join(row) for row in zip(*columns, strict=True)]


def _spec_text(spec: ISpec) -> str:
    return ",".join(
        str(value)
        for value in (
            spec.mem,
            spec.cpu,
            spec.disk,
            spec.disk_count,
            spec.nic_count,
            spec.spindle_use,
        )
    )


def _policy_line(owner: str, policy: IPolicy) -> str:
    ranges = ";".join(
        f"{_spec_text(limits.min)};{_spec_text(limits.max)}" for limits in policy.minmax
    )
    return "|".join(
        (
            owner,
            _spec_text(policy.std),
            ranges,
            ",".join(policy.templates),
            show_float(policy.vcpu_ratio),
            show_float(policy.spindle_ratio),
        )
    )
