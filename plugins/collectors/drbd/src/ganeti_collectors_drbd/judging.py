"""How bad a connection state is, and what to say. Codes and texts: upstream 3.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganeti_kernel.specs.collector import BAD, OK, REPAIRING

CONNECTING = "Trying to establish a network connection"
TROUBLE = "Communication problems between the peers"

VERDICTS = {
    "StandAlone": (BAD, "No network config available"),
    "Disconnecting": (BAD, "The peer is being disconnected"),
    "TearDown": (BAD, "The peer is closing the connection"),
    "Unconnected": (REPAIRING, CONNECTING),
    "WFConnection": (REPAIRING, CONNECTING),
    "WFReportParams": (REPAIRING, CONNECTING),
    "Timeout": (REPAIRING, TROUBLE),
    "BrokenPipe": (REPAIRING, TROUBLE),
    "NetworkFailure": (REPAIRING, TROUBLE),
    "ProtocolError": (REPAIRING, TROUBLE),
}


def judge(device: Mapping[str, Any]) -> tuple[int, str]:
    """Return code and text of one device, the text empty when all is well."""
    code, text = VERDICTS.get(device["connectionState"], (OK, ""))
    return code, f"{device['minor']}: {text}" if text else ""
