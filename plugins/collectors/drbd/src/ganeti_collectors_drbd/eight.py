"""/proc/drbd of DRBD 8.0 to 8.4."""

from __future__ import annotations

import re
from typing import Any

from ganeti_kernel.errors import CommandError

_VERSION = re.compile(
    r"version: (?P<version>\S*)(?: \(api:(?P<api>[^/]*)/proto:(?P<proto>[^)]*)\))?"
)
_SOURCE = re.compile(r"srcversion: (?P<srcversion>\S+)")
_GIT = re.compile(r"GIT-hash: (?P<gitHash>\S+) build by (?P<buildBy>.*\S)")
_HEADER = (_VERSION, _SOURCE, _GIT)

_DEVICE = re.compile(
    r"\s*(?P<minor>\d+): cs:(?P<connection>\w+)"
    r"(?: (?:ro|st):(\w+)/(\w+) ds:(\w+)/(\w+) (.) (\S+))?"
)
_ROLES = (
    *("localRole", "remoteRole", "localState", "remoteState"),
    *("replicationProtocol", "ioFlags"),
)

INDICATORS = {
    "ns": "networkSend",
    "nr": "networkReceive",
    "dw": "diskWrite",
    "dr": "diskRead",
    "al": "activityLog",
    "bm": "bitMap",
    "lo": "localCount",
    "pe": "pending",
    "ua": "unacknowledged",
    "ap": "applicationPending",
    "ep": "epochs",
    "wo": "writeOrder",
    "oos": "outOfSync",
}
_PROGRESS = re.compile(r"sync'ed:\s*([\d.]+)% \((\d+)/(\d+)\)\s?([KM])")
_FINISH = re.compile(
    r"finish: (\d+):(\d+):(\d+) speed: ([\d,]+) \([^)]*\)(?: want: ([\d,]+))? ([KM])/sec"
)
UNITS = {"K": "KiloByte", "M": "MegaByte"}
SYNCING = ("SyncSource", "SyncTarget")


def parse(text: str, where: str = "/proc/drbd") -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return what the header tells of versions, and the devices.

    Lines that say nothing of either (the resync and act_log lines of 8.0, blank ones) are passed
    over. Raises CommandError when the text is not DRBD's.
    """
    head, blocks = _split(text.replace("\0", ""))
    versions: dict[str, str] = {}
    for pattern in _HEADER:
        match = pattern.search(head)
        if match:
            versions |= {key: value for key, value in match.groupdict().items() if value}
    if not versions:
        raise CommandError(f"{where} is not a status of DRBD: it has no version line")
    return versions, [_device(block, where) for block in blocks]


def _split(text: str) -> tuple[str, list[list[str]]]:
    """The lines before the first device, then each device with the lines that belong to it."""
    head: list[str] = []
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if _DEVICE.match(line):
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line)
        else:
            head.append(line)
    return "\n".join(head), blocks


def _device(lines: list[str], where: str) -> dict[str, Any]:
    match = _DEVICE.match(lines[0])
    assert match is not None
    minor, connection, *roles = match.groups()
    out: dict[str, Any] = {"minor": int(minor), "connectionState": connection}
    if roles[0] is None:
        return out
    out |= dict(zip(_ROLES, roles, strict=True))
    try:
        out["perfIndicators"] = _indicators(lines[1:])
    except ValueError:
        raise CommandError(f"{where}: the counters of minor {minor} are not numbers") from None
    if connection in SYNCING:
        progress = _sync_status("\n".join(lines[1:]))
        if progress:
            out["syncStatus"] = progress
    return out


def _indicators(lines: list[str]) -> dict[str, Any]:
    """The counters, which begin with ns; a value that is no number raises ValueError."""
    for line in lines:
        words = line.split()
        if words and words[0].startswith("ns:"):
            pairs = (word.partition(":") for word in words)
            return {
                INDICATORS[key]: value if key == "wo" else int(value)
                for key, _, value in pairs
                if key in INDICATORS
            }
    return {}


def _sync_status(text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    progress = _PROGRESS.search(text)
    if progress:
        percentage, part, total, unit = progress.groups()
        out["percentage"] = float(percentage)
        out["progress"] = f"{part}/{total}"
        out["progressUnit"] = UNITS[unit]
    finish = _FINISH.search(text)
    if finish:
        hours, minutes, seconds, speed, want, unit = finish.groups()
        out["timeToFinish"] = f"{int(hours):02}:{minutes}:{seconds}"
        out["speed"] = int(speed.replace(",", ""))
        if want:
            out["want"] = int(want.replace(",", ""))
        out["speedUnit"] = f"{UNITS[unit]}/Second"
    return out
