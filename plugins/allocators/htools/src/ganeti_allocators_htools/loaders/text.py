"""The text data format: sections separated by one empty line, columns by ``|``.

Sections: groups, nodes, instances, cluster tags, policies (optional). `parse` and `format_cluster`
are inverse to each other for what they keep; reading and writing files is apart. The format is
upstream's htools(1); later releases' trailing columns are optional.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ganeti_allocators_htools.errors import LoadError, open_error, quoted, shown_list
from ganeti_allocators_htools.model import NO_NODE, Cluster, Group, Instances, Nodes
from ganeti_allocators_htools.numbers import fixed, parse_float, parse_int, show_float
from ganeti_allocators_htools.words import ALLOC_POLICIES, STATUSES, TEMPLATES, choice

from . import text_policies

#: Larger files are refused: no cluster comes near it.
MAX_BYTES = 256 * 1024 * 1024


class Field(NamedTuple):
    """One column of a section.

    ``read`` makes a value of a cell and the row's name; it raises `LoadError`. ``show`` is its
    inverse. ``missing`` is the cell in files that are too old for the column, None if none is.
    """

    column: str
    read: Callable[[str, str], Any]
    show: Callable[[Any], str]
    missing: str | None = None


def _word(text: str, _: str) -> str:
    return text


def _whole(value: float) -> str:
    return str(int(value))


def _size(value: float) -> str:
    return fixed(value, 0)


def _tags(text: str, _: str = "") -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _flag(kind: str) -> Callable[[str, str], bool]:
    def read(text: str, name: str) -> bool:
        if text not in ("Y", "N"):
            raise LoadError(f"Invalid {kind} value '{text}' for instance {name}")
        return text == "Y"

    return read


def _yes_no(flag: bool) -> str:
    return "Y" if flag else "N"


_STATUS_CODE = {status: code for code, status in enumerate(STATUSES)}
_TEMPLATE_CODE = {template: code for code, template in enumerate(TEMPLATES)}


def _status(text: str, _: str) -> int:
    return _STATUS_CODE[choice(text, STATUSES, "InstanceStatus")]


def _template(text: str, name: str) -> int:
    if text not in _TEMPLATE_CODE:
        text = quoted(text)
        raise LoadError(f"Instance {name}: Invalid string value for type DiskTemplate: {text}")
    return _TEMPLATE_CODE[text]


def _spindles(text: str, name: str) -> int:
    return -1 if text == "-" else parse_int(text, name)


def _shown_spindles(count: int) -> str:
    return "-" if count < 0 else str(count)


#: The columns of a node; "role" is M, Y (offline) or N.
_NODE = (
    Field("name", _word, str),
    Field("tmem", parse_float, _size),
    Field("nmem", parse_int, _whole),
    Field("fmem", parse_int, _whole),
    Field("tdsk", parse_float, _size),
    Field("fdsk", parse_int, _whole),
    Field("tcpu", parse_float, _size),
    Field("role", _word, str),
    Field("group", _word, str),
    Field("spindles", parse_int, _whole, "1"),
    Field("tags", _tags, ",".join, ""),
    Field("exclusive", lambda text, _: text == "Y", _yes_no, "N"),
    Field("fspindles", parse_int, _whole, "0"),
    Field("ncpu", parse_int, _whole, "1"),
    Field("cpu_speed", parse_float, show_float, "1.0"),
)
_SIZES, _GROUP, _EXCLUSIVE = slice(1, 7), 8, 11
#: Where one of the sizes is "?" nothing is known of the node, which counts as offline then.
_UNKNOWN = {field.column: "0" for field in _NODE if field.show in (_size, _whole)} | {
    "role": "Y", "exclusive": "N", "cpu_speed": "1.0",
}  # fmt: skip

_INSTANCE = (
    Field("name", _word, str),
    Field("mem", parse_int, _whole),
    Field("dsk", parse_int, _whole),
    Field("vcpus", parse_int, _whole),
    Field("status", _status, STATUSES.__getitem__),
    Field("auto_balance", _flag("auto_balance"), _yes_no),
    Field("pnode", _word, str),
    Field("snode", _word, str),
    Field("template", _template, TEMPLATES.__getitem__),
    Field("tags", _tags, ",".join),
    Field("spindle_use", parse_int, _whole, "1"),
    Field("spindles", _spindles, _shown_spindles, "-"),
    Field("forthcoming", _flag("forthcoming"), _yes_no, "N"),
)
_PNODE, _SNODE = 6, 7


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
    groups = tuple(_group(line) for line in sections[0])
    by_uuid = {group.uuid: number for number, group in enumerate(groups)}
    nodes = _nodes(sections[1], by_uuid)
    instances = _instances(sections[2], nodes.index)
    policy, groups = text_policies.parse(sections[4] if len(sections) > 4 else [], groups)
    return Cluster(groups, nodes, instances, tuple(sections[3]), policy)


def _group(line: str) -> Group:
    parts = line.split("|")
    if len(parts) not in (4, 5):
        raise LoadError(f"Invalid/incomplete group data: '{shown_list(parts)}'")
    name, uuid, policy, tags, networks = (*parts, "")[:5]
    choice(policy, ALLOC_POLICIES, "AllocPolicy")
    return Group(name, uuid, policy, _tags(tags), _tags(networks))


def _cells(line: str, fields: Sequence[Field], kind: str) -> list[str]:
    """A line's cells, those that are missing added; raises `LoadError` where that cannot be.

    Later releases' columns may follow those of ``fields``.
    """
    cells = line.split("|")
    for field in fields[len(cells) :]:
        if field.missing is None:
            raise LoadError(f"Invalid/incomplete {kind} data: '{shown_list(cells)}'")
        cells.append(field.missing)
    return cells


def _row(cells: Sequence[str], fields: Sequence[Field]) -> list[Any]:
    name = cells[0]
    return [field.read(cell, name) for field, cell in zip(fields, cells, strict=False)]


def _columns(rows: Iterable[Sequence[Any]], fields: Sequence[Field]) -> dict[str, Any]:
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    return {field.column: values for field, values in zip(fields, columns, strict=True)}


def _node(line: str, groups: Mapping[str, int]) -> list[Any]:
    cells = _cells(line, _NODE, "node")
    name, group, exclusive = cells[0], cells[_GROUP], cells[_EXCLUSIVE]
    if group not in groups:
        raise LoadError(f"Unknown group '{group}' for node {name}")
    if exclusive not in ("Y", "N"):
        raise LoadError(f"Invalid exclusive_storage value for node '{name}': {exclusive}")
    if "?" in cells[_SIZES]:
        cells = [
            _UNKNOWN.get(field.column, cell) for field, cell in zip(_NODE, cells, strict=False)
        ]
    row = [field.read(cell, name) for field, cell in zip(_NODE, cells, strict=False)]
    row[_GROUP] = groups[group]
    return row


def _nodes(lines: Sequence[str], groups: Mapping[str, int]) -> Nodes:
    columns = _columns([_node(line, groups) for line in lines], _NODE)
    roles = columns.pop("role")
    offline, master = [role == "Y" for role in roles], [role == "M" for role in roles]
    return Nodes(**columns, offline=offline, master=master)  # type: ignore[arg-type]


def _instance(line: str, nodes: Mapping[str, int]) -> list[Any]:
    cells = _cells(line, _INSTANCE, "instance")
    name, pnode, snode = cells[0], cells[_PNODE], cells[_SNODE]
    for node in (pnode, snode) if snode else (pnode,):
        if node not in nodes:
            raise LoadError(f"Unknown node '{node}' for instance {name}")
    row = _row(cells, _INSTANCE)
    if pnode == snode:
        raise LoadError(f"Instance {name} has same primary and secondary node - {pnode}")
    row[_PNODE], row[_SNODE] = nodes[pnode], nodes[snode] if snode else NO_NODE
    return row


def _instances(lines: Sequence[str], nodes: Mapping[str, int]) -> Instances:
    return Instances(**_columns([_instance(line, nodes) for line in lines], _INSTANCE))


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
    roles = np.where(nodes.offline, "Y", np.where(nodes.master, "M", "N"))
    node_columns = {
        "role": roles,
        "group": [cluster.groups[number].uuid for number in nodes.group.tolist()],
        "fdsk": nodes.fdsk if fdsk is None else fdsk,
        "fspindles": nodes.fspindles if fspindles is None else fspindles,
    }
    names = (*nodes.name, "")  # the last one stands for no secondary, number -1
    instance_columns = {
        "pnode": [names[number] for number in (instances.pnode if pnode is None else pnode)],
        "snode": [names[number] for number in (instances.snode if snode is None else snode)],
    }
    sections = [
        [_group_line(group) for group in cluster.groups],
        _lines(_NODE, nodes, node_columns),
        _lines(_INSTANCE, instances, instance_columns),
        cluster.tags,
        text_policies.lines(cluster),
    ]
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections)


def _group_line(group: Group) -> str:
    return "|".join(
        (group.name, group.uuid, group.alloc_policy, ",".join(group.tags), ",".join(group.networks))
    )


def _lines(
    fields: Sequence[Field], table: Nodes | Instances, columns: Mapping[str, Any]
) -> list[str]:
    """The lines of a section: values from ``columns``, else those of ``table``."""
    shown = []
    for field in fields:
        values = columns[field.column] if field.column in columns else getattr(table, field.column)
        shown.append(map(field.show, values.tolist() if isinstance(values, np.ndarray) else values))
    return ["|".join(row) for row in zip(*shown, strict=True)]
