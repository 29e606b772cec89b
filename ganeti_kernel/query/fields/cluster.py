"""Fields of the cluster itself, and of job filters."""

from __future__ import annotations

import platform
import struct
from typing import Any, Final

from ganeti_kernel.query.fields.base import (
    BOOL,
    NUMBER,
    OTHER,
    TEXT,
    TIMESTAMP,
    Field,
    Getter,
    attribute,
    or_unavailable,
    table,
)
from ganeti_kernel.query.source import QuerySource
from ganeti_kernel.version import (
    CONFIG_VERSION,
    EXPORT_VERSION,
    OS_API_VERSIONS,
    PROTOCOL_VERSION,
    SOFTWARE_VERSION,
)


def _constant(value: Any) -> Getter:
    return lambda _source, _item: value


def _told(name: str) -> Getter:
    """What the daemon knows and the configuration does not."""
    return lambda source, _item: or_unavailable(source.cluster.get(name))


def _master(source: QuerySource, _item: Any) -> Any:
    master = source.view.master
    return or_unavailable(master.name if master else None)


def _architecture(_source: QuerySource, _item: Any) -> list[str]:
    return [f"{struct.calcsize('P') * 8}bits", platform.machine()]


CLUSTER: Final = table(
    [
        Field("name", "Name", TEXT, "Name of the cluster", attribute("cluster_name")),
        Field("cluster_name", "Name", TEXT, "Name of the cluster", attribute("cluster_name")),
        Field("tags", "Tags", OTHER, "Tags of the cluster", attribute("tags")),
        Field("architecture", "ArchInfo", OTHER, "The master's architecture", _architecture),
        Field("master_node", "Master", TEXT, "Name of the master", _master),
        Field("drain_flag", "QueueDrained", BOOL, "Whether no jobs are taken", _told("drain_flag")),
        Field(
            "watcher_pause",
            "WatcherPause",
            TIMESTAMP,
            "Until when the watcher pauses",
            _told("watcher_pause"),
        ),
        Field(
            "volume_group_name",
            "VgName",
            TEXT,
            "LVM volume group for instances",
            attribute("volume_group_name"),
        ),
        Field(
            "software_version",
            "SoftwareVersion",
            TEXT,
            "Version of the software",
            _constant(SOFTWARE_VERSION),
        ),
        Field(
            "vcs_version",
            "VCSVersion",
            TEXT,
            "Version of the source code",
            _constant(SOFTWARE_VERSION),
        ),
        Field(
            "protocol_version",
            "ProtocolVersion",
            NUMBER,
            "Version of the node protocol",
            _constant(PROTOCOL_VERSION),
        ),
        Field(
            "config_version",
            "ConfigVersion",
            NUMBER,
            "Version of the configuration",
            _constant(CONFIG_VERSION),
        ),
        Field(
            "os_api_version",
            "OsApiVersion",
            NUMBER,
            "Newest version of the OS interface",
            _constant(max(OS_API_VERSIONS)),
        ),
        Field(
            "export_version",
            "ExportVersion",
            NUMBER,
            "Version of exports",
            _constant(EXPORT_VERSION),
        ),
        Field("ctime", "CTime", TIMESTAMP, "When the cluster was made", attribute("ctime")),
        Field("mtime", "MTime", TIMESTAMP, "When it was last changed", attribute("mtime")),
    ]
)

FILTER: Final = table(
    [
        Field("uuid", "UUID", OTHER, "The filter's UUID", attribute("uuid")),
        Field(
            "watermark",
            "Watermark",
            OTHER,
            "Number of the newest job when the filter was made",
            attribute("watermark"),
        ),
        Field(
            "priority",
            "Priority",
            OTHER,
            "Place in the chain; lower ones are asked first",
            attribute("priority"),
        ),
        Field(
            "predicates",
            "Predicates",
            OTHER,
            "What a job must be for the filter to act",
            attribute("predicates"),
        ),
        Field("action", "Action", OTHER, "What becomes of such a job", attribute("action")),
        Field(
            "reason_trail",
            "ReasonTrail",
            OTHER,
            "Why the filter was made",
            attribute("reason_trail"),
        ),
    ]
)
