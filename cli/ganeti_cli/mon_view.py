"""What `gnt-mon` makes of the reports of all nodes: pure functions from reports to rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

OK: Final = 0
UNREACHABLE: Final = 8
"""Worse than every status a report can have: nobody knows what is going on there."""

WORDS: Final = {OK: "ok", 1: "repairing", 2: "unknown", 4: "bad", UNREACHABLE: "no answer"}
INSTANCE_REPORTS: Final = ("inst-status", "inst-status-xen")
"""Names of reports about instances; the first that is there counts."""


@dataclass(frozen=True)
class NodeRow:
    """One node. Memory is MiB, disk the fullest local file system; None: not told."""

    node: str
    code: int = OK
    cpus_busy: float | None = None
    cpus: int | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    disk_used: float | None = None
    disk_place: str | None = None
    running: int | None = None
    instances: int | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        return WORDS.get(self.code, "unknown")

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"status": self.word}


def unreachable(node: str, reason: str) -> NodeRow:
    return NodeRow(node, UNREACHABLE, problems=[reason])


def summarise(node: str, reports: Sequence[Mapping[str, Any]]) -> NodeRow:
    """Boil a node's reports down to one row."""
    data = {str(item.get("name")): item.get("data") for item in reports}
    code, problems = OK, []
    for name, own_code, message in statuses(data):
        code = max(code, own_code)
        if own_code:
            problems += [f"{name}: {line}" for line in message.splitlines() if line.strip()] or [
                f"{name}: {WORDS.get(own_code, 'unknown')}"
            ]
    return NodeRow(
        node,
        code,
        problems=problems,
        **_cpu(_object(data.get("cpu-avg-load"))),
        **_memory(_object(_object(data.get("node-resources")).get("memory"))),
        **_disk(_object(data.get("node-resources")).get("filesystems")),
        **_instances(data),
    )


def statuses(data: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Name, code and message of every report that has a status."""
    for name, value in data.items():
        status = _object(_object(value).get("status"))
        if isinstance(status.get("code"), int):
            yield name, status["code"], str(status.get("message", ""))


def worst_first(rows: Sequence[NodeRow]) -> list[NodeRow]:
    return sorted(rows, key=lambda row: (-row.code, row.node))


def cells(row: NodeRow) -> list[str]:
    """A row as text: node, status, CPU, memory, disk, instances."""
    return [
        row.node,
        row.word,
        _pair(row.cpus_busy, row.cpus, "{:.1f}/{}"),
        _pair(row.memory_used, row.memory_total, "{}/{}", gibibytes),
        _pair(row.disk_used, row.disk_place, "{:.0%} {}"),
        _pair(row.running, row.instances, "{}/{}"),
    ]


HEADS: Final = ("Node", "Status", "CPUs", "Memory", "Disk", "Instances")


def gibibytes(mebibytes: Any) -> str:
    return f"{mebibytes / 1024:.1f}G"


def _pair(first: Any, second: Any, form: str, show: Any = lambda value: value) -> str:
    return "-" if first is None or second is None else form.format(show(first), show(second))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _cpu(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"cpus_busy": data.get("cpu_total"), "cpus": data.get("cpu_number")}


def _memory(data: Mapping[str, Any]) -> dict[str, Any]:
    total, available = data.get("total"), data.get("available")
    if not isinstance(total, int) or not isinstance(available, int):
        return {}
    return {"memory_used": (total - available) // 1024, "memory_total": total // 1024}


def _disk(filesystems: Any) -> dict[str, Any]:
    used = [
        (1 - item["available"] / item["size"], str(item["mountpoint"]))
        for item in filesystems or ()
        if item.get("size") and item.get("type") != "tmpfs"
    ]
    if not used:
        return {}
    share, place = max(used)
    return {"disk_used": round(share, 4), "disk_place": place}


def _instances(data: Mapping[str, Any]) -> dict[str, Any]:
    for name in INSTANCE_REPORTS:
        items = _object(data.get(name)).get("instances")
        if isinstance(items, list):
            states = [_object(item).get("actualState") for item in items]
            running = sum(state in ("running", "blocked") for state in states)
            return {"running": running, "instances": len(items)}
    return {}
