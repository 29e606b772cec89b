"""The text of `/metrics`: collectors' families, how each collector fares, the daemon itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ganeti_kernel.mond.board import ACTIVE, Board, Standing
from ganeti_kernel.mond.metrics import escape
from ganeti_kernel.version import SOFTWARE_VERSION


@dataclass(frozen=True, slots=True)
class Own:
    """The daemon's own numbers. CPU is seconds of the daemon without collectors."""

    started: float
    requests: int
    connections: int
    cpu_seconds: float
    resident_bytes: int
    open_files: int


Row = tuple[str, str, str, Callable[[Standing], float]]

PER_COLLECTOR: Final[tuple[Row, ...]] = (
    (
        "ganeti_collector_active",
        "gauge",
        "whether the collector makes reports on this node",
        lambda item: int(item.state == ACTIVE),
    ),
    (
        "ganeti_collector_success",
        "gauge",
        "whether its last report could be made",
        lambda item: int(item.ok and item.state == ACTIVE),
    ),
    (
        "ganeti_collector_duration_seconds",
        "gauge",
        "time its last report took",
        lambda item: item.duration,
    ),
    ("ganeti_collector_age_seconds", "gauge", "age of its last report", lambda item: item.age),
    (
        "ganeti_collector_interval_seconds",
        "gauge",
        "time between two of its reports",
        lambda item: item.interval,
    ),
    (
        "ganeti_collector_report_bytes",
        "gauge",
        "size of its last report",
        lambda item: len(item.report or b""),
    ),
    (
        "ganeti_collector_rounds_total",
        "counter",
        "reports it made, failed ones included",
        lambda item: item.rounds,
    ),
    (
        "ganeti_collector_failures_total",
        "counter",
        "reports it could not make",
        lambda item: item.failures,
    ),
    (
        "ganeti_collector_restarts_total",
        "counter",
        "times its process was ended and started again",
        lambda item: item.restarts,
    ),
)

PER_DAEMON: Final[tuple[tuple[str, str, str, Callable[[Own], float]], ...]] = (
    ("ganeti_mond_start_time_seconds", "gauge", "when the daemon started", lambda o: o.started),
    ("ganeti_mond_requests_total", "counter", "requests answered", lambda o: o.requests),
    ("ganeti_mond_connections", "gauge", "connections open now", lambda o: o.connections),
    ("ganeti_mond_cpu_seconds_total", "counter", "CPU time used", lambda o: o.cpu_seconds),
    ("ganeti_mond_resident_bytes", "gauge", "memory used", lambda o: o.resident_bytes),
    ("ganeti_mond_open_files", "gauge", "file descriptors open", lambda o: o.open_files),
)


def text(board: Board, own: Own) -> str:
    """All of it. Two collectors with a family of one name share it, as the format demands."""
    heads: dict[str, str] = {}
    samples: dict[str, list[str]] = {}
    for standing in board:
        for name, head, lines in standing.metrics or () if standing.state == ACTIVE else ():
            heads.setdefault(name, head)
            samples.setdefault(name, []).append(lines)
    parts = [heads[name] + "".join(lines) for name, lines in samples.items()]
    for name, kind, what, value in PER_COLLECTOR:
        parts.append(_head(name, kind, what))
        parts.extend(f"{name}{{{_labels(item)}}} {_number(value(item))}\n" for item in board)
    parts.append(_head("ganeti_mond_info", "gauge", "version of the monitoring daemon"))
    parts.append(f'ganeti_mond_info{{version="{SOFTWARE_VERSION}"}} 1\n')
    for name, kind, what, daemon_value in PER_DAEMON:
        parts.append(f"{_head(name, kind, what)}{name} {_number(daemon_value(own))}\n")
    return "".join(parts)


def _head(name: str, kind: str, what: str) -> str:
    return f"# HELP {name} {what}\n# TYPE {name} {kind}\n"


def _labels(item: Standing) -> str:
    return f'collector="{escape(item.identity.name)}",category="{escape(item.identity.place)}"'


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9g}"
