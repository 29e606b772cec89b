"""The node as its operating system sees it: memory, load, file systems, interfaces, versions."""

from __future__ import annotations

__version__ = "0.1.0"

import os
from typing import Any

from ganeti_collectors_node_resources import sources
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.collector import Collector, Field
from ganeti_kernel.specs.reading import read_text
from ganeti_kernel.version import SOFTWARE_VERSION


def _memory(key: str, text: str) -> Field:
    return Field(
        path=f"memory.{key}", unit="KiB", help=text, metric=f"memory_{key}_bytes", scale=1024
    )


def _space(key: str, text: str) -> Field:
    path = f"filesystems[].{key}"
    return Field(path=path, unit="bytes", help=text, metric=f"filesystem_{key}_bytes")


def _traffic(key: str, text: str, metric: str, unit: str = "") -> Field:
    return Field(path=f"nics[].{key}", unit=unit, help=text, metric=metric, counter=True)


class NodeResources(Collector):
    API_VERSION = 1
    FIELDS: tuple[Field, ...] = (
        Field(path="cpu_number", help="CPUs that are online", metric="cpus"),
        Field(
            path="uptime",
            type="float",
            unit="seconds",
            help="time since boot",
            metric="uptime_seconds",
        ),
        Field(path="load.1m", type="float", help="load average of a minute", metric="load1"),
        Field(path="load.5m", type="float", help="load average of five minutes", metric="load5"),
        Field(path="load.15m", type="float", help="load average of fifteen", metric="load15"),
        Field(path="processes", help="processes and threads that exist", metric="processes"),
        _memory("total", "memory the operating system has"),
        _memory("free", "memory nobody uses"),
        _memory("available", "memory programs could get without swapping"),
        _memory("buffers", "memory used for buffers"),
        _memory("cached", "memory used for the page cache"),
        _memory("swap_total", "swap space"),
        _memory("swap_free", "swap space not in use"),
        Field(path="filesystems[].mountpoint", type="string", help="where it is", label=True),
        Field(path="filesystems[].device", type="string", help="what it lies on", label=True),
        Field(path="filesystems[].type", type="string", help="its type", label=True),
        _space("size", "size of the file system"),
        _space("free", "free space"),
        _space("available", "free space for users other than root"),
        Field(
            path="filesystems[].inodes_free", help="free inodes", metric="filesystem_inodes_free"
        ),
        Field(path="nics[].name", type="string", help="name of the interface", label=True),
        Field(path="nics[].mac", type="string", help="its MAC address"),
        Field(path="nics[].state", type="string", help="its state: up, down, unknown, ..."),
        Field(path="nics[].mtu", unit="bytes", help="largest packet", metric="nic_mtu_bytes"),
        _traffic("rx_bytes", "data received", "nic_received_bytes_total", "bytes"),
        _traffic("rx_packets", "packets received", "nic_received_packets_total"),
        _traffic("rx_errors", "errors while receiving", "nic_receive_errors_total"),
        _traffic("rx_dropped", "packets dropped while receiving", "nic_receive_drops_total"),
        _traffic("tx_bytes", "data sent", "nic_sent_bytes_total", "bytes"),
        _traffic("tx_packets", "packets sent", "nic_sent_packets_total"),
        _traffic("tx_errors", "errors while sending", "nic_send_errors_total"),
        _traffic("tx_dropped", "packets dropped while sending", "nic_send_drops_total"),
        Field(path="versions{component}", type="string", help="version of each component"),
    )

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="node-resources",
            version=__version__,
            summary="memory, load, file systems and interfaces of the node",
        )

    @hookimpl
    def collect(self) -> Any:
        one, five, fifteen, processes = sources.parse_loadavg(read_text("/proc/loadavg"))
        return {
            "cpu_number": os.sysconf("SC_NPROCESSORS_ONLN"),
            "uptime": float(read_text("/proc/uptime").split()[0]),
            "load": {"1m": one, "5m": five, "15m": fifteen},
            "processes": processes,
            "memory": sources.parse_meminfo(read_text("/proc/meminfo")),
            "filesystems": sources.filesystems(read_text("/proc/self/mounts")),
            "nics": sources.interfaces(read_text("/proc/net/dev")),
            "versions": {"linux": os.uname().release, "ganeti": SOFTWARE_VERSION},
        }
