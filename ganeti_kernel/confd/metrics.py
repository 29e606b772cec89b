"""The daemon's counters for Prometheus, on a local HTTP endpoint that is off unless asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ganeti_kernel.confd.counters import BUCKETS, REJECTS, STATUSES, TYPES, Memory
from ganeti_kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

COUNTS: Final = {
    "too_large": "Answers that did not fit a datagram",
    "computed": "Answers that had to be computed, not only signed",
    "plugin_failures": "Requests that a request type's plugin failed to answer",
    "tcp": "Requests answered by TCP",
    "reloads": "Times the configuration was read",
    "reload_failures": "Times the configuration could not be read",
}

STATES: Final = {
    "serial": "Serial number of the configuration that is served",
    "stale_configuration": "1 while the newest configuration cannot be read and an old one is kept",
}


class Collector:
    """Makes metrics from the shared counters."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        memory = self._memory
        answers = CounterMetricFamily(
            "ganeti_confd_answers", "Answered requests", labels=["type", "status"]
        )
        for kind in TYPES:
            for status in STATUSES:
                count = memory.total(f"answer:{kind}:{status}")
                if count:
                    answers.add_metric([kind, status], count)
        yield answers
        ignored = CounterMetricFamily(
            "ganeti_confd_ignored", "Datagrams left unanswered", labels=["reason"]
        )
        for reason in REJECTS:
            ignored.add_metric([reason], memory.total(f"reject:{reason}"))
        yield ignored
        for name, text in COUNTS.items():
            yield CounterMetricFamily(f"ganeti_confd_{name}", text, value=memory.total(name))
        yield CounterMetricFamily(
            "ganeti_confd_reload_cpu_seconds",
            "CPU time spent on reading the configuration",
            value=memory.total("reload_ns") / 1e9,
        )
        for name, text in STATES.items():
            yield GaugeMetricFamily(f"ganeti_confd_{name}", text, value=memory.newest(name))
        latency = HistogramMetricFamily("ganeti_confd_answer_seconds", "Time to make an answer")
        buckets, total = [], 0
        for index, bound in enumerate((*BUCKETS, float("inf"))):
            total += memory.total(f"latency:{index}")
            buckets.append(("+Inf" if bound == float("inf") else f"{bound:g}", float(total)))
        latency.add_metric([], buckets, memory.total("latency_ns") / 1e9)
        yield latency


def start(where: str, memory: Memory) -> Any:
    """Serve `/metrics` on ADDRESS:PORT in a thread; returns the server (it has `shutdown`).

    Raises ConfigurationError when the address is not usable or prometheus-client is missing.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise ConfigurationError(
            "--metrics needs the Python package prometheus-client; install it on this node"
        ) from None
    address, _, port = where.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"--metrics {where!r} is not ADDRESS:PORT")
    registry = CollectorRegistry()
    registry.register(Collector(memory))
    try:
        server, _thread = start_http_server(
            int(port), addr=address.strip("[]") or "127.0.0.1", registry=registry
        )
    except OSError as error:
        raise ConfigurationError(f"cannot serve metrics on {where}: {error.strerror}") from None
    return server
