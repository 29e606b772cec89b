"""`drbdsetup status --json` of DRBD 9, in the words of DRBD 8's report.

One entry for each volume and peer: where DRBD 8 had one peer, DRBD 9 can have several. Source of
the input's members: DRBD's user guide and drbdsetup's manual page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ganeti_kernel.errors import CommandError

IDLE_REPLICATION = ("Off", "Established")
CONNECTED = "Connected"
RENAMED = {"Connecting": "WFConnection"}
WRITE_ORDER = {"barrier": "b", "flush": "f", "drain": "d", "none": "n"}


def is_json(text: str) -> bool:
    return text.lstrip().startswith("[")


def parse(text: str, where: str) -> list[dict[str, Any]]:
    """Return the devices; raises CommandError when the text is not such a status."""
    try:
        return [device for resource in msgspec.json.decode(text) for device in _resource(resource)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CommandError(f"{where}: not a JSON status of DRBD 9: {error!r}") from None


def _resource(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for device in resource["devices"]:
        peers = [
            (connection, peer)
            for connection in resource.get("connections", [])
            for peer in connection.get("peer_devices", [])
            if peer["volume"] == device["volume"]
        ]
        if not peers:
            yield _entry(resource, device, {"connection-state": "StandAlone"}, {})
        for connection, peer in peers:
            yield _entry(resource, device, connection, peer)


def _entry(
    resource: dict[str, Any],
    device: dict[str, Any],
    connection: dict[str, Any],
    peer: dict[str, Any],
) -> dict[str, Any]:
    state = connection["connection-state"]
    replication = peer.get("replication-state", "Off")
    if state == CONNECTED and replication not in IDLE_REPLICATION:
        state = replication
    out: dict[str, Any] = {
        "minor": device["minor"],
        "connectionState": RENAMED.get(state, state),
        "localRole": resource["role"],
        "remoteRole": connection.get("peer-role", "Unknown"),
        "localState": device["disk-state"],
        "remoteState": peer.get("peer-disk-state", "DUnknown"),
        "replicationProtocol": str(connection.get("protocol", " "))[:1] or " ",
        "ioFlags": "s-----" if resource.get("suspended") else "r-----",
        "perfIndicators": _indicators(resource, device, peer),
    }
    if connection.get("name"):
        out["peer"] = connection["name"]
    if "percent-in-sync" in peer and replication in ("SyncSource", "SyncTarget"):
        out["syncStatus"] = {"percentage": float(peer["percent-in-sync"])}
    return out


def _indicators(
    resource: dict[str, Any], device: dict[str, Any], peer: dict[str, Any]
) -> dict[str, Any]:
    order = WRITE_ORDER.get(resource.get("write-ordering", ""))
    return {
        "networkSend": peer.get("sent", 0),
        "networkReceive": peer.get("received", 0),
        "diskWrite": device.get("written", 0),
        "diskRead": device.get("read", 0),
        "activityLog": device.get("al-writes", 0),
        "bitMap": device.get("bm-writes", 0),
        "localCount": device.get("lower-pending", 0),
        "pending": peer.get("pending", 0),
        "unacknowledged": peer.get("unacked", 0),
        "applicationPending": device.get("upper-pending", 0),
        **({"writeOrder": order} if order else {}),
        "outOfSync": peer.get("out-of-sync", 0),
    }
