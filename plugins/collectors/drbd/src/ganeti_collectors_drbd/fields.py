"""The report's fields (source: upstream 3.0; `peer` is ours, for DRBD 9)."""

from __future__ import annotations

from ganeti_kernel.specs.collector import Field

_DEVICE = "deviceInfos[]"
_PERF = f"{_DEVICE}.perfIndicators"
_SYNC = f"{_DEVICE}.syncStatus"


def _kib(key: str, text: str, metric: str, *, counter: bool = True) -> Field:
    return Field(
        path=f"{_PERF}.{key}", unit="KiB", help=text, metric=metric, counter=counter, scale=1024
    )


def _text(path: str, text: str, *, label: bool = False) -> Field:
    return Field(path=path, type="string", help=text, label=label)


FIELDS = (
    Field(path="status.code", help="worst code of all devices", metric="status_code"),
    _text("status.message", "what is wrong, a line for each device"),
    _text("versionInfo.version", "version of the kernel module"),
    _text("versionInfo.api", "version of its interface to programs"),
    _text("versionInfo.proto", "versions of the network protocol it speaks"),
    _text("versionInfo.srcversion", "checksum of its source"),
    _text("versionInfo.gitHash", "commit it was built from"),
    _text("versionInfo.buildBy", "who built it, and when"),
    Field(path=f"{_DEVICE}.minor", help="minor number", label=True),
    _text(f"{_DEVICE}.connectionState", "state of the connection; Unconfigured ends the entry"),
    _text(f"{_DEVICE}.localRole", "Primary, Secondary or Unknown"),
    _text(f"{_DEVICE}.remoteRole", "the same of the peer"),
    _text(f"{_DEVICE}.localState", "state of the disk here"),
    _text(f"{_DEVICE}.remoteState", "state of the peer's disk"),
    _text(f"{_DEVICE}.replicationProtocol", "A, B or C; a space when there is no connection"),
    _text(f"{_DEVICE}.ioFlags", "flags of I/O as DRBD prints them"),
    _text(f"{_DEVICE}.peer", "name of the peer (DRBD 9)", label=True),
    _kib("networkSend", "data sent to the peer", "network_sent_bytes_total"),
    _kib("networkReceive", "data received from the peer", "network_received_bytes_total"),
    _kib("diskWrite", "data written to the disk here", "disk_written_bytes_total"),
    _kib("diskRead", "data read from the disk here", "disk_read_bytes_total"),
    Field(
        path=f"{_PERF}.activityLog",
        help="updates of the activity log",
        metric="activity_log_updates_total",
        counter=True,
    ),
    Field(
        path=f"{_PERF}.bitMap",
        help="updates of the bitmap",
        metric="bitmap_updates_total",
        counter=True,
    ),
    Field(
        path=f"{_PERF}.localCount", help="requests open at the disk here", metric="local_requests"
    ),
    Field(path=f"{_PERF}.pending", help="requests the peer has not answered", metric="pending"),
    Field(
        path=f"{_PERF}.unacknowledged",
        help="requests of the peer not answered yet",
        metric="unacknowledged",
    ),
    Field(
        path=f"{_PERF}.applicationPending",
        help="requests the applications wait for",
        metric="application_pending",
    ),
    Field(path=f"{_PERF}.epochs", help="epoch objects", metric="epochs"),
    _text(f"{_PERF}.writeOrder", "how writes are ordered: b barrier, f flush, d drain, n none"),
    _kib("outOfSync", "data the peer does not have", "out_of_sync_bytes", counter=False),
    Field(
        path=f"{_SYNC}.percentage",
        type="float",
        unit="percent",
        help="how much is in sync; only while it syncs",
        metric="synced_ratio",
        scale=0.01,
    ),
    _text(f"{_SYNC}.progress", "part left / all"),
    _text(f"{_SYNC}.progressUnit", "KiloByte or MegaByte"),
    _text(f"{_SYNC}.timeToFinish", "HH:MM:SS"),
    Field(path=f"{_SYNC}.speed", unit="speedUnit", help="speed of the sync", metric="sync_speed"),
    Field(path=f"{_SYNC}.want", unit="speedUnit", help="speed wanted", metric="sync_speed_wanted"),
    _text(f"{_SYNC}.speedUnit", "KiloByte/Second or MegaByte/Second"),
    _text(f"{_DEVICE}.instance", "instance the device belongs to, null for none", label=True),
)
